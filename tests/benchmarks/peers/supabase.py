"""supabase-auth: AsyncGoTrueClient and SyncGoTrueClient."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import ClassVar

import httpx
from supabase_auth import (
    AsyncGoTrueClient,
    AsyncMemoryStorage,
    SyncGoTrueClient,
    SyncMemoryStorage,
)
from supabase_auth.constants import STORAGE_KEY
from supabase_auth.types import Session

from .base import Hub, Peer, Rotor, Use, owner
from .server import PeerServer, gotrue_session


class _Tasks(Use):
    def __init__(self, client: AsyncGoTrueClient, storage: AsyncMemoryStorage) -> None:
        self._client = client
        self._storage = storage

    async def token(self) -> str | None:
        session = await self._client.get_session()
        return session and session.access_token

    async def force(self) -> str | None:
        session = (await self._client.refresh_session()).session
        return session and session.access_token

    async def sign_out(self) -> None:
        await self._client.sign_out()

    async def switch(self, user: str) -> None:
        await self._client.sign_in_with_password(_credentials(user))

    async def signed_in(self) -> bool:
        return await self._client.get_session() is not None

    def holds(self, user: str) -> bool:
        return _stored(self._storage.storage) == user


class _Threads(Use):
    def __init__(self, client: SyncGoTrueClient) -> None:
        self._client = client

    def token(self) -> str | None:
        session = self._client.get_session()
        return session and session.access_token

    def force(self) -> str | None:
        session = self._client.refresh_session().session
        return session and session.access_token


class _Rotor(Rotor):
    def __init__(self, client: AsyncGoTrueClient) -> None:
        self._client = client
        self.observe = client.on_auth_state_change

    async def rotate(self, number: int) -> str | None:
        await self._client.sign_in_with_password(_credentials(f"s{number}"))
        session = await self._client.get_session()
        return session and session.access_token


class _Hub(Hub):
    def __init__(self, client: AsyncGoTrueClient) -> None:
        session = Session.model_validate(gotrue_session("a", time.time()))
        self.observe: Callable[..., object] = client.on_auth_state_change
        self.emit = lambda: client._notify_all_subscribers("TOKEN_REFRESHED", session)


class _Supabase(Peer):
    name = "supabase-auth"
    distribution = "supabase-auth"
    imports = "supabase_auth"
    path = "/token"
    why: ClassVar[dict[str, str]] = {
        "read": "`get_session()` reads the session from its storage and validates it each time",
        "fan-out": "the loop over its listeners alone (`_notify_all_subscribers`), without the "
        "request that an event takes",
        "rotate": "`sign_in_with_password` and `get_session`, the request answered in the process",
        "hold": "with one HTTP client passed in for all; each makes its own otherwise, with a TLS "
        "context",
    }

    @contextlib.asynccontextmanager
    async def tasks(self, server: PeerServer) -> AsyncIterator[Use]:
        storage = AsyncMemoryStorage()
        storage.storage[STORAGE_KEY] = _expired()
        async with AsyncGoTrueClient(url=server.url, storage=storage) as client:
            yield _Tasks(client, storage)
            await client._remove_session()  # its timer would go on

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        storage = SyncMemoryStorage()
        storage.storage[STORAGE_KEY] = _expired()
        with SyncGoTrueClient(url=server.url, storage=storage) as client:
            yield _Threads(client)
            client._remove_session()

    @contextlib.asynccontextmanager
    async def hub(self) -> AsyncIterator[Hub]:
        async with _in_process() as client:
            yield _Hub(client)

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        async with _in_process() as client:
            yield _Rotor(client)
            await client._remove_session()

    async def hold(self, users: Sequence[str]) -> list[object]:
        http = httpx.AsyncClient(transport=httpx.MockTransport(_answer))
        kept: list[object] = [http]
        for user in users:
            storage = AsyncMemoryStorage()
            storage.storage[STORAGE_KEY] = json.dumps(gotrue_session(user, time.time()))
            client = AsyncGoTrueClient(
                url="https://app.example.com", storage=storage, http_client=http
            )
            await client.initialize()
            kept.append(client)
        return kept


def _in_process() -> AsyncGoTrueClient:
    http = httpx.AsyncClient(transport=httpx.MockTransport(_answer))
    return AsyncGoTrueClient(url="https://app.example.com", http_client=http)


def _answer(request: httpx.Request) -> httpx.Response:
    user = json.loads(request.content)["email"].partition("@")[0]
    return httpx.Response(200, json=gotrue_session(user, time.time()))


def _credentials(user: str) -> dict[str, str]:
    return {"email": f"{user}@example.com", "password": "p"}


def _expired() -> str:
    return json.dumps(gotrue_session("a", time.time() - 10_000))


def _stored(storage: dict[str, str]) -> str | None:
    found = storage.get(STORAGE_KEY)
    return owner(json.loads(found)["access_token"]) if found else None


PEER = _Supabase()
