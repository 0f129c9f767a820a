"""Calling an API with httpx as the signed-in user.

A request that meets a 401 all the same (the session rotated while it was under way) is sent once
more with the new token, so that a rotation is invisible to whoever made it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from typing import Any, Literal, Protocol, runtime_checkable

import httpx

from .blocking import BlockingAuth
from .errors import AuthUnavailable, ConfigurationError, NotAuthenticated
from .provider import AuthProvider
from .secrecy import Masked, discreet_call

__all__ = ["BearerAuth", "TokenSource", "bearer_auth", "token_source"]


class BearerAuth(httpx.Auth):
    """An ``auth=`` for httpx clients; made by :func:`bearer_auth`.

    It is also a plain callable that takes a request and returns it with the token attached, for
    clients that accept only that. A callable sees no response: it does not retry.
    """

    def __init__(
        self,
        auth: AuthProvider[Any] | BlockingAuth,
        origins: frozenset[str],
        signed_out: Literal["raise", "send"],
    ) -> None:
        self._auth = auth
        self._origins = origins
        self._signed_out = signed_out

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        fetch = _fetching(self._auth)
        self._check(request)
        token = Masked(await fetch())
        owner = self._owner()
        self._attach(request, token)
        response = yield request
        if self._worth_a_retry(request, response, token):
            renewed = Masked(await fetch(rejected=token.value))
            if renewed.value is None or self._owner() == owner:
                self._attach(request, renewed)
                yield request

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        auth = self._auth
        if not isinstance(auth, BlockingAuth):
            raise ConfigurationError("a client that blocks needs connect_blocking()")
        self._check(request)
        token = Masked(auth.fetch_access_token())
        owner = self._owner()
        self._attach(request, token)
        response = yield request
        if self._worth_a_retry(request, response, token):
            renewed = Masked(auth.fetch_access_token(rejected=token.value))
            if renewed.value is None or self._owner() == owner:
                self._attach(request, renewed)
                yield request

    def __call__(self, request: httpx.Request) -> httpx.Request:
        """Attach a token and return the request.

        Over :func:`connect_blocking` it waits for one. On an event loop nothing may wait here:
        the cached one is attached, which there is while something is subscribed to
        ``auth.token``, and AuthUnavailable is raised if there is none.
        """
        self._check(request)
        if isinstance(self._auth, BlockingAuth):
            token = Masked(self._auth.fetch_access_token())
        else:
            token = Masked(self._auth.cached_access_token())
            if token.value is None and self._auth.state.value.status in ("unknown", "signed_in"):
                raise AuthUnavailable("no token is cached: subscribe to auth.token")
        self._attach(request, token)
        return request

    def _check(self, request: httpx.Request) -> None:
        if origin_of(request.url) not in self._origins:
            raise ConfigurationError(
                f"{origin_of(request.url)} is not among the origins this auth may send tokens to: "
                "name it in bearer_auth(origins=...)"
            )

    def _attach(self, request: httpx.Request, token: Masked[str | None]) -> None:
        if token.value is not None:
            request.headers["authorization"] = f"Bearer {token.value}"
            return
        request.headers.pop("authorization", None)
        if self._signed_out == "raise":
            raise NotAuthenticated("the user is signed out")

    def _owner(self) -> str | None:
        """Whose requests these are: what one user asked for is not sent again as another."""
        session = self._auth.session.value.session
        return None if session is None else session.user_id or session.id

    def _worth_a_retry(
        self, request: httpx.Request, response: httpx.Response, token: Masked[str | None]
    ) -> bool:
        if token.value is None or response.status_code != 401 or not _can_be_replayed(request):
            return False
        # After a redirect the 401 may be another origin's, and to a request without our token.
        sent = response.request
        mine = sent.headers.get("authorization") == f"Bearer {token.value}"
        return mine and origin_of(sent.url) in self._origins

    def __repr__(self) -> str:
        return f"<BearerAuth for {', '.join(sorted(self._origins))}>"


@discreet_call
def bearer_auth(
    auth: AuthProvider[Any] | BlockingAuth,
    *,
    origins: Iterable[str] | None = None,
    signed_out: Literal["raise", "send"] = "raise",
) -> BearerAuth:
    """An ``auth=`` for ``httpx.AsyncClient``, and over ``connect_blocking()`` for ``httpx.Client``
    too. It fits httpx2's clients, with the retry if httpx2 was imported before.

    :param origins: where tokens may go: ``https://api.example.com``. By default only the auth
        server itself. A request to another origin is refused, and on a redirect to one httpx
        drops the token.
    :param signed_out: with ``"raise"`` a request of nobody is NotAuthenticated; with ``"send"``
        it goes without a token.
    :raises ConfigurationError: an origin that is none, or no origin at all; or no provider.
    """
    _check_provider(auth)
    if signed_out not in ("raise", "send"):
        raise ConfigurationError('signed_out is "raise" or "send"')
    if isinstance(origins, str):
        origins = [origins]
    if origins is None:
        client = auth.client
        own = getattr(client, "origin", None)
        if not isinstance(own, str):
            raise ConfigurationError("this client has no origin of its own: pass origins=[...]")
        origins = [own]
    allowed = frozenset(_checked(origin) for origin in origins)
    if not allowed:
        raise ConfigurationError("bearer_auth needs at least one origin")
    return _class()(auth, allowed, signed_out)


def _check_provider(auth: object) -> None:
    if not isinstance(auth, (AuthProvider, BlockingAuth)):
        raise ConfigurationError("this takes what connect() or connect_blocking() gives")


def _class() -> type[BearerAuth]:
    # httpx2 accepts instances of its own Auth only; the flows of both are the same.
    newer = sys.modules.get("httpx2")
    if newer is None:
        return BearerAuth
    return type("BearerAuth", (BearerAuth, newer.Auth), {})


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port as a browser compares them; names in ASCII (RFC 5891)."""
    host = url.raw_host.decode("ascii").lower()
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _checked(origin: object) -> str:
    try:
        url = httpx.URL(origin) if isinstance(origin, str) else httpx.URL("")
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    rest = url.userinfo or url.query or url.fragment
    plain = not rest and url.path in ("", "/")
    if url.scheme not in ("http", "https") or not url.raw_host or not plain:
        raise ConfigurationError("an origin is a scheme, a host and perhaps a port, and no more")
    return origin_of(url)


