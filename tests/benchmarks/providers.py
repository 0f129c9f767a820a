"""Ten thousand idle providers in one process; each way of counting in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
import psutil
from reactivex import operators as ops

from reactive_auth import AuthProvider, BetterAuthClient
from reactive_auth.testing import FakeAuthClient

from .table import Table, alone

MANY = 10_000

_SIGNED_IN = {
    "session": {"id": "s", "userId": "u", "expiresAt": "2099-01-01T00:00:00Z"},
    "user": {"id": "u", "email": "u@example.com", "name": "U"},
}


def run(table: Table, many: int = MANY) -> None:
    for kind, what in (
        ("fake", "signed in, FakeAuthClient"),
        ("unstarted", "BetterAuthClient, not started"),
        ("answered", "signed in, BetterAuthClient"),
    ):
        # Starting one asks for its session: a tenth of them will do.
        count = many // 10 if kind == "answered" else many
        traced, resident = (_child(kind, count, how) for how in ("traced", "resident"))
        table.add(
            f"kB each of {count:,} idle providers ({what}): traced, RSS",
            f"{traced['bytes'] / count / 1024:.1f}, {resident['bytes'] / count / 1024:.1f}",
        )
        table.add("  threads, tasks of all", f"{resident['threads']}, {resident['tasks']}", "0, 0")


def _child(kind: str, count: int, how: str) -> dict[str, int]:
    command = [sys.executable, "-m", __spec__.name, "measure", kind, str(count), how]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


async def measure(kind: str, count: int, how: str) -> dict[str, int]:
    """What ``count`` providers of a kind hold once nothing happens any more."""
    make: dict[str, Callable[[], AuthProvider[Any]]] = {"fake": _fake, "answered": _answered}

    async def made(number: int) -> list[AuthProvider[Any]]:
        if kind in make:
            return [make[kind]() for _ in range(number)]
        # Where no event loop runs, a provider is made and not started.
        return await asyncio.to_thread(lambda: [_unstarted() for _ in range(number)])

    warm = await made(10)
    await asyncio.sleep(0.2)
    gc.collect()
    threads, tasks = threading.active_count(), len(asyncio.all_tasks())
    process = psutil.Process()
    if how == "traced":
        tracemalloc.start()
    before = process.memory_info().rss
    kept = await made(count)
    if kind == "answered":
        signed_in = ops.filter(lambda state: state.status == "signed_in")
        for provider in kept:
            await provider.session.pipe(signed_in, ops.first())
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    size = process.memory_info().rss - before
    if how == "traced":
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    found = {
        "bytes": size,
        "threads": threading.active_count() - threads,
        "tasks": len(asyncio.all_tasks()) - tasks,
    }
    for provider in (*warm, *kept):
        await provider.aclose()
    return found


def _fake() -> AuthProvider[FakeAuthClient]:
    client = FakeAuthClient()
    client.sign_in("s", "u")
    return AuthProvider(client)


def _unstarted() -> AuthProvider[BetterAuthClient]:
    return AuthProvider(BetterAuthClient("https://app.example.com"))


def _answered() -> AuthProvider[BetterAuthClient]:
    client = BetterAuthClient("https://app.example.com", transport=_TRANSPORT)
    return AuthProvider(client, owns_client=True)


_TRANSPORT = httpx.MockTransport(lambda request: httpx.Response(200, json=_SIGNED_IN))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        result = asyncio.run(measure(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
        print(json.dumps(result))
    else:
        alone(run, many=MANY)
