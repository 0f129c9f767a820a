"""A recorder of what happened on the streams and on the wire.

Nothing secret is recorded: sessions are named by letters in order of appearance, tokens by the
letter of their session and a number.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, cast

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ..client import WireEvent
from ..clock import SYSTEM_CLOCK
from ..errors import ConfigurationError
from ..models import AccessToken, AuthState, SessionState
from ..signal import Signal
from .marks import Mark, Row
from .story import why_signed_out
from .svg import draw_svg
from .text import Marbles, draw_text

__all__ = ["Streams", "Timeline", "record"]

_STATUS = {"unknown": "?", "signed_out": "○", "expired": "✗"}
_SWEEP = 64
_PHASE = {"started": "╭", "answered": "╯", "failed": "!", "cancelled": "╳"}


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

    It subscribes to ``token``, so that the token is kept fresh while it records. Raises
    ConfigurationError for what cannot be recorded.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ConfigurationError("limit must be a number of marks, at least 1")
    if not all(isinstance(getattr(auth, name, None), Signal) for name in ("session", "token")):
        raise ConfigurationError("record() needs what connect() or connect_blocking() returns")
    return Timeline(auth, limit)


class Timeline:
    """What :func:`record` returns. As the last expression of a notebook's cell it is drawn."""

    def __init__(self, auth: Streams, limit: int) -> None:
        # As little as possible is done while things happen; marks are made when they are looked at.
        self._events: deque[_Event] = deque(maxlen=limit)
        self._clock = getattr(auth, "clock", SYSTEM_CLOCK).monotonic
        self._sweep_at = _SWEEP
        self._began = self._clock()
        self._letters: dict[str, str] = {}
        self._count = 0
        self._current = ""
        self._minted: dict[str, int] = {}
        self._open: dict[int, str] = {}  # requests under way: the session each belongs to
        self._failed: set[str] = set()  # routes whose last answer was none
        self._watchers: list[Callable[[], None]] = []
        self._subscriptions = CompositeDisposable(
            auth.session.subscribe(self._on_session),
            auth.token.subscribe(self._on_token),
            auth.state.subscribe(self._on_state),
        )
        wire = getattr(getattr(auth, "client", None), "wire", None)
        if wire is not None:
            self._subscriptions.add(cast("Observable[WireEvent]", wire).subscribe(self._on_wire))

    @property
    def marks(self) -> list[Mark]:
        """What was recorded, oldest first."""
        return [_mark(event) for event in tuple(self._events)]

    @property
    def last(self) -> Mark:
        """The newest mark."""
        return _mark(self._events[-1])

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed()`` called after every mark."""
        self._watchers.append(changed)

    def dispose(self) -> None:
        """Stop recording; what was recorded stays."""
        self._subscriptions.dispose()

    def to_dict(self) -> dict[str, Any]:
        """Everything recorded, as plain data without secrets: to attach to a bug report."""
        return {"version": 1, "marks": [asdict(mark) for mark in self.marks]}

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def marbles(self, width: int = 100) -> Marbles:
        """The newest marks as a marble diagram.

        It prints as text, at most ``width`` characters wide, and shows itself as a picture in a
        notebook; the picture alone is its ``.svg``.
        """
        marks = self.marks
        return Marbles(draw_text(marks, width), draw_svg(marks))

    def why_signed_out(self) -> str:
        """What ended the last session, in words."""
        return why_signed_out(self.marks)

    def _repr_html_(self) -> str:
        return self.marbles()._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def __repr__(self) -> str:
        return f"<Timeline of {len(self._events)} marks>"

    # -- what is recorded --------------------------------------------------------------------

    def _add(self, row: Row, *facts: Any) -> None:
        self._events.append((self._clock() - self._began, row, facts))
        for changed in self._watchers:
            changed()

    def _letter(self, session_id: str) -> str:
        known = self._letters.get(session_id)
        if known is not None:
            return known
        if len(self._letters) >= self._sweep_at:  # forget sessions that no mark is left of
            kept = {mark.session for mark in self.marks} | {self._current}
            self._letters = {key: name for key, name in self._letters.items() if name in kept}
            self._minted = {name: n for name, n in self._minted.items() if name in kept}
            self._sweep_at = max(_SWEEP, 2 * len(self._letters))
        round_, place = divmod(self._count, 26)
        self._count += 1
        name = self._letters[session_id] = chr(ord("A") + place) + (str(round_) if round_ else "")
        return name

    def _on_session(self, state: SessionState) -> None:
        session = state.session
        self._current = "" if session is None else self._letter(session.id)
        self._add("session", state.status, self._current, state.refreshing)

    def _on_token(self, token: AccessToken | None) -> None:
        if token is None:
            self._add("token", "", 0)
            return
        letter = self._letter(token.session_id)
        number = self._minted[letter] = self._minted.get(letter, 0) + 1
        self._add("token", letter, number)

    def _on_state(self, state: AuthState) -> None:
        session = state.session
        letter = "" if session is None else self._letter(session.id)
        has_token, busy = state.has_token, state.is_refreshing
        self._add("state", state.status, letter, has_token, busy, state.error)

    def _on_wire(self, event: WireEvent) -> None:
        row: Row = "fetch" if event.path.endswith("/token") else "request"
        again = False
        if event.phase == "started":
            session = self._open[event.number] = self._current
            again = event.path in self._failed
            self._failed.discard(event.path)
        else:
            session = self._open.pop(event.number, "")
            if event.phase == "failed":
                self._failed.add(event.path)
        busy = event.phase == "started" if row == "fetch" else bool(self._open)
        self._add(row, event, session, again, busy)


_Event = tuple[float, Row, tuple[Any, ...]]


def _mark(event: _Event) -> Mark:
    at, row, facts = event
    match row:
        case "session":
            status, letter, refreshing = facts
            text = f"session {letter}" if letter else status.replace("_", " ")
            if refreshing:
                text += ", held while a request may change it"
            sign = letter or _STATUS[status]
            return Mark(at, row, sign, text, busy=refreshing, session=letter)
        case "token":
            letter, number = facts
            if not letter:
                return Mark(at, row, "·", "no token")
            sign = f"{letter.lower()}{number}"
            return Mark(at, row, sign, f"token {sign} of session {letter}", session=letter)
        case "state":
            status, letter, has_token, busy, error = facts
            sign = "?" if status == "unknown" else "○"
            if letter:
                sign = "●" if has_token else "◌"
            text = status.replace("_", " ") + (", with a token" if has_token else "")
            if error is not None:
                sign, text = f"{sign}!", f"{text}, {error}"
            return Mark(at, row, sign, text, busy=busy, session=letter)
        case _:
            return _request(at, row, *facts)


def _request(at: float, row: Row, event: WireEvent, session: str, again: bool, busy: bool) -> Mark:
    outcome = event.phase if event.status is None else f"{event.phase} {event.status}"
    if again:
        outcome += " once more"
    if event.error is not None:
        outcome += f": {event.error.args[0]}"
    text = f"{event.method} {event.path} {outcome}"
    return Mark(
        at,
        row,
        _PHASE[event.phase],
        text,
        busy=busy,
        session=session,
        phase=event.phase,
        number=event.number,
    )
