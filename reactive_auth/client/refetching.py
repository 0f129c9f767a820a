"""When the session is asked for: on demand, on focus, regularly, and again after a failure.

However many ask while a request is under way, one more follows it; none is aborted (HAZARDS R9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from ..clock import Clock
from ..errors import AuthClosed, AuthError
from ..models import SessionState
from ..policy import Backoff, seconds

__all__ = ["Refetching"]

#: The official client refetches on window focus at most this often (seconds).
_FOCUS_INTERVAL = 5.0


class Refetching:
    """Coalesces, repeats and retries calls of ``ask``."""

    def __init__(
        self,
        ask: Callable[[], Coroutine[Any, Any, SessionState]],
        *,
        backoff: Backoff,
        clock: Clock,
        poll_interval: float | timedelta | None,
    ) -> None:
        self._ask = ask
        self._backoff = backoff
        self._clock = clock
        self._interval = (
            None if poll_interval is None else seconds("poll_interval", poll_interval, least=1.0)
        )
        self._running: asyncio.Task[SessionState] | None = None
        self._trailing: asyncio.Future[SessionState] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._last_focus = float("-inf")
        self._stopped = False

    async def now(self) -> SessionState:
        """What a request that starts after this call answers. Raises AuthError."""
        if self._running is None:
            return await asyncio.shield(self._start())
        if self._trailing is None:
            self._trailing = asyncio.get_running_loop().create_future()
            self._trailing.add_done_callback(_retrieved)
        return await asyncio.shield(self._trailing)

    def soon(self) -> None:
        """Ask without waiting for the answer; a failure is retried."""
        if self._running is None:
            self._start()
        elif self._trailing is None:
            self._trailing = asyncio.get_running_loop().create_future()
            self._trailing.add_done_callback(_retrieved)

    def focus(self) -> None:
        """Ask, at most every 5 seconds."""
        now = self._clock.monotonic()
        if now - self._last_focus >= _FOCUS_INTERVAL:
            self._last_focus = now
            self.soon()

    def succeeded(self) -> None:
        """An answer came, by whichever way: the backoff starts anew, polling goes on."""
        self._failures = 0
        self._arm(self._interval)

    def retry(self, error: AuthError) -> None:
        """Ask again after a failure."""
        self._failures += 1
        asked = getattr(error, "retry_after", None)
        self._arm(self._backoff.delay(self._failures, asked))

    def rest(self) -> None:
        """There is no session: nothing is asked for until somebody wants it."""
        self._failures = 0
        self._arm(None)

    def stop(self) -> None:
        """For good. Whoever waits gets AuthClosed; the owner is not kept."""
        self._stopped = True
        self._ask = _closed
        self._arm(None)
        if self._trailing is not None and not self._trailing.done():
            self._trailing.set_exception(_error())

    def _start(self) -> asyncio.Task[SessionState]:
        self._arm(None)
        loop = asyncio.get_running_loop()
        self._running = loop.create_task(self._ask(), name="reactive_auth session request")
        self._running.add_done_callback(self._done)
        return self._running

    def _done(self, task: asyncio.Task[SessionState]) -> None:
        self._running = None
        trailing, self._trailing = self._trailing, None
        if not task.cancelled():
            task.exception()  # marks it as retrieved, also when nobody waits
        if trailing is not None and not trailing.done() and not self._stopped:
            following = self._start()
            following.add_done_callback(lambda done: _copy(done, trailing))

    def _arm(self, delay: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay is not None and not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(delay, self.soon)


def _error() -> AuthClosed:
    return AuthClosed("the client is closed")


async def _closed() -> SessionState:
    raise _error()


def _retrieved(future: asyncio.Future[SessionState]) -> None:
    if not future.cancelled():
        future.exception()


def _copy(task: asyncio.Task[SessionState], future: asyncio.Future[SessionState]) -> None:
    if future.done():
        return
    if task.cancelled():
        future.cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
