"""The issuer's keys: fetched when needed, kept through outages, asked for within bounds.

age of the keys                what a lookup does
=============================  ===============================================================
below ``max_age``              uses them
below ``max_stale``            fetches first; if that fails uses them, and while fetching goes
                               on failing fetches in the background
anything else, or none         fetches; if that fails: AuthUnavailable

A failed fetch is repeated with backoff. A key id that is not in the set causes one fetch per
``min_interval``, however many tokens bring however many such ids (HAZARDS S8).
"""

from __future__ import annotations

import asyncio
import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from ..clock import Clock
from ..errors import AuthClosed, AuthUnavailable
from ..policy import Backoff
from .endpoint import JwksEndpoint
from .keys import KeySet, read_key_set

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["RemoteKeySet"]

#: How long closing waits for a fetch that it aborted (seconds).
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class _Held:
    keys: KeySet
    monotonic: float
    wall: float

    def age(self, clock: Clock) -> float:
        # The monotonic clock may stand still in suspend, the wall clock be set back.
        return max(clock.monotonic() - self.monotonic, clock.wall() - self.wall)


class RemoteKeySet:
    """All durations in seconds. Belongs to one event loop at a time; another may follow it."""

    def __init__(
        self,
        endpoint: JwksEndpoint,
        algorithms: frozenset[str],
        *,
        clock: Clock,
        max_age: float,
        max_stale: float,
        min_interval: float,
        backoff: Backoff,
    ) -> None:
        self._endpoint = endpoint
        self._algorithms = algorithms
        self._clock = clock
        self._max_age = max_age
        self._max_stale = max_stale
        self._min_interval = min_interval
        self._backoff = backoff
        self._held: _Held | None = None
        self._failure: AuthUnavailable | None = None  # of the newest fetch
        self._failures = 0  # in a row
        self._retry_at = -math.inf
        self._asked_at = -math.inf  # when an unknown key id last caused a fetch
        self._fetches = 0  # that have ended
        self._task: asyncio.Task[None] | None = None
        self._scope: anyio.CancelScope | None = None  # of the task; needs a loop to be made
        self._closed = False

    async def find(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key of this id for this algorithm; None if the issuer publishes no such key.

        :raises AuthUnavailable: it cannot be told, because the keys could not be had.
        :raises AuthClosed: after :meth:`aclose`.
        """
        fetches = self._fetches
        keys = await self._current()
        if key_id not in keys.ids:
            if self._fetches != fetches:
                self._asked_at = self._clock.monotonic()  # the set is newer than the question
            elif self._fetching or self._may_ask():
                self._asked_at = self._clock.monotonic()
                await self._fetch()
                keys = self._usable()
            if key_id not in keys.ids and self._failure is not None:
                raise self._unavailable()
        return keys.get(key_id, algorithm)

    async def refresh(self) -> None:
        """Fetch now. Raises AuthUnavailable if that fails."""
        await self._fetch()
        if self._failure is not None:
            raise self._unavailable()
        self._usable()

    async def aclose(self) -> None:
        """Abort a fetch under way; whoever waits for it gets AuthClosed."""
        self._closed = True
        if self._fetching and self._task is not None and self._scope is not None:
            self._scope.cancel()
            await asyncio.wait([self._task], timeout=_PATIENCE)

    async def _current(self) -> KeySet:
        if self._closed:
            raise AuthClosed("the verifier is closed")
        age = math.inf if self._held is None else self._held.age(self._clock)
        if age >= self._max_age and (self._fetching or self._may_retry()):
            if self._failure is not None and age < self._max_stale:
                self._start()
            else:
                await self._fetch()
        return self._usable()

    def _usable(self) -> KeySet:
        if self._held is not None and self._held.age(self._clock) < self._max_stale:
            return self._held.keys
        raise self._unavailable()

    def _unavailable(self) -> AuthUnavailable:
        if self._failure is None:
            return AuthUnavailable("the fetch of the keys was abandoned")
        error = copy.copy(self._failure)  # each caller's traceback is its own
        error.retry_after = max(0.0, self._retry_at - self._clock.monotonic())
        return error

    def _may_retry(self) -> bool:
        return self._clock.monotonic() >= self._retry_at

    def _may_ask(self) -> bool:
        rested = self._clock.monotonic() >= self._asked_at + self._min_interval
        return rested and self._may_retry()

    # -- one fetch for all who wait ----------------------------------------------------------

    @property
    def _fetching(self) -> bool:
        task = self._task
        return (
            task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
        )

    def _start(self) -> asyncio.Task[None]:
        if self._task is None or not self._fetching:
            self._scope = anyio.CancelScope()
            self._task = asyncio.get_running_loop().create_task(
                self._run(self._scope), name="reactive_auth keys"
            )
        return self._task

    async def _fetch(self) -> None:
        if self._closed:
            raise AuthClosed("the verifier is closed")
        task, caller = self._start(), asyncio.current_task()
        try:
            await asyncio.shield(task)  # a caller that goes away leaves it to the others
        except asyncio.CancelledError:
            if not task.cancelled() or (caller is not None and caller.cancelling()):
                raise
        if self._closed:
            raise AuthClosed("the verifier was closed")

    async def _run(self, scope: anyio.CancelScope) -> None:
        begun = self._clock.monotonic(), self._clock.wall()
        try:
            body = await self._endpoint.get(scope)
            try:
                keys = read_key_set(body, self._algorithms)
            except ValueError as error:
                raise AuthUnavailable(str(error), request=self._endpoint.label) from None
        except AuthUnavailable as error:
            # No longer than keys are good for, whatever the server asks.
            asked = None if error.retry_after is None else min(error.retry_after, self._max_age)
            self._failures += 1
            self._failure = copy.copy(error)
            delay = self._backoff.delay(self._failures, asked)
            self._retry_at = self._clock.monotonic() + delay
        else:
            self._held = _Held(keys, *begun)
            self._failures, self._failure, self._retry_at = 0, None, -math.inf
        finally:
            self._fetches += 1
