"""A loop with real sockets whose time a test moves on, so that a minute of backoff costs none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["ShiftedClock", "run_shifted"]

T = TypeVar("T")


class ShiftedClock:
    """The machine's clocks plus what a test adds. Has the shape of :class:`reactive_auth.Clock`.

    ``advance`` is time passing; ``suspend`` is time passing in which monotonic clocks and timers
    stood still; ``skew`` is by how much this machine's wall clock is wrong, in seconds.
    """

    def __init__(self) -> None:
        self.skew = 0.0
        self._passed = 0.0
        self._slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._passed

    def wall(self) -> float:
        return self.server() + self.skew

    def server(self) -> float:
        """Seconds since the Unix epoch, as a server with a right clock has it."""
        return time.time() + self._passed + self._slept

    @property
    def offset(self) -> float:
        """How far the server's clock is from this machine's real one."""
        return self._passed + self._slept

    def advance(self, seconds: float) -> None:
        self._passed += seconds

    def suspend(self, seconds: float) -> None:
        self._slept += seconds


class _ShiftedLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: ShiftedClock) -> None:
        self._shifted = clock
        super().__init__()

    def time(self) -> float:
        return self._shifted.monotonic()


def run_shifted(main: Coroutine[Any, Any, T], clock: ShiftedClock) -> T:
    """Run a coroutine to its end on a loop whose timers follow this clock."""
    with asyncio.Runner(loop_factory=lambda: _ShiftedLoop(clock)) as runner:
        return runner.run(main)
