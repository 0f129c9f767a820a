"""Requests made for many callers at once, over real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from reactive_auth import connect, connect_blocking

from .server import COOKIE, RotatingServer, serve
from .table import Table, alone

TOKEN = "/convex/token"


def run(table: Table) -> None:
    with serve(RotatingServer(latency=0.2)) as server:
        asyncio.run(_tasks(table, server))
        _threads(table, server)


async def _tasks(table: Table, server: RotatingServer) -> None:
    async with connect(server.url, cookies={COOKIE: "a"}) as auth:
        for callers, force, what in (
            (1000, False, "1,000 callers, empty cache"),
            (100, True, "100 forced callers"),
        ):
            before = server.requests[TOKEN]
            calls = [auth.fetch_access_token(force_refresh=force) for _ in range(callers)]
            answers = await asyncio.gather(*calls)
            made = server.requests[TOKEN] - before
            table.add(f"token requests: {what}", made, "1")
            table.add(f"  distinct answers: {what}", len(set(answers)), "1")


def _threads(table: Table, server: RotatingServer) -> None:
    with (
        connect_blocking(server.url, cookies={COOKIE: "b"}) as auth,
        ThreadPoolExecutor(32) as pool,
    ):
        together = threading.Barrier(32)

        def call(force: bool) -> Callable[[int], str | None]:
            def one(_: int) -> str | None:
                together.wait()
                return auth.fetch_access_token(force_refresh=force)

            return one

        for force, what in ((False, "32 threads, empty cache"), (True, "32 threads, forced")):
            before = server.requests[TOKEN]
            answers = list(pool.map(call(force), range(32)))
            made = server.requests[TOKEN] - before
            table.add(f"token requests: {what}", made, "1")
            table.add(f"  distinct answers: {what}", len(set(answers)), "1")


if __name__ == "__main__":
    alone(run)
