"""authlib: AsyncOAuth2Client and OAuth2Client, which refresh with a refresh token."""

from __future__ import annotations

import contextlib
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its deprecations are its own
    from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client

from .base import Peer, Rotor, Use, owner
from .server import PeerServer, mint


class _Tasks(Use):
    def __init__(self, client: AsyncOAuth2Client) -> None:
        self._client = client

    async def token(self) -> str | None:
        client = self._client
        if not client.token:  # its requests raise MissingTokenError here
            return None
        await client.ensure_active_token(client.token)
        return client.token["access_token"]  # type: ignore[no-any-return]

    async def force(self) -> str | None:
        return (await self._client.refresh_token())["access_token"]  # type: ignore[no-any-return]

    async def sign_out(self) -> None:
        self._client.token = None

    async def switch(self, user: str) -> None:
        self._client.token = _token(user, time.time())

    async def signed_in(self) -> bool:
        return bool(self._client.token)

    def holds(self, user: str) -> bool:
        token = self._client.token
        return bool(token) and owner(token["access_token"]) == user


class _Threads(Use):
    def __init__(self, client: OAuth2Client) -> None:
        self._client = client

    def token(self) -> str | None:
        self._client.ensure_active_token(self._client.token)
        return self._client.token["access_token"]  # type: ignore[no-any-return]

    def force(self) -> str | None:
        return self._client.refresh_token()["access_token"]  # type: ignore[no-any-return]


class _Rotor(Rotor):
    def __init__(self, use: _Tasks) -> None:
        self._use = use

    async def rotate(self, number: int) -> str | None:
        await self._use.switch(f"s{number}")
        return await self._use.token()


class _Authlib(Peer):
    name = "authlib"
    distribution = "authlib"
    imports = "authlib.integrations.httpx_client"
    path = "/oauth2/token"
    why: ClassVar[dict[str, str]] = {
        "read": "`ensure_active_token`, then `token`",
        "sign-out": "has none: `client.token = None`",
        "switch": "`client.token = ` the other user's",
        "fan-out": "tells one callback of refreshes, nobody of other changes",
        "observers": "tells one callback of refreshes, nobody of other changes",
        "rotate": "`client.token = ` the other user's, as obtained elsewhere: no request",
        "hold": "with one TLS context passed in for all",
    }

    @contextlib.asynccontextmanager
    async def tasks(self, server: PeerServer) -> AsyncIterator[Use]:
        async with AsyncOAuth2Client(**_options(server)) as client:
            yield _Tasks(client)

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        with OAuth2Client(**_options(server)) as client:
            yield _Threads(client)

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        async with AsyncOAuth2Client(token=_token("a", time.time())) as client:
            yield _Rotor(_Tasks(client))

    async def hold(self, users: Sequence[str]) -> list[object]:
        context = ssl.create_default_context()
        now = time.time()
        return [AsyncOAuth2Client(token=_token(user, now), verify=context) for user in users]


def _options(server: PeerServer) -> dict[str, Any]:
    return {
        "client_id": "id",
        "client_secret": "secret",
        "token_endpoint": f"{server.url}/oauth2/token",
        "token": _token("a", time.time() - 10_000),
        "trust_env": False,
    }


def _token(user: str, now: float) -> dict[str, Any]:
    return {
        "access_token": mint(user, now),
        "refresh_token": f"r.{user}",
        "token_type": "Bearer",
        "expires_at": int(now) + 900,
    }


PEER = _Authlib()
