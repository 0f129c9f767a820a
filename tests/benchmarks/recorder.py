"""What it costs to record: time for each mark, and memory however long it goes on."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter

from reactive_auth import AuthProvider
from reactive_auth.testing import FakeAuthClient
from reactive_auth.timeline import Timeline, record

from .table import Table, alone, medians

#: Session changes in a round; each makes a mark of the session and one of the state.
CHANGES = 2_000
LIMIT = 2_000
REST = 8

Auth = AuthProvider[FakeAuthClient]


def run(table: Table) -> None:
    asyncio.run(_time(table))
    asyncio.run(_memory(table))


def _ignore(value: object) -> None:
    pass


@asynccontextmanager
async def _signed_in() -> AsyncGenerator[Auth]:
    client = FakeAuthClient()
    async with AuthProvider(client) as auth:
        client.sign_in("A")
        await auth.fetch_access_token()
        yield auth


async def _rest() -> None:
    for _ in range(REST):
        await asyncio.sleep(0)


async def _time(table: Table) -> None:
    """The difference of the same changes with and without a recorder, by the marks it makes."""
    async with _signed_in() as plain, _signed_in() as observed, _signed_in() as recorded:
        for stream in (observed.session, observed.token, observed.state):
            stream.subscribe(_ignore)
        timeline = record(recorded, limit=LIMIT)
        await _rest()

        users = count()

        def emit(auth: Auth) -> Callable[[], None]:
            def call() -> None:
                for _ in range(CHANGES):
                    auth.client.sign_in("A", f"u{next(users)}")

            return call

        marks = await _marks_of(emit(recorded), timeline)
        assert marks == 2 * CHANGES, f"{marks} marks of {CHANGES} changes"
        with_it, without, ignored = (await medians(emit(recorded), emit(plain), emit(observed)))[0]
        table.add("recorder, one mark: µs", (with_it - without) / marks * 1e6, "≤ 5")
        table.add("  of it, beyond three observers", (with_it - ignored) / marks * 1e6)
        table.add("  a session change, without and with a recorder: µs", _each(without, with_it))
        began = perf_counter()
        timeline.marbles()
        table.add(f"  a picture of {LIMIT:,} marks: ms", (perf_counter() - began) * 1e3)


async def _marks_of(emit: Callable[[], None], timeline: Timeline) -> int:
    made = 0

    def counted() -> None:
        nonlocal made
        made += 1

    timeline.watch(counted)
    emit()
    timeline._watchers.remove(counted)
    return made


def _each(*seconds: float) -> str:
    return ", ".join(f"{value / CHANGES * 1e6:.1f}" for value in seconds)


async def _memory(table: Table) -> None:
    """Bytes at the limit, and after ten times as many marks."""
    for what, name in (("changes of one session", "A"), ("rotations", "{}")):
        async with _signed_in() as auth:
            client, numbers = auth.client, count(1)
            timeline = record(auth, limit=LIMIT)
            for _ in range(50):  # what is made once is made
                client.sign_in(name.format(next(numbers)), f"u{next(numbers)}")
                await _rest()
            made = 0

            def counted() -> None:
                nonlocal made
                made += 1

            timeline.watch(counted)
            timeline.marks.clear()
            gc.collect()
            tracemalloc.start()
            try:
                bytes_at: list[int] = []
                for marks in (LIMIT, 10 * LIMIT):
                    while made < marks:
                        number = next(numbers)
                        client.sign_in(name.format(number), f"u{number}")
                        await _rest()
                        client.fetches.clear()
                    gc.collect()
                    bytes_at.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
            assert len(timeline.marks) == LIMIT
            at_limit, later = bytes_at
            table.add(f"recorder, {what}: KiB at {LIMIT:,} marks", at_limit / 1024)
            table.add(f"  after {10 * LIMIT:,} / at {LIMIT:,}", later / at_limit, "≤ 1.2")


if __name__ == "__main__":
    alone(run)
