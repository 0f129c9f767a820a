"""The server: routes, faults and a record of requests, apart from how they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx

from ..client.address import is_loopback
from ..extras import require
from ..portal import PrivateLoop
from .faults import Faults

better_auth = require("better_auth", extra="demo")

from .issuer import Issuer  # noqa: E402  # needs the extra's packages
from .sockets import serve_sockets  # noqa: E402

__all__ = ["EmbeddedServer", "ServedRequest"]

BASE_PATH = "/api/auth"


@dataclass(slots=True)
class ServedRequest:
    """A request that arrived. ``status`` is None until, and unless, it was answered."""

    method: str
    path: str
    status: int | None = None
    aborted: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An answer on its way to a transport."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class EmbeddedServer:
    """A Better Auth server with accounts in memory, e-mail and password, one-time tokens, and
    both token routes. It can be reached from any thread and event loop: its work is done on a
    private daemon thread, password hashing included.

    :param token_lifetime: of the tokens at ``/convex/token``, in seconds.
    :param session_lifetime: of a session, in seconds.
    :param cookie_cache: whether get-session may answer from a cookie for 5 minutes.
    :raises ImportError: the extra ``[demo]`` is not installed.
    """

    #: Where :attr:`transport` answers. A name that can only be this machine (RFC 6761).
    url = "http://embedded.localhost"

    def __init__(
        self,
        *,
        token_lifetime: int = 900,
        session_lifetime: int = 7 * 86_400,
        cookie_cache: bool = False,
    ) -> None:
        from better_auth.config import CookieCache, DeleteUserOptions, UserOptions
        from better_auth.plugins_ext.jwt import JWTPlugin
        from better_auth.plugins_ext.one_time_token import OneTimeTokenPlugin

        self.faults = Faults()
        #: Every request that arrived, oldest first.
        self.requests: list[ServedRequest] = []
        self._adapter: Any = better_auth.MemoryAdapter()
        self._auth: Any = better_auth.BetterAuth(
            secret=secrets.token_urlsafe(32),
            adapter=self._adapter,
            base_url=self.url,
            base_path=BASE_PATH,
            email_and_password=better_auth.EmailAndPassword(enabled=True),
            user=UserOptions(delete_user=DeleteUserOptions(enabled=True)),
            session=better_auth.SessionOptions(
                expires_in=session_lifetime, cookie_cache=CookieCache(enabled=cookie_cache)
            ),
            rate_limit=better_auth.RateLimit(enabled=False),
            trusted_origins=_trusted,
            plugins=[JWTPlugin(), OneTimeTokenPlugin()],
        )
        self._issuer = Issuer(token_lifetime)
        self._loop = PrivateLoop()
        self._transport = _InProcess(self)

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """An httpx transport to this server, without a socket."""
        return self._transport

    @contextlib.contextmanager
    def serve(self) -> Generator[str]:
        """Serve on a free port of 127.0.0.1 meanwhile; gives the URL."""
        with serve_sockets(self._loop, self) as url:
            yield url

    def revoke(self, session_id: str) -> None:
        """Delete a session's row, as if it had been revoked elsewhere."""

        async def delete() -> None:
            where = [better_auth.Where("id", session_id)]
            await self._adapter.delete("session", where)

        self._loop.wait(self._loop.submit(delete))

    def sessions(self) -> list[str]:
        """The ids of the sessions there are."""

        async def find() -> list[str]:
            return [row["id"] for row in await self._adapter.find_many("session")]

        return self._loop.wait(self._loop.submit(find))

    def count(self, path: str) -> int:
        """How many requests for a path arrived."""
        return sum(request.path == path for request in self.requests)

    def close(self) -> None:
        """End the private thread. May be called again."""
        self._loop.stop(5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one request -------------------------------------------------------------------------

    async def answer(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, url: str
    ) -> Reply | None:
        """The reply to a request; None where the connection is to be dropped."""
        if self.faults.is_down:
            return None
        parts = urlsplit(target)
        path = parts.path.removeprefix(BASE_PATH)
        record = ServedRequest(method, path)
        self.requests.append(record)
        try:
            fault = await self.faults.strike(path)
            if fault is not None and fault.status is not None:
                kind = [("content-type", "application/json"), *fault.headers.items()]
                reply = Reply(fault.status, kind, b"{}" if fault.body is None else fault.body)
            else:
                reply = await self._route(method, path, parts.query, headers, body, url)
        except asyncio.CancelledError:
            record.aborted = True
            raise
        record.status = reply.status
        return reply

    async def _route(
        self,
        method: str,
        path: str,
        query: str,
        headers: list[tuple[str, str]],
        body: bytes,
        url: str,
    ) -> Reply:
        request = better_auth.AuthRequest(
            method=method,
            path=path,
            headers={name.lower(): value for name, value in headers},
            query=dict(parse_qsl(query)),
            body=body,
            client_ip="127.0.0.1",
            url=url,
        )
        if path == "/convex/jwks":
            return _json(200, self._issuer.jwks())
        if path == "/convex/token":
            found = await self._auth.load_session(request)
            # The row is asked for, too: the port answers from a cookie cache here.
            if found is None or not await self._is_live(found["session"]["id"]):
                return _json(401, {"code": "UNAUTHORIZED", "message": "Unauthorized"})
            at = urlsplit(url)
            token = self._issuer.mint(found["session"], found["user"], f"{at.scheme}://{at.netloc}")
            return _json(200, {"token": token})
        result = await self._auth.handle(request)
        if result.status == 404 and result.body == {"message": "Not Found"}:
            return Reply(404, [], b"")  # as the original says it
        if result.redirect_to is not None:
            return Reply(302, [("location", result.redirect_to), *result.headers], b"")
        content = result.body if result.media_type else _dump(result.body)
        kind = ("content-type", result.media_type or "application/json")
        return Reply(result.status, [kind, *result.headers], content)

    async def _is_live(self, session_id: str) -> bool:
        where = [better_auth.Where("id", session_id)]
        return await self._adapter.find_one("session", where) is not None


class _InProcess(httpx.AsyncBaseTransport):
    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.headers.raw]
        future = self._server._loop.submit(  # pyright: ignore[reportPrivateUsage]
            self._server.answer,
            request.method,
            request.url.raw_path.decode("ascii"),
            headers,
            body,
            str(request.url),
        )
        reply = await asyncio.wrap_future(future)
        if reply is None:
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Response(reply.status, headers=reply.headers, content=reply.body)


def _trusted(request: Any) -> list[str]:
    """A page that this machine serves may call it, whatever its port."""
    origin = str(getattr(request, "headers", {}).get("origin", ""))
    return [origin] if is_loopback(urlsplit(origin).hostname or "") else []


def _json(status: int, data: object) -> Reply:
    return Reply(status, [("content-type", "application/json")], _dump(data))


def _dump(data: object) -> bytes:
    from better_auth.types import dump_json

    return dump_json(data)
