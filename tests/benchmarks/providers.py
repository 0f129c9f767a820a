"""Ten thousand idle providers in one process."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc

from reactive_auth import AuthProvider, BetterAuthClient
from reactive_auth.testing import FakeAuthClient

from .table import Table

MANY = 10_000


def run(table: Table) -> None:
    asyncio.run(_idle(table))


async def _idle(table: Table) -> None:
    threads = threading.active_count()
    for name, make in (
        ("fake client", FakeAuthClient),
        ("BetterAuthClient that was not asked yet", _client),
    ):
        gc.collect()
        tracemalloc.start()
        clients = [make() for _ in range(MANY)]
        if name == "fake client":
            kept: list[object] = [AuthProvider(client) for client in clients]
        else:
            kept = list(clients)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        what = "idle provider" if name == "fake client" else "idle client"
        table.add(f"kB for each of {MANY:,} ({what}, {name})", size / MANY / 1024)
        for provider in kept:
            if isinstance(provider, AuthProvider):
                await provider.aclose()
        del clients, kept
    table.add("threads for them", threading.active_count() - threads, "0")


def _client() -> BetterAuthClient:
    return BetterAuthClient("https://app.example.com")
