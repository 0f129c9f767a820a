"""The tokens of one session: a cache of one, at most one fetch under way, retries, expiry.

All of it is state of the inner stream of the provider's switch, and gone with it: disposing
cancels the fetch under way and the timer, and what was cached can be reached no more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import anyio

from .clock import Clock
from .errors import (
    AuthError,
    AuthTimeout,
    AuthUnavailable,
    InvalidToken,
    NotAuthenticated,
    TokenMismatch,
)
from .home import HomeLoop, Scope
from .lease import Lease
from .policy import Policy
from .secrecy import Masked, without_frames

__all__ = ["NO_TOKENS", "SessionTokens", "TokensHost", "TokensView"]

#: A monotonic timer may pause in suspend (HAZARDS C6): none is set further ahead than this.
_WAKE_CHECK = 5.0

#: A token rejected this soon after it was fetched (seconds) was refused fresh.
_FRESH = 60.0
_REJECTIONS_BEFORE_STOP = 2

#: Servers date tokens in whole seconds: two minted within one can be the same string (WIRE.md).
_SAME_STRING = 1.0


@dataclass(frozen=True, slots=True)
class TokensView:
    """What the outside sees of the tokens of the session with this key."""

    key: Hashable | None
    lease: Lease | None = None
    fetching: bool = False
    error: AuthError | None = None


NO_TOKENS = TokensView(None)


class TokensHost(Protocol):
    """What the inner stream asks of the provider."""

    @property
    def clock(self) -> Clock: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def home(self) -> HomeLoop: ...
    def held(self) -> bool:
        """Whether an own request is under way that may change the session."""
        ...

    def awaited(self) -> bool:
        """Whether a caller waits for a token."""
        ...

    def kept(self) -> bool:
        """Whether something is subscribed, so that a token is kept fresh."""
        ...

    def mint(self, key: Hashable) -> Awaitable[object]:
        """Call the client's fetch function for the session with this key."""
        ...

    def accept(self, key: Hashable, value: object) -> Lease:
        """Check an answer. Raises InvalidToken."""
        ...

    def on_ended(self, key: Hashable) -> None:
        """The server said authoritatively that the session is gone."""
        ...

    def on_mismatch(self) -> None:
        """The token route and the session disagree."""
        ...


