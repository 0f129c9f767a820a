"""httpx-auth: OAuth2ResourceOwnerPasswordCredentials, its only flow of a user without a browser."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar
from urllib.parse import parse_qsl

import httpx
from httpx_auth import OAuth2, OAuth2ResourceOwnerPasswordCredentials

from .base import Peer, Rotor, Use, owner
from .server import PeerServer, oauth_answer


class _Threads(Use):
    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        self._url = url
        self._client = client
        self.switch("a")

    def switch(self, user: str) -> None:
        OAuth2.token_cache.clear()
        self._auth = _auth(self._url, user, self._client)

    def token(self) -> str | None:
        return _through(self._auth)

    def sign_out(self) -> None:
        OAuth2.token_cache.clear()

    def signed_in(self) -> bool:
        return bool(OAuth2.token_cache.tokens)

    def holds(self, user: str) -> bool:
        return any(owner(entry[0]) == user for entry in OAuth2.token_cache.tokens.values())


class _Tasks(_Threads):
    async def token(self) -> str | None:  # type: ignore[override]
        """What httpx.AsyncClient does with an auth: its flow runs on the event loop."""
        flow = self._auth.async_auth_flow(httpx.Request("GET", "https://api.example.com/"))
        request = await anext(flow)
        await flow.aclose()
        return request.headers["authorization"].removeprefix("Bearer ")


class _Rotor(Rotor):
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def rotate(self, number: int) -> str | None:
        url = "https://login.example.com/oauth2/token"
        return _through(_auth(url, f"s{number}", self._client))


class _HttpxAuth(Peer):
    name = "httpx-auth"
    distribution = "httpx-auth"
    imports = "httpx_auth"
    path = "/oauth2/token"
    blocks = True
    why: ClassVar[dict[str, str]] = {
        "tasks": "its flow blocks the event loop during the request: nobody else runs",
        "force": "has no forced refresh",
        "read": "its auth flow, which writes the header",
        "sign-out": "has none: `OAuth2.token_cache.clear()`",
        "switch": "another auth object, and `OAuth2.token_cache.clear()`",
        "fan-out": "tells nobody of changes",
        "observers": "tells nobody of changes",
        "rotate": "another auth object; the request answered in the process. The cache, one for "
        "the process, forgets no user",
        "hold": "all in the one cache of the process",
    }

    @contextlib.asynccontextmanager
    async def tasks(self, server: PeerServer) -> AsyncIterator[Use]:
        yield _Tasks(f"{server.url}/oauth2/token")

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        yield _Threads(f"{server.url}/oauth2/token")

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        OAuth2.token_cache.clear()
        with httpx.Client(transport=httpx.MockTransport(_answer)) as client:
            yield _Rotor(client)

    async def hold(self, users: Sequence[str]) -> list[object]:
        kept: list[object] = []
        with httpx.Client(transport=httpx.MockTransport(_answer)) as client:
            for user in users:
                auth = _auth("https://login.example.com/oauth2/token", user, client)
                _through(auth)
                kept.append(auth)
        return kept


def _auth(
    url: str, user: str, client: httpx.Client | None
) -> OAuth2ResourceOwnerPasswordCredentials:
    return OAuth2ResourceOwnerPasswordCredentials(url, user, "p", client=client)


def _through(auth: httpx.Auth) -> str:
    flow = auth.sync_auth_flow(httpx.Request("GET", "https://api.example.com/"))
    request = next(flow)
    flow.close()
    return request.headers["authorization"].removeprefix("Bearer ")


def _answer(request: httpx.Request) -> httpx.Response:
    fields = dict(parse_qsl(request.content.decode()))
    return httpx.Response(200, json=oauth_answer(fields["username"], time.time()))


PEER = _HttpxAuth()
