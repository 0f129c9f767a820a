"""Rotations over real sockets, each cancelling a fetch at a random instant (HAZARDS K16, R1)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import httpx
import psutil

from reactive_auth import (
    AccessToken,
    AuthProvider,
    BetterAuthClient,
    Session,
    SessionState,
    User,
    connect,
)
from reactive_auth.delivery import LoopDelivery
from reactive_auth.lease import read_claims
from reactive_auth.signal import Signal

from .server import COOKIE, RotatingServer, serve
from .table import Table, alone

#: The longest an answer takes; rotations come at intervals of as much (seconds).
LATENCY = 0.002


@dataclass
class Outcome:
    """What was left, and what went wrong."""

    rotations: int
    cancelled: int = 0
    aborted: int = 0
    answered: int = 0
    wrong_session: int = 0
    mismatches: int = 0
    tasks: int = 0
    sockets: int = 0
    sockets_after_close: int = 0
    pool_places: int = 0
    next_answered: bool = False

    @property
    def left(self) -> tuple[int, int, int, int]:
        """What must be zero at the end."""
        return self.tasks, self.sockets, self.sockets_after_close, self.pool_places


class Rotating:
    """A session source of ours over a real client's token route.

    The server mints for the session whose id is the cookie, so a token says whose it is.
    """

    def __init__(self, client: BetterAuthClient, url: str) -> None:
        self._client = client
        self._url = url
        self._signal = Signal(SessionState.unknown(), LoopDelivery())
        self.cancelled = 0
        self.rechecks = 0

    @property
    def session(self) -> Signal[SessionState]:
        return self._signal

    def rotate(self, name: str) -> None:
        self._client._jar.give(self._url, {COOKIE: name})
        self._signal.set(SessionState.signed_in(Session(name, "u"), User("u")))

    async def fetch_token(self, session: Session) -> str:
        try:
            return await self._client.fetch_token(session)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def refetch(self) -> None:
        """Asked for when a token contradicts its session."""
        self.rechecks += 1


async def rotate(times: int, seed: int = 7) -> Outcome:
    """Rotate that often by switching the session, then look at what is left."""
    choice, outcome = random.Random(seed), Outcome(times)
    with serve(RotatingServer(LATENCY, seed)) as server:
        tasks = asyncio.all_tasks()
        client = BetterAuthClient(server.url)
        source = Rotating(client, server.url)
        async with AuthProvider(source) as auth:
            auth.token.subscribe(_checking(auth, outcome))
            for number in range(times):
                source.rotate(f"s{number}")
                await _a_while(choice)
                if number % 7 == 0:
                    await _ask(auth, outcome)
            async with asyncio.timeout(10):
                await _ask(auth, outcome, force=True)
                outcome.next_answered = (await client.refetch()).session is not None
            outcome.cancelled, outcome.mismatches = source.cancelled, source.rechecks
            _look(client, server, outcome)
        await client.aclose()
        await _end(server, tasks, outcome)
    return outcome


async def rotate_by_client(times: int, seed: int = 11) -> Outcome:
    """The same by requests of the client's own, while callers force refreshes all the time."""
    choice, outcome = random.Random(seed), Outcome(times)
    with serve(RotatingServer(LATENCY, seed)) as server:
        tasks = asyncio.all_tasks()
        async with connect(server.url, cookies={COOKIE: "first"}) as auth:
            auth.token.subscribe(_checking(auth, outcome))
            phases = {"cancelled": 0}

            def count(event: object) -> None:
                phase, path = getattr(event, "phase", ""), getattr(event, "path", "")
                phases["cancelled"] += phase == "cancelled" and path == "/convex/token"

            auth.client.wire.subscribe(count)
            for _ in range(times):
                callers = [asyncio.ensure_future(_ask(auth, outcome, force=True)) for _ in range(3)]
                await _a_while(choice)
                await auth.client.change_password(
                    current_password="old", new_password="new", revoke_other_sessions=True
                )
                current, token = auth.session.value.session, auth.token.value
                settled = current is not None and token is not None
                outcome.wrong_session += not settled or token.session_id != current.id
                await asyncio.gather(*callers)
            async with asyncio.timeout(10):
                await _ask(auth, outcome, force=True)
                outcome.next_answered = (await auth.client.refetch()).session is not None
            outcome.cancelled = phases["cancelled"]
            _look(auth.client, server, outcome)
        await _end(server, tasks, outcome)
    return outcome


