"""What a change and a rotation cost, by how many observe and how many wait."""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable
from itertools import count
from time import perf_counter

from reactivex.subject import BehaviorSubject, Subject

from reactive_auth import AuthProvider
from reactive_auth.testing import FakeAuthClient

from .table import Table, alone, medians

CROWDS = (1, 10, 1000)
#: Ticks of the loop in which everything that a rotation set off has come to rest.
REST = 8


def run(table: Table) -> None:
    asyncio.run(_fan_out(table))
    asyncio.run(_rotations(table))


def _ignore(value: object) -> None:
    pass


async def _fan_out(table: Table) -> None:
    ours: dict[int, float] = {}
    plain: dict[int, float] = {}
    for observers in CROWDS:
        client = FakeAuthClient()
        async with AuthProvider(client) as auth:
            client.sign_in("A")
            subject: Subject[object] = Subject()
            behavior: BehaviorSubject[object] = BehaviorSubject(0)
            callbacks: list[Callable[[object], None]] = [_ignore] * observers
            for _ in range(observers):
                auth.state.subscribe(_ignore)
                subject.subscribe(_ignore)
                behavior.subscribe(_ignore)
            changes = max(20, 3_000 // observers)
            users = count()

            def state(
                client: FakeAuthClient = client, changes: int = changes, users: count[int] = users
            ) -> None:
                for _ in range(changes):
                    client.sign_in("A", f"u{next(users)}")

            def emit(target: Subject[object], changes: int = changes) -> Callable[[], None]:
                def call() -> None:
                    for n in range(changes):
                        target.on_next(n)

                return call

            def loop(
                callbacks: list[Callable[[object], None]] = callbacks, changes: int = changes
            ) -> None:
                for n in range(changes):
                    for callback in callbacks:
                        callback(n)

            each, ratios = await medians(state, emit(subject), emit(behavior), loop)
            us = [seconds / changes * 1e6 for seconds in each]
            ours[observers], plain[observers] = us[0], us[1]
            table.add(
                f"change to {observers:,} of auth.state / Subject, BehaviorSubject, list",
                ", ".join(f"{ratio:.1f}" for ratio in ratios),
            )
            table.add("  µs", ", ".join(f"{value:.1f}" for value in us))
    least, most = CROWDS[0], CROWDS[-1]
    slope = (ours[most] - ours[least]) / (plain[most] - plain[least])
    table.add("  one observer more / one more of a Subject", slope)


async def _rotations(table: Table) -> None:
    base = 0.0
    for observers, waiters in ((1, 0), (10, 0), (1000, 0), (1, 300), (1, 3000)):
        at_once, at_rest = await _rotation(observers, waiters)
        base = base or at_rest
        who = f"{waiters:,} waiters" if waiters else f"{observers:,} observers"
        table.add(f"rotation with {who} / with 1 observer", at_rest / base)
        table.add("  µs: the call, until at rest", f"{at_once * 1e6:.0f}, {at_rest * 1e6:.0f}")


async def _rotation(observers: int, waiters: int) -> tuple[float, float]:
    """Median seconds of the synchronous part, and until all who wait have looked and wait again.

    A fetch is under way each time, and is cancelled by it.
    """
    client = FakeAuthClient(manual=True)
    call: list[float] = []
    rest: list[float] = []
    async with AuthProvider(client, timeout=600, fetch_timeout=600) as auth:
        client.sign_in("first")
        auth.token.subscribe(_ignore)
        for _ in range(observers):
            auth.state.subscribe(_ignore)
        calls = [asyncio.ensure_future(auth.fetch_access_token()) for _ in range(waiters)]
        for _ in range(REST):
            await asyncio.sleep(0)
        gc.collect()
        for number in range(100 if waiters < 1000 else 40):
            began = perf_counter()
            client.sign_in(str(number))
            call.append(perf_counter() - began)
            for _ in range(REST):
                await asyncio.sleep(0)
            rest.append(perf_counter() - began)
            client.fetches[:-1] = []
        client.fetches[-1].resolve(client.token_for(client.fetches[-1].session))
        answers = await asyncio.gather(*calls)
        assert len(set(answers)) == (1 if waiters else 0)
    return statistics.median(call), statistics.median(rest)


if __name__ == "__main__":
    alone(run)
