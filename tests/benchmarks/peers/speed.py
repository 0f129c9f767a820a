"""What a read, a change and a rotation cost, and how that grows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import statistics
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import perf_counter

from ..compare import Cell, Comparison, number
from ..table import Call, medians
from .base import Peer, Rotor, Use, call, maybe
from .server import PeerServer
from .sizes import Sizes

__all__ = ["run"]


async def run(table: Comparison, peers: list[Peer], server: PeerServer, sizes: Sizes) -> None:
    for kind in ("tasks", "threads"):
        await _reads(table, peers, server, sizes, kind)
    for observers in sizes.observers:
        await _fan_out(table, peers, observers, sizes)
    await _past(table, peers, sizes)
    await _crowd(table, peers, sizes)


# -- reads -------------------------------------------------------------------------------------


async def _reads(
    table: Comparison, peers: list[Peer], server: PeerServer, sizes: Sizes, kind: str
) -> None:
    cells: dict[str, Cell] = {}
    calls: dict[str, Call] = {}
    counts: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        for peer in peers:
            opened = peer.tasks(server) if kind == "tasks" else peer.threads(server)
            if opened is None:
                cells[peer.name] = Cell("–", note=peer.why[kind])
                continue
            if kind == "tasks":
                use = await stack.enter_async_context(opened)  # type: ignore[arg-type]
            else:
                use = await call(opened.__enter__)  # type: ignore[union-attr]
                stack.push_async_callback(call, opened.__exit__, None, None, None)  # type: ignore[union-attr]
            await call(use.token)
            counts[peer.name] = await _calibrate(use, sizes.round)
            calls[peer.name] = _read(use, counts[peer.name])
        await _compare(table, f"cached read, from {kind}: ns", calls, counts, cells, peers, sizes)


def _read(use: Use, reads: int) -> Call:
    token = use.token

    async def awaited() -> None:
        for _ in range(reads):
            await token()

    def called() -> None:
        for _ in range(reads):
            token()

    return awaited if inspect.iscoroutinefunction(token) else called


async def _calibrate(use: Use, seconds: float) -> int:
    began = perf_counter()
    await maybe(_read(use, 20)())
    return max(20, int(seconds / ((perf_counter() - began) / 20)))


async def _compare(
    table: Comparison,
    name: str,
    calls: dict[str, Call],
    counts: dict[str, int],
    cells: dict[str, Cell],
    peers: list[Peer],
    sizes: Sizes,
    scale: float = 1e9,
    why: str = "read",
) -> None:
    """A row of what each costs, and one of how often ours that is; ours is the first."""
    names = list(calls)
    each, ratios = await medians(*calls.values(), rounds=sizes.rounds)
    notes = {peer.name: peer.why.get(why, "") for peer in peers}
    costs = dict(cells)
    times = dict(cells)
    for index, peer in enumerate(names):
        costs[peer] = number(each[index] / counts[peer] * scale, notes[peer])
        # medians() gives ours / peer for as many reads as each was given.
        ratio = counts[names[0]] / counts[peer] / ratios[index - 1] if index else 1.0
        times[peer] = number(ratio, notes[peer])
    table.add(name, costs, "least")
    table.add("  times ours", times)


# -- fan-out -----------------------------------------------------------------------------------


def _ignore(*values: object) -> None:
    pass


async def _fan_out(table: Comparison, peers: list[Peer], observers: int, sizes: Sizes) -> None:
    cells: dict[str, Cell] = {}
    calls: dict[str, Call] = {}
    changes = max(10, int(sizes.round * 300_000 / observers))
    async with AsyncExitStack() as stack:
        for peer in peers:
            opened = peer.hub()
            if opened is None:
                cells[peer.name] = Cell("–", note=peer.why["fan-out"])
                continue
            hub = await stack.enter_async_context(opened)
            kept = [hub.observe(lambda *values: None) for _ in range(observers)]
            stack.callback(kept.clear)

            def emit(change: Call = hub.emit) -> None:
                for _ in range(changes):
                    change()

            calls[peer.name] = emit
        counts = dict.fromkeys(calls, changes)
        name = f"a change to {observers:,} observer{'s' * (observers > 1)}: µs"
        await _compare(table, name, calls, counts, cells, peers, sizes, 1e6, "fan-out")


# -- rotations ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _rotor(peer: Peer) -> AsyncIterator[Rotor | None]:
    opened = peer.rotor()
    if opened is None:
        yield None
        return
    async with opened as rotor:
        yield rotor


async def _past(table: Comparison, peers: list[Peer], sizes: Sizes) -> None:
    """The cost of one more rotation after so many; and what the past ones have left behind."""
    rows: list[dict[str, Cell]] = [{} for _ in sizes.rotations]
    left: dict[str, Cell] = {}
    grown: dict[str, Cell] = {}
    for peer in peers:
        note = peer.why.get("rotate", "")
        async with _rotor(peer) as rotor:
            if rotor is None:
                for row in (*rows, left, grown):
                    row[peer.name] = Cell("–", note=note)
                continue
            spent = [await _rotate(rotor, user) for user in range(sizes.rotations[-1])]
            costs = [
                # The last tenth, at least the last five, of so many.
                statistics.median(spent[max(0, count - max(5, count // 10)) : count]) * 1e6
                for count in sizes.rotations
            ]
            for row, cost in zip(rows, costs, strict=True):
                row[peer.name] = number(cost, note)
            grown[peer.name] = number(costs[-1] / costs[1], note)
        async with _rotor(peer) as rotor:
            assert rotor is not None
            left[peer.name] = number(await _left(rotor, sizes.rotations[-2]), note)
    for count, row in zip(sizes.rotations, rows, strict=True):
        table.add(f"a rotation after {count:,} in a row: µs", row, "least")
    table.add(f"  after {sizes.rotations[-1]:,} / after {sizes.rotations[1]:,}", grown, "least")
    table.add("  bytes kept of each past session", left, "least")


async def _rotate(rotor: Rotor, user: int) -> float:
    began = perf_counter()
    await maybe(rotor.rotate(user))
    return perf_counter() - began


async def _rest() -> None:
    """Let cancelled tasks and timers go: without it they count as kept."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _left(rotor: Rotor, rotations: int) -> float:
    for user in range(50):  # what is made once is made
        await maybe(rotor.rotate(user))
    await _rest()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for user in range(50, 50 + rotations):
            await maybe(rotor.rotate(user))
        await _rest()
        gc.collect()
        return max(0.0, round((tracemalloc.get_traced_memory()[0] - before) / rotations))
    finally:
        tracemalloc.stop()