async def poison(times: int, seed: int = 7) -> tuple[int, str]:
    """The control: plain httpx and ``task.cancel()``, which these counts must convict.

    The places of its pool left taken, and how the next request ends.
    """
    choice = random.Random(seed)
    with serve(RotatingServer(LATENCY, seed)) as server:
        http = httpx.AsyncClient(verify=False)
        url = f"{server.url}/api/auth/convex/token"
        for _ in range(times):
            task = asyncio.ensure_future(http.get(url, headers={"cookie": f"{COOKIE}=a"}))
            await _a_while(choice)
            task.cancel()
            await asyncio.wait([task])
        taken = _taken(http)
        try:
            ending = str((await http.get(url, timeout=0.5)).status_code)
        except httpx.HTTPError as error:
            ending = type(error).__name__
        await http.aclose()
    return taken, ending


def _checking(auth: AuthProvider[object], outcome: Outcome) -> object:  # type: ignore[type-var]
    def check(token: AccessToken | None) -> None:
        if token is None:
            return
        current = auth.session.value.session
        outcome.wrong_session += current is None or token.claims["sessionId"] != current.id

    return check


async def _ask(auth: AuthProvider[object], outcome: Outcome, *, force: bool = False) -> None:  # type: ignore[type-var]
    value = await auth.fetch_access_token(force_refresh=force)
    # Nothing can run between the return and this line: it is the current session's, or wrong.
    current = auth.session.value.session
    claims = read_claims(value or "") or {}
    outcome.answered += 1
    outcome.wrong_session += current is None or claims.get("sessionId") != current.id


async def _a_while(choice: random.Random) -> None:
    """Some ticks of the loop, or some time: both the steps of a request and its waits are hit."""
    if choice.random() < 0.5:
        for _ in range(choice.randrange(24)):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep(choice.uniform(0.0, LATENCY))


def _look(client: BetterAuthClient, server: RotatingServer, outcome: Outcome) -> None:
    http = client._wire._client
    assert http is not None
    outcome.pool_places = _taken(http)
    outcome.sockets = _sockets(server) - len(_connections(http))


async def _end(server: RotatingServer, tasks: set[asyncio.Task[object]], outcome: Outcome) -> None:
    for _ in range(50):  # closed transports let go of their sockets a tick later
        await asyncio.sleep(0)
    outcome.tasks = len(asyncio.all_tasks() - tasks)
    outcome.sockets_after_close = _sockets(server)
    outcome.aborted = server.aborted


def _connections(http: httpx.AsyncClient) -> list[object]:
    return http._transport._pool.connections  # type: ignore[attr-defined,no-any-return]


def _taken(http: httpx.AsyncClient) -> int:
    """Places of the pool that nobody will ever free, and requests queued for one."""
    pool = http._transport._pool  # type: ignore[attr-defined]
    idle = sum(c.is_idle() for c in pool.connections)
    return len(pool.connections) - idle + len(pool._requests)


def _sockets(server: RotatingServer) -> int:
    """This process's client ends of connections to the server."""
    found = psutil.Process().net_connections(kind="tcp")
    return sum(bool(c.raddr) and c.raddr.port == server.port for c in found)


def run(table: Table, rotations: int = 10_000) -> None:
    for outcome, how in (
        (asyncio.run(rotate(rotations)), "rotations, each switching the session"),
        (asyncio.run(rotate_by_client(rotations // 20)), "rotations by change_password()"),
    ):
        table.add(f"{how}, over real sockets", outcome.rotations)
        seen = f"{outcome.cancelled}, {outcome.aborted}"
        table.add("  fetches cancelled in flight, of them seen by the server", seen)
        wrong = f"{outcome.wrong_session}, {outcome.mismatches}"
        table.add("  wrong-session tokens served, refused", wrong, "0, 0")
        table.add("  left: tasks, sockets", f"{outcome.tasks}, {outcome.sockets}", "0, 0")
        table.add("  left: sockets after closing", outcome.sockets_after_close, "0")
        table.add("  left: pool places taken", outcome.pool_places, "0")
        table.add("  next request answered", outcome.next_answered, "True")
    cancels = min(1_000, rotations)
    taken, ending = asyncio.run(poison(cancels))
    table.add(f"control: pool places after {cancels:,} task.cancel() on httpx, next", taken)
    table.add("  its next request", ending)


if __name__ == "__main__":
    alone(run, rotations=10_000)
