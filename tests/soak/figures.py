"""What a process holds, and whether it held as much before."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil

__all__ = ["Figures", "differences", "measure", "objects_of_ours"]


@dataclass(frozen=True)
class Figures:
    """``traced`` and ``resident`` are bytes; ``files`` are descriptors, on Windows handles."""

    traced: int
    resident: int
    files: int
    threads: int
    tasks: int
    timers: int
    objects: Counter[str] = field(repr=False)

    @property
    def ours(self) -> int:
        """How many objects of the library's types are alive."""
        return self.objects.total()


def objects_of_ours(*, collect: bool = True) -> Counter[str]:
    """Live objects by type. Without ``collect`` what only the garbage collector frees counts."""
    if collect:
        gc.collect()
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in map(type, gc.get_objects())
        if _module(kind).partition(".")[0] in ("reactive_auth", "reactivex")
    )


def _module(kind: type) -> str:
    module: Any = kind.__module__
    return module if isinstance(module, str) else ""


def measure(loop: asyncio.AbstractEventLoop | None = None) -> Figures:
    """As things are now; of the loop, too, where one is given."""
    process = psutil.Process()
    objects = objects_of_ours()
    tasks = asyncio.all_tasks(loop) if loop is not None else set()
    scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled", [])
    return Figures(
        traced=tracemalloc.get_traced_memory()[0],
        resident=process.memory_info().rss,
        files=process.num_handles() if psutil.WINDOWS else process.num_fds(),
        threads=threading.active_count(),
        tasks=sum(not task.done() for task in tasks),
        timers=sum(not timer.cancelled() for timer in scheduled),
        objects=objects,
    )


def differences(before: Figures, after: Figures, *, bytes_allowed: float) -> list[str]:
    """What is not as it was. Counts must be equal; memory may have grown by so much."""
    found = [
        f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
        for name in ("files", "threads", "tasks", "timers")
        if getattr(after, name) > getattr(before, name)
    ]
    found += [f"{count} more of {name}" for name, count in (after.objects - before.objects).items()]
    grown = after.traced - before.traced
    if grown > bytes_allowed:
        found.append(f"{grown / 1000:.1f} kB more memory; {bytes_allowed / 1000:.1f} are allowed")
    return found
