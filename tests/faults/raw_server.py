"""An auth server made of a socket: it answers with whatever bytes a test gives it, or does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Self

from reactive_auth.testing import make_jwt

from .clocks import ShiftedClock

__all__ = ["COOKIE", "JSON", "SECRET", "Act", "Hit", "RawServer", "Talk", "http"]

#: Is in every cookie, session secret and faulty body; must be in no error.
SECRET = "s3cr3t"
COOKIE = ("better-auth.session_token", f"{SECRET}.cookie")
JSON = "Content-Type: application/json"

#: Real seconds that closing may take on a slow machine.
_PATIENCE = 30.0


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A response as it goes over the wire."""
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {size}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


@dataclass(frozen=True)
class Hit:
    """A request that arrived, and when (seconds of the tests' monotonic clock)."""

    path: str
    at: float


class Talk:
    """One connection on which a request has arrived."""

    def __init__(
        self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        with contextlib.suppress(OSError):
            await self._writer.drain()

    @property
    def closed(self) -> bool:
        """Whether the client has gone away."""
        return self._writer.transport.is_closing()

    async def end(self) -> None:
        """Close in the regular way: what was sent arrives."""
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            await self.reader.read()
        self._writer.close()

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        raw = self._writer.get_extra_info("socket")
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def keep_waiting(self, tick: asyncio.Event | None = None) -> bool:
        """Say nothing until the client goes away, or ``tick``; whether it is still there."""
        gone = asyncio.ensure_future(self.reader.read(1))
        ticked = asyncio.ensure_future((tick or asyncio.Event()).wait())
        self.server.waiting += 1
        self.server.moved()
        try:
            await asyncio.wait({gone, ticked}, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            self.server.waiting -= 1
            for task in (gone, ticked):
                task.cancel()
            await asyncio.gather(gone, ticked, return_exceptions=True)


Act = Callable[[Talk], Awaitable[None]]


class RawServer:
    """Listens on 127.0.0.1; one session and its tokens, as the convex plugin mints them."""

    def __init__(self, clock: ShiftedClock, tls: ssl.SSLContext | None = None) -> None:
        self.clock = clock
        self.hits: list[Hit] = []
        #: Requests that are deliberately not answered now.
        self.waiting = 0
        #: Set and replaced whenever the test moves time on.
        self.tick = asyncio.Event()
        #: Called when ``waiting`` grows.
        self.moved: Callable[[], None] = lambda: None
        #: What happens instead of an answer to a path.
        self.acts: dict[str, Act] = {}
        #: What happens at the first bytes of a connection, whatever they are.
        self.greeting: Act | None = None
        self.session_id: str | None = "session-1"
        self.session_expires = clock.server() + 7 * 86_400.0
        self.token_lifetime = 900.0
        self.minted: list[str] = []
        #: With get-session the cookie is set anew, for so many seconds.
        self.cookie_age: float | None = None
        #: Whether the last request brought the session cookie.
        self.sent_cookie = False
        #: Where it redirects to.
        self.elsewhere = ""
        self.port = 0
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    # -- life --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def listen(self, tls: ssl.SSLContext | bool | None = True) -> None:
        """On the same port as before; ``tls`` True is the server's own way."""
        context = self._tls if isinstance(tls, bool) else tls
        self._listener = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, ssl=context
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def hang_up(self) -> None:
        """Refuse connections from now on, and end those there are."""
        if self._listener is not None:
            self._listener.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(list(self._connections))
        self._listener = None

    async def emptied(self) -> None:
        """Wait until the client has closed every connection. TimeoutError where it does not."""
        async with asyncio.timeout(_PATIENCE):
            if self._connections:
                await asyncio.wait(list(self._connections))

    def move_on(self) -> None:
        """Time has passed."""
        self.tick.set()
        self.tick = asyncio.Event()

    # -- one connection ----------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del self._connections[task]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(self, reader, writer)
        if self.greeting is not None:
            await reader.read(65_536)
            self.hits.append(Hit("", self.clock.monotonic()))
            await self.greeting(talk)
            return
        while not writer.transport.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode().partition("?")[0].removeprefix("/api/auth")
            self.hits.append(Hit(path, self.clock.monotonic()))
            self.sent_cookie = "=".join(COOKIE).encode() in head
            act = self.acts.get(path)
            await (self._answer(talk, path) if act is None else act(talk))

    async def _answer(self, talk: Talk, path: str) -> None:
        if path == "/get-session":
            await talk.send(self.reply(200, self._described(), *self._cookie()))
        elif path == "/convex/token" and self.session_id is None:
            await talk.send(self.reply(401, {"code": "UNAUTHORIZED"}))
        elif path == "/convex/token":
            self.minted.append(self.mint(self.session_id or ""))
            await talk.send(self.reply(200, {"token": self.minted[-1]}))
        else:
            await talk.send(http(404, b""))

    def reply(self, status: int, data: object, *headers: str) -> bytes:
        return http(status, json.dumps(data).encode(), JSON, self.date(), *headers)

    def _cookie(self) -> list[str]:
        if self.cookie_age is None:
            return []
        return [f"Set-Cookie: {'='.join(COOKIE)}; Max-Age={self.cookie_age:.0f}; Path=/; HttpOnly"]

    def date(self) -> str:
        return f"Date: {formatdate(self.clock.server(), usegmt=True)}"

    def mint(self, session_id: str, **claims: object) -> str:
        now = int(self.clock.server())
        return make_jwt(
            {
                "sub": "u1",
                "sessionId": session_id,
                "iat": now,
                "exp": now + self.token_lifetime,
                "jti": f"{SECRET}-{len(self.minted)}",
                **claims,
            }
        )

    def _described(self) -> object:
        if self.session_id is None:
            return None
        return {
            "session": {
                "id": self.session_id,
                "userId": "u1",
                "token": SECRET,
                "expiresAt": self.session_expires * 1000,
            },
            "user": {"id": "u1", "email": "u1@example.com"},
        }
