"""Hours of virtual time, with the figures after each."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reactive_auth import Backoff, connect
from reactive_auth.testing import VirtualClock, run_virtual
from tests.wire.support import URL, MiniServer

from .figures import Figures, differences, measure
from .life import FakeWorld, Life, ServerWorld, World

__all__ = ["BYTES_AN_HOUR", "BYTES_AT_FIRST", "LEVELS", "Report", "soak", "traced"]

#: So much may be traced more for each hour, and once: dicts and caches have room to grow into.
BYTES_AN_HOUR, BYTES_AT_FIRST = 1_000.0, 40_000.0
_HOUR = 3600.0


@dataclass
class Report:
    """The figures after the warm-up and at the end, and what lies between."""

    level: str
    hours: float
    seconds: float
    events: int
    calls: int
    first: Figures
    last: Figures

    @property
    def growth(self) -> float:
        """Bytes traced more for each hour."""
        return (self.last.traced - self.first.traced) / self.hours

    @property
    def problems(self) -> list[str]:
        allowed = BYTES_AT_FIRST + BYTES_AN_HOUR * self.hours
        return differences(self.first, self.last, bytes_allowed=allowed)


@contextmanager
def traced() -> Iterator[None]:
    """Memory is traced meanwhile."""
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        yield
    finally:
        if mine:
            tracemalloc.stop()


def heart(clock: VirtualClock, draws: random.Random) -> World:
    return FakeWorld(clock, draws)


def whole(clock: VirtualClock, draws: random.Random) -> World:
    server = MiniServer(clock)
    auth = connect(
        URL,
        transport=server,
        clock=clock,
        backoff=Backoff(draw=draws.random),
        on_observer_error=lambda error: None,
        poll_interval=60,
    )
    return ServerWorld(clock, auth, server)


LEVELS: dict[str, Callable[[VirtualClock, random.Random], World]] = {
    "heart over the fake client": heart,
    "client over the scripted server": whole,
}


def soak(
    level: str,
    *,
    seed: int,
    hours: float | None = None,
    seconds: float | None = None,
    warm_up: float = 1.0,
    on_hour: Callable[[float, Figures], None] = lambda hour, figures: None,
) -> Report:
    """So many virtual hours, or as many as fit into so many real seconds, after a warm-up."""
    clock = VirtualClock()

    async def main() -> Report:
        loop = asyncio.get_running_loop()
        problems: list[object] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        world = LEVELS[level](clock, random.Random(seed))
        async with world.auth:
            life = Life(world, seed)
            await life.play(warm_up * _HOUR)
            await life.rest()
            await life.rest()  # what the first measurement itself left is there now
            first = last = measure(loop)
            began, done = time.perf_counter(), 0.0
            while done < hours if hours is not None else _left(began, seconds):
                part = 1.0 if hours is None else min(1.0, hours - done)
                await life.play(part * _HOUR)
                await life.rest()
                done += part
                last = measure(loop)
                on_hour(done, last)
            took = time.perf_counter() - began
        assert not problems, problems[:3]
        return Report(level, done, took, life.events, life.calls, first, last)

    with traced():
        return run_virtual(main(), clock)


def _left(began: float, seconds: float | None) -> bool:
    return time.perf_counter() - began < (seconds or 0.0)
