"""Figures of several libraries side by side: measures down, libraries across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Cell", "Comparison", "Row", "number"]

Best = Literal["least", "most", ""]

_NOISE = 1.1


@dataclass(frozen=True)
class Cell:
    """What is shown, the number behind it if one can compare it, and a footnote."""

    text: str
    number: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One measure of all. ``best`` says whether the least or the most is best."""

    measure: str
    cells: dict[str, Cell]
    best: Best = ""


@dataclass
class Comparison:
    """Rows for the same columns; the first column is ours."""

    columns: list[str]
    rows: list[Row] = field(default_factory=list)

    def add(self, measure: str, cells: Mapping[str, Cell], best: Best = "") -> None:
        """A row; a column that is not in ``cells`` has none."""
        self.rows.append(Row(measure, dict(cells), best))
        print(".", end="", flush=True)

    @property
    def ours(self) -> str:
        return self.columns[0]

    def better(self) -> list[tuple[str, str, Cell, Cell]]:
        """Where a peer's figure is better by more than a tenth, which is what the rounds of one
        run differ by: measure, peer, its figure, ours."""
        found = []
        for row in self.rows:
            mine = row.cells.get(self.ours)
            if not row.best or mine is None or mine.number is None:
                continue
            for peer in self.columns[1:]:
                cell = row.cells.get(peer)
                if cell is None or cell.number is None:
                    continue
                less = cell.number < mine.number / _NOISE
                more = cell.number > mine.number * _NOISE
                if less if row.best == "least" else more:
                    found.append((row.measure, peer, cell, mine))
        return found

    def markdown(self) -> str:
        """The table, and its footnotes numbered in the order of their first mention."""
        notes: dict[str, int] = {}
        lines = [_line(["measure", *self.columns]), _line(["---", *["--:"] * len(self.columns)])]
        for row in self.rows:
            cells = [row.cells.get(column, Cell("–")) for column in self.columns]
            lines.append(_line([row.measure, *(_text(cell, notes) for cell in cells)]))
        told = [f"<sup>{index}</sup> {note}." for note, index in notes.items()]
        return "\n".join([*lines, "", "  \n".join(told)]).rstrip() + "\n"

    def plain(self) -> str:
        """The same for a terminal."""
        notes: dict[str, int] = {}
        rows = [["", *self.columns]]
        for row in self.rows:
            cells = [row.cells.get(column, Cell("–")) for column in self.columns]
            rows.append([row.measure, *(_text(cell, notes, "[{}]") for cell in cells)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0])]
                + [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        ]
        return "\n".join([*lines, "", *(f"[{index}] {note}" for note, index in notes.items())])

    def as_data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Comparison:
        rows = [
            Row(
                row["measure"],
                {peer: Cell(**cell) for peer, cell in row["cells"].items()},
                row["best"],
            )
            for row in data["rows"]
        ]
        return cls(list(data["columns"]), rows)


def number(value: float, note: str = "") -> Cell:
    """A cell with three digits that matter."""
    text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
    return Cell(text, value, note)


def _text(cell: Cell, notes: dict[str, int], mark: str = "<sup>{}</sup>") -> str:
    if not cell.note:
        return cell.text
    index = notes.setdefault(cell.note, len(notes) + 1)
    return f"{cell.text} {mark.format(index)}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
