"""The least server that rotates sessions: what is measured is the library, not its peer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Generator
from email.utils import formatdate
from typing import TypeVar

from reactive_auth.testing import make_jwt

__all__ = ["COOKIE", "RotatingServer", "http_answer", "serve", "session_in"]

COOKIE = "better-auth.session_token"
_BASE = "/api/auth"

S = TypeVar("S", bound="RotatingServer")


class RotatingServer:
    """Takes any session cookie for the id of a session. Each answer comes after a latency drawn
    anew from ``0…latency`` seconds.
    """

    def __init__(self, latency: float = 0.0, seed: int = 1) -> None:
        self.latency = latency
        #: Requests that arrived, by route.
        self.requests: Counter[str] = Counter()
        #: Requests whose client had hung up when they were to be answered.
        self.aborted = 0
        self.url = ""
        self.port = 0
        self._random = random.Random(seed)
        self._rotations = 0
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return server

    async def end(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path = first.split(" ")[1].partition("?")[0].removeprefix(_BASE)
                self._count(path)
                # Minted when it arrived, so that a late answer is one for the session before.
                answer = self._answer(path, headers.get("cookie", ""), body)
                await self._pause(path, headers.get("cookie", ""), body)
                if reader.at_eof():
                    self.aborted += 1
                    return
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, or the server ends
        finally:
            self._open.discard(task)
            writer.close()

    def _count(self, path: str) -> None:
        self.requests[path] += 1

    async def _pause(self, path: str, cookies: str, body: bytes) -> None:
        await asyncio.sleep(self._random.uniform(0.0, self.latency))

    def _answer(self, path: str, cookies: str, body: bytes) -> bytes:
        session = session_in(cookies)
        user = {"id": "u", "email": "u@example.com", "name": "U", "emailVerified": True}
        now = time.time()
        if path == "/get-session":
            found = {"id": session, "userId": "u", "expiresAt": int((now + 86_400) * 1000)}
            return http_answer({"session": found, "user": user} if session else None)
        if path == "/convex/token":
            claims = {"sub": "u", "sessionId": session, "iat": int(now), "exp": int(now) + 900}
            return http_answer({"token": make_jwt(claims)})
        if path == "/change-password":
            self._rotations += 1
            cookie = f"{COOKIE}=r{self._rotations}; Path=/; HttpOnly; SameSite=Lax"
            return http_answer({"token": "t", "user": user}, f"set-cookie: {cookie}\r\n")
        if path == "/oauth2/token":  # for the peers
            return http_answer(
                {"access_token": "x" * 300, "token_type": "bearer", "expires_in": 900}
            )
        return http_answer({"message": "Not Found"}, status=404)


def session_in(cookies: str) -> str:
    """The session cookie's value; empty without one."""
    return cookies.partition(f"{COOKIE}=")[2].partition(";")[0]


def http_answer(data: object, headers: str = "", status: int = 200) -> bytes:
    body = json.dumps(data).encode()
    head = (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}"
        f"date: {formatdate(usegmt=True)}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextlib.contextmanager
def serve(server: S) -> Generator[S]:
    """Serve on a thread of its own meanwhile."""
    ready, done = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        listener = await server.start()
        ready.set()
        await done.wait()
        listener.close()
        await server.end()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(done.set)
        thread.join(10)
