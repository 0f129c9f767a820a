"""A recorder of what happened on the streams and on the wire, drawn as a marble diagram.

Nothing secret is recorded: sessions are named by letters in order of appearance, tokens by the
letter of their session and a number.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, cast

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from .client import WireEvent
from .models import AccessToken, AuthState, SessionState
from .signal import Signal

__all__ = ["Mark", "Timeline", "record"]

Row = Literal["session", "token", "state", "fetch", "request"]

_ROWS: tuple[Row, ...] = ("session", "token", "state", "fetch", "request")
_STATUS = {"unknown": "?", "signed_out": "○", "expired": "✗"}
#: Marks of different rows this close in time (seconds) share a column.
_TOGETHER = 0.002
_PHASE = {"started": "╭", "answered": "╯", "failed": "!", "cancelled": "╳"}


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that happened: ``at`` seconds after recording began, in a row of the diagram.

    ``sign`` is what is drawn, ``text`` says it in words, ``busy`` whether the row goes on as
    something under way.
    """

    at: float
    row: Row
    sign: str
    text: str
    busy: bool = False


class Streams(Protocol):
    """What can be recorded: an AuthProvider or what connect_blocking returns."""

    @property
    def session(self) -> Signal[SessionState]: ...
    @property
    def token(self) -> Signal[AccessToken | None]: ...
    @property
    def state(self) -> Signal[AuthState]: ...


def record(auth: Streams, *, limit: int = 2_000) -> Timeline:
    """Record from now on, keeping the newest ``limit`` marks. Dispose of it to stop.

    It subscribes to ``token``, so that the token is kept fresh while it records.
    """
    return Timeline(auth, limit)


class Timeline:
    """What :func:`record` returns."""

    def __init__(self, auth: Streams, limit: int) -> None:
        self.marks: deque[Mark] = deque(maxlen=limit)
        self._began = time.monotonic()
        self._letters: dict[str, str] = {}
        self._minted: dict[str, int] = {}
        self._under_way = 0
        self._watchers: list[Callable[[], None]] = []
        self._subscriptions = CompositeDisposable(
            auth.session.subscribe(self._on_session),
            auth.token.subscribe(self._on_token),
            auth.state.subscribe(self._on_state),
        )
        wire = getattr(getattr(auth, "client", None), "wire", None)
        if wire is not None:
            self._subscriptions.add(cast("Observable[WireEvent]", wire).subscribe(self._on_wire))

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed()`` called after every mark."""
        self._watchers.append(changed)

    def dispose(self) -> None:
        """Stop recording; what was recorded stays."""
        self._subscriptions.dispose()

    def to_dict(self) -> dict[str, Any]:
        """Everything recorded, as plain data without secrets."""
        return {"marks": [asdict(mark) for mark in self.marks]}

    def marbles(self, width: int = 100) -> str:
        """The newest marks as a text diagram, one column an event, at most ``width`` wide."""
        columns: list[list[Mark]] = []
        for mark in self.marks:
            column = columns[-1] if columns else []
            rows = {other.row for other in column}
            if column and mark.row not in rows and mark.at - column[0].at < _TOGETHER:
                column.append(mark)
            else:
                columns.append([mark])
        space = width - 10
        sizes = [1 + max(len(mark.sign) for mark in column) for column in columns]
        first = len(columns)
        while first > 0 and sizes[first - 1] <= space:
            first -= 1
            space -= sizes[first]
        lines = dict.fromkeys(_ROWS, "")
        busy = {mark.row: mark.busy for column in columns[:first] for mark in column}
        for column, size in zip(columns[first:], sizes[first:], strict=True):
            here = {mark.row: mark for mark in column}
            for row in _ROWS:
                line = _line(row, busy.get(row, False))
                sign = line
                if row in here:
                    sign = here[row].sign
                    busy[row] = here[row].busy
                    line = _line(row, busy[row])
                lines[row] += sign.ljust(size, line)
        return "\n".join(f"{row:<8} {lines[row]}" for row in _ROWS)

    def _add(self, row: Row, sign: str, text: str, *, busy: bool = False) -> None:
        self.marks.append(Mark(time.monotonic() - self._began, row, sign, text, busy))
        for changed in self._watchers:
            changed()

    def _letter(self, session_id: str) -> str:
        count = len(self._letters)
        name = chr(ord("A") + count % 26) + (str(count // 26) if count >= 26 else "")
        return self._letters.setdefault(session_id, name)

    def _on_session(self, state: SessionState) -> None:
        if state.session is None:
            sign, text = _STATUS[state.status], state.status.replace("_", " ")
        else:
            sign = self._letter(state.session.id)
            text = f"session {sign}"
        if state.refreshing:
            text += ", held while a request may change it"
        self._add("session", sign, text, busy=state.refreshing)

    def _on_token(self, token: AccessToken | None) -> None:
        if token is None:
            self._add("token", "·", "no token")
            return
        letter = self._letter(token.session_id).lower()
        self._minted[letter] = self._minted.get(letter, 0) + 1
        sign = f"{letter}{self._minted[letter]}"
        self._add("token", sign, f"token {sign} of session {letter.upper()}")

    def _on_state(self, state: AuthState) -> None:
        sign = "?" if state.is_loading else "○"
        if state.is_authenticated:
            sign = "●" if state.has_token else "◌"
        text = state.status.replace("_", " ") + (", with a token" if state.has_token else "")
        if state.error is not None:
            sign += "!"
            text += f", {state.error}"
        self._add("state", sign, text, busy=state.is_refreshing)

    def _on_wire(self, event: WireEvent) -> None:
        row: Row = "fetch" if event.path.endswith("/token") else "request"
        self._under_way += {"started": 1}.get(event.phase, -1) if row == "request" else 0
        busy = event.phase == "started" if row == "fetch" else self._under_way > 0
        outcome = event.phase if event.status is None else f"{event.phase} {event.status}"
        self._add(row, _PHASE[event.phase], f"{event.method} {event.path} {outcome}", busy=busy)


def _line(row: Row, busy: bool) -> str:
    if row in ("fetch", "request"):
        return "═" if busy else " "
    return "╌" if busy else "─"
