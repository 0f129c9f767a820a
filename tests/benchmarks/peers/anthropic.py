"""anthropic: the TokenCache of its workload identity credentials (lib/credentials)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar

import httpx2
from anthropic.lib.credentials import AccessToken, TokenCache, WorkloadIdentityCredentials

from .base import Peer, Rotor, Use, owner
from .server import LIFETIME, PeerServer, mint


class _Use(Use):
    def __init__(self, cache: TokenCache, identity: _Identity) -> None:
        self.cache = cache
        self.identity = identity

    def holds(self, user: str) -> bool:
        cached = self.cache._cached
        return cached is not None and owner(cached.token) == user


class _Tasks(_Use):
    def __init__(self, cache: TokenCache, identity: _Identity) -> None:
        super().__init__(cache, identity)
        self.token = cache.async_get_token

    async def force(self) -> str | None:
        self.cache.invalidate()
        return await self.cache.async_get_token()

    async def switch(self, user: str) -> None:
        self.identity.user = user
        self.cache.invalidate()


class _Threads(_Use):
    def __init__(self, cache: TokenCache, identity: _Identity) -> None:
        super().__init__(cache, identity)
        self.token = cache.get_token

    def force(self) -> str | None:
        self.cache.invalidate()
        return self.cache.get_token()


class _Identity:
    """The identity token, as a file or an environment gives it."""

    user = "a"

    def __call__(self) -> str:
        return self.user


class _Exchange:
    """An async provider for the cache, over the same endpoint as its blocking one."""

    def __init__(self, url: str, http: httpx2.AsyncClient, identity: _Identity) -> None:
        self._url = url
        self._http = http
        self._identity = identity

    async def __call__(self, *, force_refresh: bool = False) -> AccessToken:
        answer = await self._http.post(self._url, json={"assertion": self._identity()})
        answer.raise_for_status()
        found = answer.json()
        return AccessToken(found["access_token"], int(time.time()) + found["expires_in"])


class _Rotor(Rotor):
    def __init__(self) -> None:
        self._user = ""
        self._cache = TokenCache(self._made)

    def _made(self, *, force_refresh: bool = False) -> AccessToken:
        return AccessToken(mint(self._user, time.time()), int(time.time()) + LIFETIME)

    def rotate(self, number: int) -> str | None:
        self._user = f"s{number}"
        self._cache.invalidate()
        return self._cache.get_token()


class _Anthropic(Peer):
    name = "anthropic TokenCache"
    distribution = "anthropic"
    imports = "anthropic.lib.credentials"
    path = "/v1/oauth/token"
    why: ClassVar[dict[str, str]] = {
        "force": "`invalidate()`, then a read",
        "sign-out": "knows machines, not users: no sign-out",
        "switch": "`invalidate()`, and the identity token is another's",
        "fan-out": "tells nobody of changes",
        "observers": "tells nobody of changes",
        "rotate": "`invalidate()`, then a read; the provider answers in the process",
    }

    @contextlib.asynccontextmanager
    async def tasks(self, server: PeerServer) -> AsyncIterator[Use]:
        identity = _Identity()
        async with httpx2.AsyncClient(trust_env=False) as http:
            exchange = _Exchange(f"{server.url}/v1/oauth/token", http, identity)
            yield _Tasks(TokenCache(exchange), identity)

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        identity = _Identity()
        with WorkloadIdentityCredentials(
            identity_token_provider=identity, federation_rule_id="rule", organization_id="org"
        ) as credentials:
            credentials.bind_base_url(server.url)
            yield _Threads(TokenCache(credentials), identity)

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        yield _Rotor()

    async def hold(self, users: Sequence[str]) -> list[object]:
        return [_held(user) for user in users]


def _held(user: str) -> TokenCache:
    def made(*, force_refresh: bool = False) -> AccessToken:
        return AccessToken(mint(user, time.time()), int(time.time()) + LIFETIME)

    cache = TokenCache(made)
    cache.get_token()
    return cache


PEER = _Anthropic()
