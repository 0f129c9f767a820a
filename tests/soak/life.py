"""The random life of a provider: users come and go, the network fails, the machine sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import reactivex
from reactivex import Observable

from reactive_auth import (
    AuthProvider,
    AuthUnavailable,
    Backoff,
    NotAuthenticated,
    auth_boundary,
    claim,
    is_authenticated,
    select,
    user,
    while_signed_in,
)
from reactive_auth.errors import AuthError
from reactive_auth.testing import FakeAuthClient, VirtualClock
from tests.wire.support import MiniServer, reply

__all__ = ["STREAMS", "FakeWorld", "Life", "ServerWorld", "World"]

#: Every kind of stream there is to subscribe to.
STREAMS: dict[str, Callable[[AuthProvider[Any]], Observable[Any]]] = {
    "session": lambda auth: auth.session,
    "token": lambda auth: auth.token,
    "state": lambda auth: auth.state,
    "select": lambda auth: select(auth.state, lambda state: state.status),
    "user": user,
    "is_authenticated": is_authenticated,
    "claim": lambda auth: claim(auth, "sub"),
    "while_signed_in": lambda auth: auth.session.pipe(
        while_signed_in(lambda session: reactivex.just(session.id))
    ),
    "auth_boundary": lambda auth: auth.token.pipe(auth_boundary(auth, on_unauth=lambda: None)),
}

_SUBSCRIBERS, _CALLERS = 40, 20


class World(Protocol):
    """What can happen outside of the provider."""

    auth: AuthProvider[Any]

    def happen(self, chance: random.Random) -> Awaitable[None] | None:
        """Something does."""
        ...

    def calm(self) -> Awaitable[None] | None:
        """From now on nothing fails, and nobody is signed in."""
        ...

    def forget(self) -> None:
        """Drop what only the test keeps of the past."""
        ...


class FakeWorld:
    """The heart alone, over a scripted client."""

    def __init__(self, clock: VirtualClock, draws: random.Random) -> None:
        self.clock = clock
        self.client = FakeAuthClient(clock, lifetime=120.0)
        self.auth: AuthProvider[Any] = AuthProvider(
            self.client,
            clock=clock,
            backoff=Backoff(draw=draws.random),
            on_observer_error=lambda error: None,
        )
        self._made = 0

    def happen(self, chance: random.Random) -> None:
        client = self.client
        match chance.randrange(12):
            case 0 | 1 | 2:
                self._made += 1
                client.sign_in(f"session-{self._made}", f"user-{chance.randrange(3)}")
            case 3:
                client.sign_out()
            case 4:
                client.forget(AuthUnavailable("the network is down"))
            case 5:
                client.hold()
                asyncio.get_running_loop().call_later(chance.random(), client.release)
            case 6:
                client.then_hang()
            case 7:
                client.then(OSError("reset"))
            case 8:
                client.then(AuthUnavailable("busy", retry_after=chance.random() * 5))
            case 9:
                client.then(NotAuthenticated("revoked"))
            case 10:
                client.then("a.broken.token").then(42)
            case _:
                self.clock.suspend(chance.choice([1.0, 60.0, 4000.0]))

    def calm(self) -> None:
        self.client._script.clear()
        self.client.sign_in("last")  # whatever came before, what is left is this one's end
        self.client.sign_out()

    def forget(self) -> None:
        self.client.fetches.clear()


class ServerWorld:
    """The whole client, over a server in the process."""

    def __init__(self, clock: VirtualClock, auth: AuthProvider[Any], server: MiniServer) -> None:
        self.clock = clock
        self.server = server
        self.auth = auth

    async def happen(self, chance: random.Random) -> None:
        client, server = self.auth.client, self.server
        path = chance.choice(["/convex/token", "/get-session", "/sign-in/email", "/sign-out"])
        match chance.randrange(12):
            case 0 | 1:
                await client.sign_in_email(email="u1@example.com", password=server.password)
            case 2:
                await client.sign_out()
            case 3:
                await client.change_password(
                    current_password=server.password,
                    new_password=f"password-{chance.randrange(1_000_000)}",
                    revoke_other_sessions=chance.random() < 0.7,
                )
            case 4:
                server.live.clear()  # revoked elsewhere
                client.focus()
            case 5:
                server.instead(path, OSError("reset"))
            case 6:
                server.instead(path, reply(chance.choice([401, 429, 500, 503]), {}))
            case 7:
                server.lose(path, OSError("reset"))
            case 8:
                gate = server.gate(path)
                asyncio.get_running_loop().call_later(chance.random() * 20, self._open, path, gate)
            case 9:
                await client.sign_in_email(email="u1@example.com", password="a wrong password")
            case 10:
                await client.refetch()
            case _:
                self.clock.suspend(chance.choice([1.0, 60.0, 4000.0]))

    def _open(self, path: str, gate: asyncio.Event) -> None:
        gate.set()
        if self.server.gates.get(path) is gate:
            del self.server.gates[path]

    async def calm(self) -> None:
        for path, gate in list(self.server.gates.items()):
            self._open(path, gate)
        for script in (self.server.before, self.server.after):
            script.clear()
        await self.auth.client.sign_out()
        self.server.live.clear()

    def forget(self) -> None:
        self.server.log.clear()


class Life:
    """Plays a world. ``calls`` and ``events`` count what happened."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.subscriptions: list[Any] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.calls = self.events = 0

    async def play(self, seconds: float) -> None:
        """For so long, in the loop's time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            self.events += 1
            self._step()
            await asyncio.sleep(self.chance.expovariate(1 / 4))

    async def rest(self) -> None:
        """Everybody leaves, and what was under way ends."""
        for subscription in self.subscriptions:
            subscription.dispose()
        self.subscriptions.clear()
        for _ in range(2):  # what is under way in between may still change something
            calm = self.world.calm()
            if calm is not None:
                await calm
            for task in list(self.tasks):
                task.cancel()
            while self.tasks:
                await asyncio.wait(list(self.tasks))
            await asyncio.sleep(120)
        self.world.forget()

    def _step(self) -> None:
        chance, auth = self.chance, self.world.auth
        kind = chance.random()
        if kind < 0.3:
            happening = self.world.happen(chance)
            if happening is not None:
                self._run(happening)
        elif kind < 0.55 and len(self.subscriptions) < _SUBSCRIBERS:
            stream = STREAMS[chance.choice(list(STREAMS))](auth)
            self.subscriptions.append(
                stream.subscribe(self._observer(), on_error=lambda error: None)
            )
        elif kind < 0.75 and self.subscriptions:
            self.subscriptions.pop(chance.randrange(len(self.subscriptions))).dispose()
        elif kind < 0.95 and len(self.tasks) < _CALLERS:
            self._run(self._call())
        elif self.tasks:
            chance.choice(list(self.tasks)).cancel()

    def _observer(self) -> Callable[[Any], None]:
        if self.chance.random() < 0.9:
            return lambda value: None

        def fail(value: Any) -> None:
            raise RuntimeError("an observer that raises")

        return fail

    async def _call(self) -> None:
        auth, kind = self.world.auth, self.chance.randrange(4)
        self.calls += 1
        rejected = auth.cached_access_token() if kind == 1 else None
        await auth.fetch_access_token(force_refresh=kind == 0, rejected=rejected)

    def _run(self, work: Awaitable[Any]) -> None:
        async def run() -> None:
            with contextlib.suppress(AuthError):
                await work

        task = asyncio.ensure_future(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
