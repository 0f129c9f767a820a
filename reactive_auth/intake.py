"""Hears what a client says of the session, on any thread, also when its stream fails."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import abc
from reactivex.disposable import Disposable, SerialDisposable

from .errors import AuthUnavailable
from .home import HomeLoop
from .models import SessionState
from .policy import Backoff
from .protocol import AuthClient
from .signal import follow

__all__ = ["Intake"]


class Intake:
    """Subscribes to ``client.session``. What comes is handed to ``hear`` on the home loop.

    An error of the stream is a value with an error, and the stream is subscribed to again after
    a backoff (HAZARDS F7).
    """

    def __init__(
        self,
        client: AuthClient,
        home: HomeLoop,
        backoff: Backoff,
        hear: Callable[[SessionState], None],
    ) -> None:
        self._client = client
        self._home = home
        self._backoff = backoff
        self._hear = hear
        self._last = SessionState.unknown()
        self._failures = 0
        self._stopped = False
        self._following = SerialDisposable()

    def start(self) -> abc.DisposableBase:
        """Follow the stream until the result is disposed of."""
        self._follow()
        return Disposable(self._stop)

    def _stop(self) -> None:
        self._stopped = True
        self._following.dispose()

    def _follow(self) -> None:
        if not self._stopped:
            self._following.disposable = follow(self._client.session, self._on_next, self._on_error)

    def _on_next(self, state: SessionState) -> None:
        if self._stopped or self._home.passed_on(self._on_next, state):
            return
        if not isinstance(state, SessionState):
            self._on_error(TypeError(f"{type(state).__name__} is no SessionState"))
            return
        self._failures = 0
        self._last = state
        self._hear(state)

    def _on_error(self, error: Exception) -> None:
        if self._stopped or self._home.passed_on(self._on_error, error):
            return
        self._failures += 1
        delay = self._backoff.delay(self._failures)
        self._home.loop.call_later(delay, self._follow)
        shown = AuthUnavailable(
            f"the client's session stream raised {type(error).__name__}", retry_after=delay
        )
        shown.__cause__ = error
        self._hear(self._last.with_(refreshing=self._last.refreshing, error=shown))
