"""The things that are recorded, and which of them happened together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["ROWS", "Mark", "Row", "columns_of"]

Row = Literal["session", "token", "state", "fetch", "request"]

ROWS: tuple[Row, ...] = ("session", "token", "state", "fetch", "request")

#: Marks of different rows this close in time (seconds) share a column.
_TOGETHER = 0.002


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that happened: ``at`` seconds after recording began, in a row of the diagram.

    ``sign`` is what is drawn, ``text`` says it in words, ``busy`` whether the row goes on as
    something under way. ``session`` is the letter of the session it belongs to; ``phase`` and
    ``number`` are those of a request.
    """

    at: float
    row: Row
    sign: str
    text: str
    busy: bool = False
    session: str = ""
    phase: str = ""
    number: int = 0


def columns_of(marks: Iterable[Mark]) -> list[list[Mark]]:
    """The marks in columns of what happened at once, one of a row at most."""
    columns: list[list[Mark]] = []
    for mark in marks:
        column = columns[-1] if columns else []
        rows = {other.row for other in column}
        if column and mark.row not in rows and mark.at - column[0].at < _TOGETHER:
            column.append(mark)
        else:
            columns.append([mark])
    return columns
