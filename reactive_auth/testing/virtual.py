"""Virtual time: an event loop that jumps its clock instead of sleeping.

Hours pass in microseconds, in the same order every time, and code that waits for something
that can never happen is reported instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

__all__ = ["Deadlock", "VirtualClock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")

#: 2026-01-01T00:00:00Z, the wall time at which virtual time starts.
_EPOCH = 1_767_225_600.0


class Deadlock(RuntimeError):
    """Everything waits and no timer is set: real time would never end this."""


class VirtualClock:
    """Both clocks of a virtual loop. Has the shape of :class:`reactive_auth.Clock`.

    ``wall`` runs with ``monotonic`` plus :attr:`skew` seconds; set it to have a wrong clock, or
    call :meth:`suspend` for a sleep in which only the wall clock went on.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.skew = 0.0

    def monotonic(self) -> float:
        """Seconds since the loop was made."""
        return self.now

    def wall(self) -> float:
        """Seconds since the Unix epoch, as this machine believes."""
        return _EPOCH + self.now + self.skew

    def server(self) -> float:
        """Seconds since the Unix epoch as a server with a right clock has it."""
        return _EPOCH + self.now + self._slept

    _slept = 0.0

    def suspend(self, seconds: float) -> None:
        """The machine slept: wall time passed, monotonic time and its timers stood still."""
        self.skew += seconds
        self._slept += seconds


class _Jump(selectors.BaseSelector):
    """A selector that does no I/O and advances the clock by the time it was to wait."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("every task waits and no timer is set")
        self._clock.now += max(0.0, timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        raise RuntimeError("a virtual loop does no I/O")

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        raise RuntimeError("a virtual loop does no I/O")

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """An asyncio event loop on virtual time. Does no I/O and takes no calls from threads."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        super().__init__()
        self.clock = clock or VirtualClock()
        self._selector = _Jump(self.clock)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.clock.now

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run_virtual(main: Coroutine[Any, Any, T], clock: VirtualClock | None = None) -> T:
    """Run a coroutine to its end in virtual time, as ``asyncio.run`` does in real time.

    :raises Deadlock: everything waits and no timer is set.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main)
