"""What a cached read costs."""

from __future__ import annotations

import asyncio
import time

from reactive_auth import AuthProvider
from reactive_auth.testing import FakeAuthClient

from .table import Table, alone, medians

#: Reads a round; unrolled tenfold, so that the loop around them weighs little.
READS = 100_000


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


def run(table: Table) -> None:
    asyncio.run(_reads(table))


async def _reads(table: Table) -> None:
    client, peer = FakeAuthClient(), Peer()
    async with AuthProvider(client) as auth:
        client.sign_in("A")
        await auth.fetch_access_token()

        async def fetch() -> None:
            f = auth.fetch_access_token
            for _ in range(READS // 10):
                await f(), await f(), await f(), await f(), await f()
                await f(), await f(), await f(), await f(), await f()

        async def least() -> None:
            f = peer.read
            for _ in range(READS // 10):
                await f(), await f(), await f(), await f(), await f()
                await f(), await f(), await f(), await f(), await f()

        def value() -> None:
            a = auth
            for _ in range(READS // 10):
                _ = a.token.value, a.token.value, a.token.value, a.token.value, a.token.value
                _ = a.token.value, a.token.value, a.token.value, a.token.value, a.token.value

        def attribute() -> None:
            p = peer
            for _ in range(READS // 10):
                _ = p.value, p.value, p.value, p.value, p.value
                _ = p.value, p.value, p.value, p.value, p.value

        each, ratios = await medians(fetch, least)
        table.add("cached fetch_access_token() / empty async def", ratios[0], "≤ 3")
        table.add("  ns each, ours and empty", _ns(each))
        each, ratios = await medians(value, attribute)
        table.add("auth.token.value / a property", ratios[0], "≤ 2")
        table.add("  ns each, ours and property", _ns(each))


def _ns(each: list[float]) -> str:
    return " / ".join(f"{seconds / READS * 1e9:.0f}" for seconds in each)


if __name__ == "__main__":
    alone(run)
