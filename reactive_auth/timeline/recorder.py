"""A recorder of what happened on the streams and on the wire.

Nothing secret is recorded: sessions are named by letters in order of appearance, tokens by the
letter of their session and a number.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, cast

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ..client import WireEvent
from ..errors import ConfigurationError
from ..models import AccessToken, AuthState, SessionState
from ..signal import Signal
from .marks import Mark, Row
from .story import why_signed_out
from .svg import draw_svg
from .text import Marbles, draw_text

__all__ = ["Streams", "Timeline", "record"]

_STATUS = {"unknown": "?", "signed_out": "○", "expired": "✗"}
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
        self.marks: deque[Mark] = deque(maxlen=limit)
        self._began = time.monotonic()
        self._letters: dict[str, str] = {}
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

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed()`` called after every mark."""
        self._watchers.append(changed)

    def dispose(self) -> None:
        """Stop recording; what was recorded stays."""
        self._subscriptions.dispose()

    def to_dict(self) -> dict[str, Any]:
        """Everything recorded, as plain data without secrets: to attach to a bug report."""
        return {"version": 1, "marks": [asdict(mark) for mark in tuple(self.marks)]}

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def marbles(self, width: int = 100) -> Marbles:
        """The newest marks as a marble diagram.

        It prints as text, at most ``width`` characters wide, and shows itself as a picture in a
        notebook; the picture alone is its ``.svg``.
        """
        marks = tuple(self.marks)
        return Marbles(draw_text(marks, width), draw_svg(marks))

    def why_signed_out(self) -> str:
        """What ended the last session, in words."""
        return why_signed_out(tuple(self.marks))

    def _repr_html_(self) -> str:
        return self.marbles()._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def __repr__(self) -> str:
        return f"<Timeline of {len(self.marks)} marks>"

    # -- what is recorded --------------------------------------------------------------------

    def _add(self, row: Row, sign: str, text: str, **more: Any) -> None:
        self.marks.append(Mark(time.monotonic() - self._began, row, sign, text, **more))
        for changed in self._watchers:
            changed()

    def _letter(self, session_id: str) -> str:
        count = len(self._letters)
        name = chr(ord("A") + count % 26) + (str(count // 26) if count >= 26 else "")
        return self._letters.setdefault(session_id, name)

    def _on_session(self, state: SessionState) -> None:
        if state.session is None:
            sign, text = _STATUS[state.status], state.status.replace("_", " ")
            self._current = ""
        else:
            sign = self._current = self._letter(state.session.id)
            text = f"session {sign}"
        if state.refreshing:
            text += ", held while a request may change it"
        self._add("session", sign, text, busy=state.refreshing, session=self._current)

    def _on_token(self, token: AccessToken | None) -> None:
        if token is None:
            self._add("token", "·", "no token")
            return
        letter = self._letter(token.session_id)
        self._minted[letter] = self._minted.get(letter, 0) + 1
        sign = f"{letter.lower()}{self._minted[letter]}"
        self._add("token", sign, f"token {sign} of session {letter}", session=letter)

    def _on_state(self, state: AuthState) -> None:
        sign = "?" if state.is_loading else "○"
        if state.is_authenticated:
            sign = "●" if state.has_token else "◌"
        text = state.status.replace("_", " ") + (", with a token" if state.has_token else "")
        if state.error is not None:
            sign += "!"
            text += f", {state.error}"
        letter = self._letter(state.session.id) if state.session else ""
        self._add("state", sign, text, busy=state.is_refreshing, session=letter)

    def _on_wire(self, event: WireEvent) -> None:
        row: Row = "fetch" if event.path.endswith("/token") else "request"
        outcome = event.phase if event.status is None else f"{event.phase} {event.status}"
        if event.phase == "started":
            self._open[event.number] = self._current
            if event.path in self._failed:
                self._failed.discard(event.path)
                outcome += " once more"
            session = self._current
        else:
            session = self._open.pop(event.number, "")
            if event.phase == "failed":
                self._failed.add(event.path)
            if event.error is not None:
                outcome += f": {event.error.args[0]}"
        self._add(
            row,
            _PHASE[event.phase],
            f"{event.method} {event.path} {outcome}",
            busy=event.phase == "started" if row == "fetch" else bool(self._open),
            session=session,
            phase=event.phase,
            number=event.number,
        )
