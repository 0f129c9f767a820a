"""PROOF.md, out of the figures of one run and the hand-written parts.

``python -m tests.benchmarks --write`` takes new figures; ``python -m tests.benchmarks.page`` makes
the page anew from those of the last run, after a change of a part in ``proof/``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .compare import Comparison
from .table import PACKAGES, machine, versions

__all__ = ["FIGURES", "PAGE", "PARTS", "render", "save", "take", "write"]

HERE = Path(__file__).parent
PAGE = HERE / "PROOF.md"
FIGURES = HERE / "proof" / "figures.json"
#: The hand-written parts, in the order of their names.
PARTS = HERE / "proof"

COMMAND = 'python -m pip install --editable ".[bench]" && python -m tests.benchmarks --write'

_HEAD = """\
# Proof

Why to trust this more than what one would pick instead, in figures. Made by one run of

```sh
{command}
```

which rewrites this page; nothing in a table is written by hand. {machine}.
{versions}; and the peers: {peers}.

No timing is asserted by a test, since it depends on the machine: read ratios, not seconds. What is
asserted, counts and states, is in `tests/`.

## Side by side

Each peer is driven by its own public API, against a local server that speaks what the peer expects
and answers after 0.2 s (`peers/`, an adapter for each); a private name is used where a footnote
says so, and to look into a cache afterwards or stop a timer. A peer that has no sign-out is given
what an app would write. Timings are medians of interleaved rounds, but for rotations in a row.
**–**: this has no meaning there; a footnote says why.

"""

_BETTER = """\
### Where a peer is better

By more than a tenth, in this run; a count of requests is left out where callers failed.

"""

_CURVES = """\
### What a rotation costs as sessions and observers grow

A bar is the logarithm of the microseconds.

"""

_ALONE = """\
## This library by itself

A goal is what a row was meant to reach when it was first measured.

"""

_BARS = "▁▂▃▄▅▆▇█"


def take(
    comparison: Comparison, rows: Sequence[tuple[str, str, str]], peers: str
) -> dict[str, Any]:
    """The figures of a run, and where they were taken."""
    return {
        "machine": machine(),
        "versions": versions(PACKAGES),
        "peers": peers,
        "comparison": comparison.as_data(),
        "rows": [list(row) for row in rows],
    }


def render(figures: dict[str, Any]) -> str:
    """The page."""
    comparison = Comparison.of_data(figures["comparison"])
    parts = [
        _HEAD.format(
            command=COMMAND,
            machine=figures["machine"],
            versions=figures["versions"],
            peers=figures["peers"],
        ),
        comparison.markdown(),
        "\n" + _CURVES + _curves(comparison),
        "\n" + _BETTER + _better(comparison),
        *(f"\n{path.read_text('utf-8').strip()}\n" for path in sorted(PARTS.glob("*.md"))),
        "\n" + _ALONE + _alone(figures["rows"]),
    ]
    return "".join(parts)


def save(figures: dict[str, Any]) -> None:
    """Keep the figures for :func:`write`."""
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    FIGURES.write_text(text + "\n", "utf-8")


def write() -> None:
    """The page, out of what was saved."""
    PAGE.write_text(render(json.loads(FIGURES.read_text("utf-8"))), "utf-8")


def _better(comparison: Comparison) -> str:
    """Measure by measure, the peers whose figure beats ours."""
    by_measure: dict[str, list[str]] = {}
    ours: dict[str, str] = {}
    for measure, peer, cell, mine in comparison.better():
        by_measure.setdefault(measure, []).append(f"{peer} {cell.text}")
        ours[measure] = mine.text
    if not by_measure:
        return "Nowhere in this run.\n"
    lines = [
        f"- {measure.strip()}: {', '.join(peers)}; ours {ours[measure]}"
        for measure, peers in by_measure.items()
    ]
    return "\n".join(lines) + "\n"


def _curves(comparison: Comparison) -> str:
    """The rows of what a rotation costs, as a line of bars for each library."""
    blocks = []
    for what in ("after", "with"):
        rows = [row for row in comparison.rows if row.measure.startswith(f"a rotation {what} ")]
        if not rows:
            continue
        numbers = {
            column: [row.cells[column].number for row in rows if column in row.cells]
            for column in comparison.columns
        }
        curves = {
            column: [value for value in values if value is not None]
            for column, values in numbers.items()
            if values and None not in values
        }
        everything = [value for values in curves.values() for value in values]
        low, high = math.log(min(everything)), math.log(max(everything))
        heads = [
            row.measure.removeprefix(f"a rotation {what} ").removesuffix(": µs") for row in rows
        ]
        widths = [max(len(head), 8) for head in heads]
        name = max(len(column) for column in curves)
        cells = "  ".join(head.rjust(width) for head, width in zip(heads, widths, strict=True))
        lines = [f"{what:<{name}}  {cells}"]
        for column, values in curves.items():
            cells = "  ".join(
                f"{_bar(value, low, high)} {value:,.0f}".rjust(width)
                for value, width in zip(values, widths, strict=True)
            )
            lines.append(f"{column:<{name}}  {cells}")
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "```text\n" + "\n\n".join(blocks) + "\n```\n" if blocks else ""


def _bar(value: float, low: float, high: float) -> str:
    share = (math.log(value) - low) / (high - low) if high > low else 0.0
    return _BARS[round(share * (len(_BARS) - 1))]


def _alone(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| what | figure | goal |", "| --- | --: | --: |"]
    for name, figure, goal in rows:
        indent = "&nbsp;" * (len(name) - len(name.lstrip()))
        lines.append(f"| {indent}{name.strip()} | {figure} | {goal} |".replace("  |", " |"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write()
