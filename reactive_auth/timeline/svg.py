"""The marble diagram as a picture: rows are streams, time runs to the right.

Sessions have a colour and a letter, and a band behind everything that happened under them; where
bands meet is a rotation. It takes the text's colour from the page, so that it can be read on
light and dark.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape

from .marks import Mark, Row, columns_of

__all__ = ["draw_svg"]

#: As many columns as can be taken in at a glance; older ones are left out.
_COLUMNS = 80
_LEFT = 84
_Y: dict[Row, int] = {"session": 36, "token": 80, "state": 124, "fetch": 166, "request": 200}
_HEIGHT = 262
_AXIS = 224

# Told apart by most kinds of eyes, on white and on black (Okabe and Ito, 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_GREY = "#8a8a8a"
_RED = "#d62728"

_STYLE = (
    ".ra-marbles text{font:12px system-ui,sans-serif;fill:currentColor}"
    ".ra-marbles .m{font-weight:600;fill:#fff;text-anchor:middle}"
    ".ra-marbles .s{font-size:10px;opacity:.75;text-anchor:middle}"
    ".ra-marbles .l{font-size:11px;opacity:.85}"
)


def draw_svg(marks: Sequence[Mark]) -> str:
    """The newest marks as an SVG document."""
    columns = columns_of(marks)[-_COLUMNS:]
    if not columns:
        return _document(320, ['<text x="8" y="40">Nothing was recorded yet.</text>'])
    places = _places(columns)
    end = places[-1] + 46
    shown = [(x, mark) for x, column in zip(places, columns, strict=True) for mark in column]
    parts = [
        *_bands(shown, end),
        *(_label(row) for row in _Y),
        *(part for row in ("session", "token", "state") for part in _stream(row, shown, end)),
        *_requests(shown, end),
        *_axis(columns, places, end),
        *_legend(),
    ]
    return _document(max(end + 8, 840), parts)


def _places(columns: Sequence[Sequence[Mark]]) -> list[int]:
    """Where each column is: further apart the more time is between, but never out of sight."""
    places = [_LEFT + 24]
    for before, column in itertools.pairwise(columns):
        apart = max(0.0, column[0].at - before[0].at)
        places.append(places[-1] + 30 + round(16 * math.log10(1 + apart / 0.05)))
    return places


def _bands(shown: Sequence[tuple[int, Mark]], end: int) -> list[str]:
    parts: list[str] = []
    changes = [(x, mark) for x, mark in shown if mark.row == "session"]
    start, current = _LEFT, ""
    for x, mark in [*changes, (end, None)]:
        letter = mark.session if mark is not None else ""
        if mark is not None and letter == current:
            continue
        if current and x > start:
            parts.append(
                f'<rect x="{start}" y="14" width="{x - start}" height="{_AXIS - 14}" '
                f'fill="{_colour(current)}" opacity=".12"/>'
            )
        if current and letter:
            parts.append(
                f'<line x1="{x}" y1="14" x2="{x}" y2="{_AXIS}" stroke="currentColor" '
                f'stroke-dasharray="2 3" opacity=".6"/><text class="s" x="{x}" y="10">rotation'
                "</text>"
            )
        start, current = x, letter
    return parts


def _stream(row: Row, shown: Sequence[tuple[int, Mark]], end: int) -> list[str]:
    y, parts = _Y[row], list[str]()
    here = [(x, mark) for x, mark in shown if mark.row == row]
    for index, (x, mark) in enumerate(here):
        until = here[index + 1][0] if index + 1 < len(here) else end
        dashes = ' stroke-dasharray="3 4"' if mark.busy else ""
        parts.append(
            f'<line x1="{x}" y1="{y}" x2="{until}" y2="{y}" stroke="currentColor" '
            f'stroke-width="1.5" opacity=".7"{dashes}/>'
        )
    last = ""
    for x, mark in here:
        small = row == "session" and mark.sign == last  # the same again: held, or an error
        last = mark.sign
        parts.append(f"<g><title>{_said(mark)}</title>{_marble(row, x, y, mark, small)}</g>")
    return parts


def _marble(row: Row, x: int, y: int, mark: Mark, small: bool) -> str:
    colour = _colour(mark.session)
    if small:
        return f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'
    if row == "token":
        if not mark.session:
            return f'<circle cx="{x}" cy="{y}" r="3" fill="{_GREY}"/>'
        return _disc(x, y, 13, colour, mark.sign)
    if row == "session":
        if mark.session:
            return _disc(x, y, 14, colour, mark.sign)
        return _disc(x, y, 14, _GREY, _short(mark))
    if mark.sign.startswith("●"):
        drawn = f'<circle cx="{x}" cy="{y}" r="8" fill="{colour}"/>'
    else:
        drawn = _ring(x, y, 8, colour)
    if mark.sign.endswith("!"):
        drawn += (
            f'<circle cx="{x + 8}" cy="{y - 8}" r="6" fill="{_RED}"/>'
            f'<text class="m" x="{x + 8}" y="{y - 4}" style="font-size:10px">!</text>'
        )
    return drawn


def _requests(shown: Sequence[tuple[int, Mark]], end: int) -> list[str]:
    """Each request a line from its start to its end; a cancelled one is cut."""
    parts: list[str] = []
    started: dict[int, tuple[int, Mark]] = {}
    lanes: dict[int, int] = {}
    for x, mark in shown:
        if mark.phase == "started":
            taken = {
                lanes[number] for number, (_, other) in started.items() if other.row == mark.row
            }
            lanes[mark.number] = next(lane for lane in range(99) if lane not in taken)
            started[mark.number] = (x, mark)
        elif mark.phase:
            begin, first = started.pop(mark.number, (_LEFT, mark))
            parts.append(_request(begin, x, lanes.get(mark.number, 0), first, mark))
    for number, (begin, first) in started.items():
        parts.append(_request(begin, end, lanes[number], first, None))
    return parts


def _request(begin: int, x: int, lane: int, first: Mark, last: Mark | None) -> str:
    y = _Y[first.row] + 7 * min(lane, 2)
    colour = _colour(first.session)
    stop = x - 7 if last is not None and last.phase == "cancelled" else x
    drawn = (
        f'<line x1="{begin}" y1="{y}" x2="{stop}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{begin}" cy="{y}" r="3.5" fill="{colour}"/>'
    )
    said = _said(first)
    if last is not None:
        said += f" → {_said(last)}"
        if last.phase == "answered":
            drawn += f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'
        elif last.phase == "failed":
            drawn += f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" fill="{_RED}"/>'
        else:
            cross = f"M{x - 4} {y - 5}l8 10m0 -10l-8 10"
            drawn += f'<path d="{cross}" stroke="{_RED}" stroke-width="2.5" fill="none"/>'
    return f"<g><title>{said}</title>{drawn}</g>"


def _axis(columns: Sequence[Sequence[Mark]], places: Sequence[int], end: int) -> list[str]:
    parts = [
        (
            f'<line x1="{_LEFT}" y1="{_AXIS}" x2="{end}" y2="{_AXIS}" stroke="currentColor" '
            'opacity=".4"/>'
        )
    ]
    free = 0
    for x, column in zip(places, columns, strict=True):
        if x >= free:
            parts.append(f'<text class="s" x="{x}" y="{_AXIS + 13}">{_time(column[0].at)}</text>')
            free = x + 52
    return parts


def _legend() -> list[str]:
    said = (
        "● signed in, with a token · ○ without · dashed: held, or being fetched · ✕ cancelled · "
        "■ failed · ! an error, nothing lost · point at a mark for its story"
    )
    return [f'<text class="l" x="8" y="{_AXIS + 29}">{said}</text>']


def _label(row: Row) -> str:
    return f'<text x="8" y="{_Y[row] + 4}">{row}</text>'


def _disc(x: int, y: int, radius: int, colour: str, text: str) -> str:
    return (
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}"/>'
        f'<text class="m" x="{x}" y="{y + 4}">{escape(text)}</text>'
    )


def _ring(x: int, y: int, radius: int, colour: str) -> str:
    return (
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
    )


def _short(mark: Mark) -> str:
    return {"○": "out", "?": "?", "✗": "end"}.get(mark.sign, "")


def _said(mark: Mark) -> str:
    return escape(f"{_time(mark.at)}  {mark.text}")


def _time(at: float) -> str:
    return f"{at:.2f} s" if at < 10 else f"{at:.0f} s"


def _colour(letter: str) -> str:
    if not letter:
        return _GREY
    number = ord(letter[0]) - ord("A") + 26 * int(letter[1:] or 0)
    return _COLOURS[number % len(_COLOURS)]


def _document(width: int, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ra-marbles" width="{width}" '
        f'height="{_HEIGHT}" '
        f'viewBox="0 0 {width} {_HEIGHT}" role="img"><title>Marble diagram</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>"
    )
