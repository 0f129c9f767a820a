"""The marble diagram for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .marks import ROWS, Mark, Row, columns_of

__all__ = ["Marbles", "draw_text"]


class Marbles(str):
    """A marble diagram: text where it is printed, a picture where a notebook shows it."""

    __slots__ = ("_svg",)
    _svg: str

    def __new__(cls, text: str, svg: str) -> Marbles:
        made = super().__new__(cls, text)
        made._svg = svg
        return made

    @property
    def svg(self) -> str:
        """The picture, as an SVG document that stands for itself."""
        return self._svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self._svg}</div>'

    def __reduce__(self) -> tuple[type[Marbles], tuple[str, str]]:
        return Marbles, (str(self), self._svg)


def draw_text(marks: Sequence[Mark], width: int) -> str:
    """The newest marks, one column an event, at most ``width`` characters wide."""
    columns = columns_of(marks)
    space = width - 10
    sizes = [1 + max(len(mark.sign) for mark in column) for column in columns]
    first = len(columns)
    while first > 0 and sizes[first - 1] <= space:
        first -= 1
        space -= sizes[first]
    lines = dict.fromkeys(ROWS, "")
    busy = {mark.row: mark.busy for column in columns[:first] for mark in column}
    for column, size in zip(columns[first:], sizes[first:], strict=True):
        here = {mark.row: mark for mark in column}
        for row in ROWS:
            line = _line(row, busy.get(row, False))
            sign = line
            if row in here:
                sign = here[row].sign
                busy[row] = here[row].busy
                line = _line(row, busy[row])
            lines[row] += sign.ljust(size, line)
    return "\n".join(f"{row:<8} {lines[row]}" for row in ROWS)


def _line(row: Row, busy: bool) -> str:
    if row in ("fetch", "request"):
        return "═" if busy else " "
    return "╌" if busy else "─"
