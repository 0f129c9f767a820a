"""Coalescing, cached reads, fan-out, the cost of a rotation."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from reactivex.subject import BehaviorSubject, Subject

from reactive_auth import AuthProvider, connect_blocking
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.testing import FakeAuthClient

from .table import Table, ratio, timed

READS = 50_000


def run(table: Table) -> None:
    asyncio.run(_coalescing(table))
    _threads(table)
    asyncio.run(_cached(table))
    asyncio.run(_fan_out(table))
    asyncio.run(_rotations(table))


async def _coalescing(table: Table) -> None:
    client = FakeAuthClient()
    async with AuthProvider(client) as auth:
        client.sign_in("A")
        client.then_token(delay=0.01)
        await asyncio.gather(*(auth.fetch_access_token() for _ in range(1000)))
        table.add("requests for 1,000 callers, empty cache", len(client.fetches), "1")
        client.then_token(delay=0.01)
        forced = (auth.fetch_access_token(force_refresh=True) for _ in range(100))
        await asyncio.gather(*forced)
        table.add("requests for 100 forced callers", len(client.fetches) - 1, "1")


def _threads(table: Table) -> None:
    server = EmbeddedServer()
    with server.serve() as url, connect_blocking(url) as auth:
        auth.client.sign_up_email(email="a@example.com", password="correct-horse", name="A")
        before = server.count("/convex/token")
        server.faults.delay("/convex/token", 0.2)
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda _: auth.fetch_access_token(force_refresh=True), range(32)))
        made = server.count("/convex/token") - before
        table.add("requests for 32 threads, forced", made, "1")
    server.close()


class Peer:
    """The least that a cached read could be."""

    def __init__(self) -> None:
        self._value = "token"
        self._clock = time.monotonic

    @property
    def value(self) -> str:
        return self._value

    async def read(self) -> str:
        self._clock()
        return self._value


async def _cached(table: Table) -> None:
    client, peer = FakeAuthClient(), Peer()
    async with AuthProvider(client) as auth:
        client.sign_in("A")
        await auth.fetch_access_token()

        async def ours() -> None:
            for _ in range(READS):
                await auth.fetch_access_token()

        async def least() -> None:
            for _ in range(READS):
                await peer.read()

        table.add("cached fetch / empty async def", await ratio(ours, least), "≤ 3")
        token = auth.token

        async def value() -> None:
            for _ in range(READS):
                _ = token.value

        async def attribute() -> None:
            for _ in range(READS):
                _ = peer.value

        table.add("token.value / property", await ratio(value, attribute), "≤ 2")


async def _fan_out(table: Table) -> None:
    for observers in (1, 10, 1000):
        client = FakeAuthClient()
        async with AuthProvider(client) as auth:
            seen: list[object] = []
            subject: Subject[int] = Subject()
            behavior: BehaviorSubject[int] = BehaviorSubject(0)
            for _ in range(observers):
                auth.session.subscribe(lambda state: None)
                subject.subscribe(lambda value: None)
                behavior.subscribe(lambda value: None)
            del seen
            rounds = max(5, 20_000 // observers)

            def emit_ours(client: FakeAuthClient = client, rounds: int = rounds) -> None:
                for n in range(rounds):
                    client.sign_in("A", f"u{n}")

            def emit_subject(subject: Subject[int] = subject, rounds: int = rounds) -> None:
                for n in range(rounds):
                    subject.on_next(n)

            def emit_behavior(
                behavior: BehaviorSubject[int] = behavior, rounds: int = rounds
            ) -> None:
                for n in range(rounds):
                    behavior.on_next(n)

            spent = [timed(call) / rounds for call in (emit_ours, emit_subject, emit_behavior)]
            us = [f"{seconds * 1e6:.1f}" for seconds in spent]
            table.add(f"µs a change to {observers} observers / Subject / Behavior", "/".join(us))


async def _rotations(table: Table) -> None:
    for waiters in (0, 300, 3000):
        client = FakeAuthClient(manual=True)
        async with AuthProvider(client) as auth:
            client.sign_in("0")
            calls = [asyncio.ensure_future(auth.fetch_access_token()) for _ in range(waiters)]
            await asyncio.sleep(0)
            began, rounds = perf_counter(), 300
            for n in range(rounds):
                client.sign_in(str(n))
            spent = (perf_counter() - began) / rounds
            table.add(f"µs a rotation with {waiters} waiters", spent * 1e6)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
