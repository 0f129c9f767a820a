"""reactive_auth itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any, ClassVar

import httpx
from reactivex import operators as ops
from reactivex.subject import BehaviorSubject

from reactive_auth import (
    AuthProvider,
    Session,
    SessionState,
    User,
    connect,
    connect_blocking,
)
from reactive_auth.testing import FakeAuthClient

from ..server import COOKIE
from .base import Hub, Peer, Rotor, Use, owner
from .server import PeerServer, mint


class _Use(Use):
    def __init__(self, auth: Any, cached: Any) -> None:
        self._auth = auth
        self._cached = cached
        self.token = auth.fetch_access_token

    def signed_in(self) -> bool:
        return bool(self._auth.state.value.is_authenticated)

    def holds(self, user: str) -> bool:
        return owner(self._cached()) == user


class _Tasks(_Use):
    async def force(self) -> str | None:
        return await self._auth.fetch_access_token(force_refresh=True)

    async def sign_out(self) -> None:
        await self._auth.client.sign_out()

    async def switch(self, user: str) -> None:
        await self._auth.client.sign_in_email(email=f"{user}@example.com", password="p")


class _Threads(_Use):
    def force(self) -> str | None:
        return self._auth.fetch_access_token(force_refresh=True)

    def sign_out(self) -> None:
        self._auth.client.sign_out()

    def switch(self, user: str) -> None:
        self._auth.client.sign_in_email(email=f"{user}@example.com", password="p")


class _InProcess:
    """The least AuthClient: a stream of sessions, and tokens made on the spot."""

    def __init__(self) -> None:
        self.session: BehaviorSubject[SessionState] = BehaviorSubject(SessionState.unknown())

    def sign_in(self, user: str) -> None:
        session = Session(user, "u")
        self.session.on_next(SessionState.signed_in(session, User("u")))

    async def fetch_token(self, session: Session) -> str:
        return mint(session.id, 2e9)


class _Rotor(Rotor):
    def __init__(self, auth: AuthProvider[_InProcess]) -> None:
        self._auth = auth
        self.observe = auth.state.subscribe

    async def rotate(self, number: int) -> str | None:
        self._auth.client.sign_in(f"s{number}")
        return await self._auth.fetch_access_token()


class _Hub(Hub):
    def __init__(self, auth: AuthProvider[FakeAuthClient]) -> None:
        users = count()
        self.observe = auth.state.subscribe
        self.emit = lambda: auth.client.sign_in("A", f"u{next(users)}")


class _Ours(Peer):
    name = "reactive_auth"
    distribution = "reactive-auth"
    imports = "reactive_auth"
    path = "/convex/token"
    why: ClassVar[dict[str, str]] = {
        "rotate": "over a client that answers in the process; the switch, the fetch's task and a "
        "waiting caller are in the figure",
    }

    @contextlib.asynccontextmanager
    async def tasks(self, server: PeerServer) -> AsyncIterator[Use]:
        async with connect(server.url, cookies={COOKIE: "a"}) as auth:
            yield _Tasks(auth, auth.cached_access_token)

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        with connect_blocking(server.url, cookies={COOKIE: "a"}) as auth:
            yield _Threads(auth, auth.provider.cached_access_token)

    @contextlib.asynccontextmanager
    async def hub(self) -> AsyncIterator[Hub]:
        client = FakeAuthClient()
        async with AuthProvider(client) as auth:
            client.sign_in("A")
            yield _Hub(auth)

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        async with AuthProvider(_InProcess()) as auth:
            yield _Rotor(auth)

    async def hold(self, users: Sequence[str]) -> list[object]:
        transport = httpx.MockTransport(_answer)
        kept = []
        signed_in = ops.filter(lambda state: state.status == "signed_in")
        for user in users:
            auth = connect("https://app.example.com", cookies={COOKIE: user}, transport=transport)
            await auth.session.pipe(signed_in, ops.first())
            await auth.fetch_access_token()
            kept.append(auth)
        await asyncio.sleep(0)
        return kept


def _answer(request: httpx.Request) -> httpx.Response:
    user = request.headers["cookie"].partition("=")[2]
    if request.url.path.endswith("/get-session"):
        session = {"id": user, "userId": "u", "expiresAt": "2099-01-01T00:00:00Z"}
        return httpx.Response(200, json={"session": session, "user": {"id": "u"}})
    return httpx.Response(200, json={"token": mint(user, 2e9)})


PEER = _Ours()
