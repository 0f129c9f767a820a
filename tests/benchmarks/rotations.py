"""Rotations over real sockets, each cancelling a fetch at a random instant (HAZARDS K16)."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import dataclass
from typing import Any

import psutil

from reactive_auth import AuthProvider, BetterAuthClient, Session, SessionState, User
from reactive_auth.delivery import LoopDelivery
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.signal import Signal

from .table import Table


@dataclass
class Outcome:
    """What was left, and what went wrong."""

    rotations: int
    cancelled: int = 0
    wrong_session: int = 0
    tasks: int = 0
    sockets: int = 0
    busy_connections: int = 0
    next_answered: bool = False


class Rotating:
    """A session source of the test over a real client's token route.

    The server mints for one account, whose tokens are told apart by the id they are given here.
    """

    def __init__(self, client: BetterAuthClient, real: Session) -> None:
        self._client = client
        self._real = real
        self._signal = Signal(SessionState.unknown(), LoopDelivery())
        self.minted: dict[str, str] = {}
        self.cancelled = 0

    @property
    def session(self) -> Signal[SessionState]:
        return self._signal

    def rotate(self, name: str) -> None:
        self._signal.set(SessionState.signed_in(Session(name, "u"), User("u")))

    async def fetch_token(self, session: Session) -> str | None:
        try:
            token = await self._client.fetch_token(self._real)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        opaque = f"{session.id}:{hash(token)}"
        self.minted[opaque] = session.id
        return opaque


async def rotate(times: int, seed: int = 7) -> Outcome:
    """Rotate that often, then look at what is left."""
    choice = random.Random(seed)
    outcome = Outcome(times)
    process = psutil.Process()
    server = EmbeddedServer()
    with server.serve() as url:
        client = BetterAuthClient(url)
        await client.sign_up_email(email="a@example.com", password="correct-horse", name="A")
        real = client.session.value.session
        assert real is not None
        source = Rotating(client, real)
        async with AuthProvider(source) as auth:

            def check(token: Any) -> None:
                current = auth.session.value.session
                if token is not None and (current is None or token.session_id != current.id):
                    outcome.wrong_session += 1

            auth.token.subscribe(check)
            tasks = len(asyncio.all_tasks())
            sockets = len(process.net_connections())
            for n in range(times):
                source.rotate(f"s{n}")
                for _ in range(choice.randrange(12)):
                    await asyncio.sleep(0)
                if n % 7 == 0:
                    value = await auth.fetch_access_token()
                    if value is not None and source.minted[value] != f"s{n}":
                        outcome.wrong_session += 1
            async with asyncio.timeout(10):
                outcome.next_answered = await auth.fetch_access_token() is not None
                outcome.next_answered &= (await client.refetch()).status == "signed_in"
            for _ in range(50):
                await asyncio.sleep(0)
            outcome.tasks = len(asyncio.all_tasks()) - tasks
            outcome.cancelled = source.cancelled
            http = client._wire._client
            assert http is not None
            pool = http._transport._pool  # type: ignore[attr-defined]
            outcome.busy_connections = sum(
                not (c.is_idle() or c.is_closed()) for c in pool.connections
            )
            idle = sum(c.is_idle() for c in pool.connections)
            # Each idle connection of the pool has two ends in this process.
            outcome.sockets = max(0, len(process.net_connections()) - sockets - 2 * idle)
        await client.aclose()
    server.close()
    return outcome


def run(table: Table, times: int = 10_000) -> None:
    outcome = asyncio.run(rotate(times))
    table.add("rotations over real sockets", outcome.rotations)
    table.add("  fetches cancelled in flight", outcome.cancelled)
    table.add("  wrong-session tokens", outcome.wrong_session, "0")
    table.add("  leaked tasks", outcome.tasks, "0")
    table.add("  leaked sockets", outcome.sockets, "0")
    table.add("  pool places taken", outcome.busy_connections, "0")
    table.add("  next request answered", outcome.next_answered, "True")


if __name__ == "__main__":
    run(Table(), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
