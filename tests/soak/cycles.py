"""Thousands of short lives: observers that come and go, providers that are opened and closed."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reactive_auth import AuthProvider, connect, connect_blocking
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.testing import FakeAuthClient, VirtualClock, run_virtual

from .figures import Figures, differences, measure, objects_of_ours
from .hours import traced
from .life import STREAMS

__all__ = ["Lives", "blocking_providers", "observers", "providers", "uncollected"]


@dataclass
class Lives:
    """Figures before and after so many of them, both after a warm-up."""

    what: str
    count: int
    before: Figures
    after: Figures
    #: Objects of the library and of reactivex, for each life, that only the collector frees.
    cyclic: Counter[str]

    @property
    def growth(self) -> float:
        """Bytes traced more for each life."""
        return (self.after.traced - self.before.traced) / self.count

    def problems(self, bytes_allowed: float) -> list[str]:
        return differences(self.before, self.after, bytes_allowed=bytes_allowed)


@contextmanager
def no_collector() -> Iterator[None]:
    """Only reference counting frees anything meanwhile."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def uncollected(live: Callable[[], None], times: int = 10) -> Counter[str]:
    """What stays for each of so many lives while the collector is off."""
    live()
    with no_collector():
        before = objects_of_ours(collect=False)
        for _ in range(times):
            live()
        left = objects_of_ours(collect=False) - before
    return Counter({name: count // times for name, count in left.items() if count >= times})


def observers(kind: str, count: int) -> Lives:
    """Subscribe to a stream of a provider and dispose, one after the other."""
    clock = VirtualClock()

    async def main() -> Lives:
        loop = asyncio.get_running_loop()
        client = FakeAuthClient(clock)
        async with AuthProvider(client, clock=clock) as auth:
            client.sign_in()
            await auth.fetch_access_token()
            stream = STREAMS[kind](auth)

            def live() -> None:
                stream.subscribe(lambda value: None, on_error=lambda error: None).dispose()

            for _ in range(200):
                live()
            await asyncio.sleep(1)
            before = measure(loop)
            for number in range(count):
                live()
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(1)
            return Lives(f"subscribers of {kind}", count, before, measure(loop), uncollected(live))

    with traced():
        return run_virtual(main(), clock)


def providers(count: int) -> Lives:
    """Open a provider over a socket, ask for its session, close it."""
    with EmbeddedServer() as server, server.serve() as url, traced():

        async def live() -> None:
            async with connect(url) as auth:
                await auth.client.refetch()
            server.requests.clear()

        async def main() -> Lives:
            loop = asyncio.get_running_loop()
            for _ in range(20):
                await live()
            await server_idle(server)
            before = measure(loop)
            for _ in range(count):
                await live()
            await server_idle(server)
            after = measure(loop)
            with no_collector():
                first = objects_of_ours(collect=False)
                for _ in range(10):
                    await live()
                await server_idle(server)
                left = objects_of_ours(collect=False) - first
            cyclic = Counter({name: n // 10 for name, n in left.items() if n >= 10})
            return Lives("providers over sockets", count, before, after, cyclic)

        return asyncio.run(main())


async def server_idle(server: EmbeddedServer) -> None:
    """Until the server's side of every connection has ended, too."""

    async def others() -> int:
        return len(asyncio.all_tasks()) - 1

    async with asyncio.timeout(60):
        # Another thread's loop has no event for this.
        while await asyncio.wrap_future(server._loop.submit(others)) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0)


def blocking_providers(count: int) -> Lives:
    """The same with the blocking twin, whose two threads end with it."""
    with EmbeddedServer() as server, server.serve() as url, traced():

        def live() -> None:
            with connect_blocking(url) as auth:
                auth.client.refetch()
            server.requests.clear()

        def idle() -> None:
            asyncio.run(server_idle(server))

        for _ in range(10):
            live()
        idle()
        before = measure()
        for _ in range(count):
            live()
        idle()
        after = measure()
        return Lives("blocking providers", count, before, after, uncollected(live))