class SessionTokens:
    """Lives from the switch to its session until the switch away from it."""

    def __init__(
        self,
        key: Hashable,
        host: TokensHost,
        emit: Callable[[TokensView], None],
        seed: Lease | None,
    ) -> None:
        self.key = key
        self.view = TokensView(key, seed)
        self.retry_at = 0.0
        self._host = host
        self._emit = emit
        self._disposed = False
        self._lease = seed
        self._error: AuthError | None = None
        self._task: asyncio.Task[Masked[object]] | None = None
        self._scope: Scope | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._failures = 0
        self._rejections = 0
        self._rejected = ""
        self._rejected_serial = -1
        self._floor = -1  # a forced refresh wants a serial above this
        self._unasked_from = 0.0  # with subscribers only, no attempt starts before this

    # -- what callers ask for ----------------------------------------------------------------

    def force(self, floor: int) -> None:
        """Want a token with a serial above ``floor``, whatever is cached."""
        self._floor = max(self._floor, floor)

    def reject(self, value: str) -> None:
        """A resource server refused this token: if it is the cached one, it is evicted.

        Two fresh tokens refused in a row stop the loop until the longest backoff has passed
        (HAZARDS F4).
        """
        lease, now = self._lease, self._host.clock.monotonic()
        if lease is None or lease.token.value != value:
            return
        if self._rejected == value and now - lease.received < _SAME_STRING:
            return  # it is the answer to this very rejection, by another of those it hit
        self._lease, self._rejected = None, value
        fresh = lease.serial > 0 and now - lease.received < _FRESH
        in_a_row = lease.serial == self._rejected_serial + 1
        self._rejections = (self._rejections if in_a_row else 0) + 1 if fresh else 0
        self._rejected_serial = lease.serial
        if self._rejections >= _REJECTIONS_BEFORE_STOP:
            pause = self._host.policy.backoff.cap
            self.retry_at = now + pause
            self._error = AuthUnavailable("fresh tokens are being rejected", retry_after=pause)
        self.poke()

    def poke(self) -> None:
        """Look at everything and do what is due. Idempotent; called after every event."""
        if self._disposed:
            return
        host, now = self._host, self._host.clock.monotonic()
        if self._lease is not None and not self._lease.usable(host.clock):
            self._lease = None
        wanted = not host.held() and (host.awaited() or host.kept())
        due = max(self._due(now), self.retry_at)
        if self._task is not None and host.held():
            self._cancel()
        elif self._task is None and wanted and now >= due:
            self._start()
        wake = [due] if wanted and self._task is None else []
        if self._lease is not None:
            wake += [self._lease.evict_at, now + _WAKE_CHECK]
        self._arm(min(wake, default=math.inf))
        # Always the last thing done: observers run inside and may dispose of this object.
        view = TokensView(self.key, self._lease, self._task is not None, self._error)
        if view != self.view:
            self.view = view
            self._emit(view)

    def dispose(self) -> None:
        """Cancel the fetch under way and the timer. Nothing is emitted any more."""
        self._disposed = True
        self._lease = None
        self.view = TokensView(self.key)
        self._arm(math.inf)
        self._cancel()

    def _due(self, now: float) -> float:
        if self._lease is not None and self._lease.serial > self._floor:
            return self._lease.refresh_at if self._host.kept() else math.inf
        return now if self._host.awaited() else self._unasked_from

    # -- the fetch ---------------------------------------------------------------------------

    def _start(self) -> None:
        # Scope.cancel() and not task.cancel(): the latter leaves places of httpx's pool
        # taken for ever (HAZARDS K16).
        self._scope = scope = Scope()
        self._task = task = self._host.home.loop.create_task(
            self._attempt(scope), name="reactive_auth token fetch"
        )
        task.add_done_callback(self._finished)
        self._host.home.track(task)

    def _cancel(self) -> None:
        if self._scope is not None:
            self._scope.cancel()
        self._task = self._scope = None

    async def _attempt(self, scope: Scope) -> Masked[object]:
        if scope.cancel_called:
            return Masked(None)
        scope.deadline = anyio.current_time() + self._host.policy.fetch_timeout
        with scope:
            return Masked(await self._host.mint(self.key))
        raise AuthTimeout(f"no answer within {self._host.policy.fetch_timeout:g} seconds")

    def _finished(self, task: asyncio.Task[Masked[object]]) -> None:
        failure: BaseException | None = None
        if task.cancelled():
            failure = AuthUnavailable("the token fetch was cancelled")
        else:
            failure = task.exception()  # marks it as retrieved, also when nobody wants it
        if task is not self._task:  # superseded, held or disposed: it touches nothing
            return
        self._task = self._scope = None
        if failure is None and task.result().value is not None:
            try:
                self._succeed(self._host.accept(self.key, task.result().value))
            except InvalidToken as error:
                self._fail(without_frames(error))
                if isinstance(error, TokenMismatch):
                    self._host.on_mismatch()
        elif failure is None or isinstance(failure, NotAuthenticated):
            self._host.on_ended(self.key)
        else:
            self._fail(failure)

    def _succeed(self, lease: Lease) -> None:
        self._lease = lease
        self._error = None
        self._failures = 0
        self.retry_at = 0.0
        self._unasked_from = lease.received + self._host.policy.min_interval
        self.poke()

    def _fail(self, failure: BaseException) -> None:
        if isinstance(failure, AuthError):
            self._error = failure
        else:
            self._error = AuthUnavailable(f"the token fetch raised {type(failure).__name__}")
            self._error.__cause__ = failure
        self._failures += 1
        asked = getattr(failure, "retry_after", None)
        wait = self._host.policy.backoff.delay(self._failures, asked)
        self.retry_at = self._host.clock.monotonic() + wait
        self.poke()

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at < math.inf:
                return  # it looks in time, and then sets the next
            self._timer.cancel()
            self._timer = None
        if at < math.inf:
            delay = max(0.0, at - self._host.clock.monotonic())
            self._timer = self._host.home.loop.call_later(delay, self._tick)
            self._timer_at = at

    def _tick(self) -> None:
        self._timer = None
        self.poke()