def _can_be_replayed(request: httpx.Request) -> bool:
    """Whether the body can be read again: it is in memory, or a form of files that can seek."""
    parts = getattr(request.stream, "fields", None)
    if parts is not None:
        files = [part.file for part in parts if hasattr(part, "file")]
        return all(isinstance(f, (bytes, str)) or _can_seek(f) for f in files)
    try:
        _ = request.content
    except Exception:  # each client has its own RequestNotRead
        return False
    return True


def _can_seek(file: object) -> bool:
    seekable = getattr(file, "seekable", None)
    return callable(seekable) and bool(seekable())


def _fetching(auth: AuthProvider[Any] | BlockingAuth) -> Callable[..., Awaitable[str | None]]:
    if isinstance(auth, AuthProvider):
        return auth.fetch_access_token
    future = auth.fetch_access_token.future

    @discreet_call
    def fetch(*, force_refresh: bool = False, rejected: str | None = None) -> Awaitable[str | None]:
        return asyncio.wrap_future(future(force_refresh=force_refresh, rejected=rejected))

    return fetch


@runtime_checkable
class TokenSource(Protocol):
    """The shape in which SDKs take a token provider."""

    def __call__(self, *, force_refresh: bool = False) -> Awaitable[str]: ...


def token_source(auth: AuthProvider[Any] | BlockingAuth) -> TokenSource:
    """``async (*, force_refresh=False) -> str`` over a provider.

    Raises NotAuthenticated when the user is signed out, AuthUnavailable when no answer could be
    had in time.
    """

    _check_provider(auth)
    fetch = _fetching(auth)

    async def token(*, force_refresh: bool = False) -> str:
        value = await fetch(force_refresh=force_refresh)
        if value is None:
            raise NotAuthenticated("the user is signed out")
        return value

    return token
