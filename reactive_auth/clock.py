"""Time as a parameter: the two clocks that expiry needs."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock"]


class Clock(Protocol):
    """Two readings in seconds.

    ``monotonic`` never jumps but may stand still while the machine sleeps
    (python/cpython#106940); it must be the clock of the running event loop's timers. ``wall``
    is seconds since the Unix epoch and may be wrong or jump. Expiry is checked on both.
    """

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


SYSTEM_CLOCK: Clock = SystemClock()
