"""What importing and keeping costs, each in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tracemalloc

import psutil

from ..compare import Cell, Comparison, number
from . import load
from .base import Peer
from .sizes import Sizes

__all__ = ["run"]

_IMPORT = """\
import sys, time, psutil
before = psutil.Process().memory_info().rss
began = time.perf_counter()
import {}
print(time.perf_counter() - began, psutil.Process().memory_info().rss - before)
"""


def run(table: Comparison, peers: dict[str, Peer], sizes: Sizes) -> None:
    _imports(table, list(peers.values()), sizes)
    found = {name: _children(name, sizes) for name in peers}
    for index, count in enumerate((*sizes.traced, sizes.resident)):
        cells = {
            peer.name: number(found[name][index], peer.why.get("hold", ""))
            for name, peer in peers.items()
        }
        how = "resident" if index == len(sizes.traced) else "traced"
        name = f"memory of {count:,} idle client{'s' * (count > 1)}, signed in: KiB each, {how}"
        table.add(name, cells, "least")


def _imports(table: Comparison, peers: list[Peer], sizes: Sizes) -> None:
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    size: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for turn in range(sizes.imports + 1):
        for peer in peers if turn % 2 else reversed(peers):
            spent, resident = _python("-c", _IMPORT.format(peer.imports)).split()
            if turn:  # the first has it compiled and in the page cache
                seconds[peer.name].append(float(spent))
                size[peer.name].append(float(resident))
    ours = peers[0].name
    notes = {peer.name: peer.why.get("import", "") for peer in peers}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    row: dict[str, Cell] = {n: number(value * 1e3, notes[n]) for n, value in medians.items()}
    table.add("import: ms", row, "least")
    row = {n: number(value / medians[ours], notes[n]) for n, value in medians.items()}
    table.add("  times ours", row)
    row = {n: number(statistics.median(v) / 2**20, notes[n]) for n, v in size.items()}
    table.add("import: MiB resident", row, "least")


def _children(name: str, sizes: Sizes) -> list[float]:
    """KiB each: traced, for each count; then resident."""
    counts = [str(count) for count in sizes.traced]
    traced = json.loads(_python("-m", __name__, name, "traced", *counts))
    resident = json.loads(_python("-m", __name__, name, "resident", str(sizes.resident)))
    return [*traced, *resident]


def _python(*arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


async def measure(peer: Peer, how: str, counts: list[int]) -> list[float]:
    """KiB of each client when there are so many."""
    gc.set_threshold(100_000, 50, 50)  # all of it is kept: looking for garbage takes time only
    warm = await peer.hold([f"w{number}" for number in range(3)])
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    if how == "traced":
        tracemalloc.start()
    kept: list[object] = []
    found: list[float] = []
    done = 0
    for count in counts:
        kept += await peer.hold([f"s{number}" for number in range(done, count)])
        done = count
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        if how == "traced":
            size = tracemalloc.get_traced_memory()[0]
        else:
            size = process.memory_info().rss - before
        found.append(size / count / 1024)
    del warm
    return found


if __name__ == "__main__":
    result = asyncio.run(measure(load(sys.argv[1]), sys.argv[2], [int(c) for c in sys.argv[3:]]))
    print(json.dumps(result))
    sys.stdout.flush()
    # Thousands of clients are let go of by the end of the process, not one by one.
    import os

    os._exit(0)