async def _crowd(table: Comparison, peers: list[Peer], sizes: Sizes) -> None:
    """The cost of a rotation with so many observers, in rounds over all peers."""
    for observers in sizes.crowd:
        cells: dict[str, Cell] = {}
        calls: dict[str, Call] = {}
        async with AsyncExitStack() as stack:
            for peer in peers:
                rotor = await stack.enter_async_context(_rotor(peer))
                if rotor is None or rotor.observe is None:
                    why = "rotate" if rotor is None else "observers"
                    cells[peer.name] = Cell("–", note=peer.why[why])
                    continue
                kept = [rotor.observe(lambda *values: None) for _ in range(observers)]
                stack.callback(kept.clear)
                calls[peer.name] = _rotations(rotor, 20)
            each, _ = await medians(*calls.values(), rounds=sizes.rounds)
        for peer in peers:
            if peer.name in calls:
                seconds = each[list(calls).index(peer.name)] / 20
                cells[peer.name] = number(seconds * 1e6, peer.why.get("rotate", ""))
        table.add(
            f"a rotation with {observers:,} observer{'s' * (observers > 1)}: µs", cells, "least"
        )


def _rotations(rotor: Rotor, count: int) -> Call:
    users = iter(range(10**9))

    async def call() -> None:
        for _ in range(count):
            await maybe(rotor.rotate(next(users)))

    return call
