"""How much is measured: in full, or so little that a test can run it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "TINY", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Counts, and seconds where it says so."""

    tasks: tuple[int, ...] = (1, 100, 1000)
    #: A thousand threads measure the machine's scheduler, not a library.
    threads: tuple[int, ...] = (1, 100)
    forced: int = 100
    #: Of the server's answers, seconds.
    latency: float = 0.2
    #: From a sign-out until one looks, seconds.
    later: float = 1.0
    clock_reads: int = 20
    #: Of a round of cached reads, seconds.
    round: float = 0.01
    rounds: int = 9
    observers: tuple[int, ...] = (1, 10, 1000)
    rotations: tuple[int, ...] = (10, 100, 1_000, 10_000)
    crowd: tuple[int, ...] = (1, 10, 100, 1_000, 3_000)
    imports: int = 7
    #: Clients kept, each byte of them traced; and without tracing, which takes five times as long.
    traced: tuple[int, ...] = (1, 1_000)
    resident: int = 10_000


FULL = Sizes()
TINY = Sizes(
    tasks=(1, 20),
    threads=(1, 8),
    forced=20,
    latency=0.02,
    later=0.05,
    clock_reads=3,
    round=0.0005,
    rounds=1,
    observers=(1, 5),
    rotations=(5, 20),
    crowd=(1, 5),
    imports=1,
    traced=(1, 20),
    resident=20,
)
