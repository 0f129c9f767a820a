"""What the tests of the heart share: a scenario in virtual time, and observers that remember."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable

from reactive_auth import AuthProvider
from reactive_auth.testing import FakeAuthClient, VirtualClock, run_virtual

T = TypeVar("T")
Scenario = Callable[["Stage"], Awaitable[T]]


class Seen(Generic[T]):
    """An observer that remembers everything it was told."""

    def __init__(self, stream: Observable[T], hook: Callable[[T], None] | None = None) -> None:
        self.values: list[T] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self._hook = hook
        self.subscription = stream.subscribe(self._next, self.errors.append, self._done)

    def _next(self, value: T) -> None:
        self.values.append(value)
        if self._hook is not None:
            self._hook(value)

    def _done(self) -> None:
        self.completed += 1


class Stage:
    """A provider over a scripted client in virtual time."""

    def __init__(self, clock: VirtualClock, **options: Any) -> None:
        fake = {name: options.pop(name) for name in ("lifetime", "manual") if name in options}
        self.clock = clock
        self.client = FakeAuthClient(clock, **fake)
        self.reported: list[Exception] = []
        options.setdefault("clock", clock)
        options.setdefault("on_observer_error", self.reported.append)
        self.auth = AuthProvider(self.client, **options)
        self.loop_errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.loop_errors.append(context)
        )

    async def rest(self, ticks: int = 20) -> None:
        """Let everything that is due now happen; no time passes."""
        for _ in range(ticks):
            await asyncio.sleep(0)

    def call(self, **arguments: Any) -> asyncio.Task[str | None]:
        """A caller of fetch_access_token."""
        return asyncio.ensure_future(self.auth.fetch_access_token(**arguments))

    @property
    def token(self) -> str | None:
        """The value of the current token."""
        token = self.auth.token.value
        return None if token is None else token.value


def staged(**options: Any) -> Callable[[Scenario[None]], Callable[[], None]]:
    """Make an async test out of a scenario: virtual time, and nothing left over at its end."""

    def decorate(scenario: Scenario[None]) -> Callable[[], None]:
        @functools.wraps(scenario)
        def test() -> None:
            play(scenario, **options)

        del test.__wrapped__  # pytest would read the scenario's parameters as fixtures
        return test

    return decorate


def play(scenario: Scenario[T], **options: Any) -> T:
    """Run one scenario."""
    clock = VirtualClock()

    async def main() -> T:
        stage = Stage(clock, **options)
        try:
            return await scenario(stage)
        finally:
            await stage.auth.aclose()
            await stage.rest()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, others
            assert not stage.loop_errors, stage.loop_errors

    return run_virtual(main(), clock)
