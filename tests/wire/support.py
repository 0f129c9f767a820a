"""A Better Auth server in a few lines, whose every answer a test can hold back, replace or lose.

It runs inside a virtual loop as an httpx transport, so that races are exact and free of time.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from reactive_auth import AuthProvider, BetterAuthClient, connect
from reactive_auth.testing import VirtualClock, make_jwt, run_virtual

URL = "https://auth.test"
COOKIE = "__Secure-better-auth.session_token"
CACHE = "__Secure-better-auth.session_data"
PASSWORD = "correct-horse-battery"


@dataclass(eq=False)
class Exchange:
    """A request that arrived."""

    method: str
    path: str
    headers: httpx.Headers
    body: Any
    query: dict[str, str]
    status: int | None = None
    aborted: bool = False


class MiniServer(httpx.AsyncBaseTransport):
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.password = PASSWORD
        self.live: dict[str, str] = {}  # cookie value → session id
        self.made = 0
        self.log: list[Exchange] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.before: dict[str, list[httpx.Response | Exception]] = {}
        self.after: dict[str, list[httpx.Response | Exception]] = {}
        self.cookie_cache = False
        self.closed = False

    # -- what a test does --------------------------------------------------------------------

    def gate(self, path: str) -> asyncio.Event:
        """Requests for this path are carried out, but answered only when the event is set."""
        self.gates[path] = asyncio.Event()
        return self.gates[path]

    def instead(self, path: str, *answers: httpx.Response | Exception) -> None:
        """The next requests for this path are not carried out."""
        self.before.setdefault(path, []).extend(answers)

    def lose(self, path: str, error: Exception) -> None:
        """The next request is carried out, and its answer lost."""
        self.after.setdefault(path, []).append(error)

    def count(self, path: str) -> int:
        return sum(exchange.path == path for exchange in self.log)

    def open_session(self) -> str:
        self.made += 1
        value = f"cookie-{self.made}.s3cr3t"
        self.live[value] = f"session-{self.made}"
        return value

    # -- the server --------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        path = request.url.path.removeprefix("/api/auth")
        query = dict(request.url.params)
        exchange = Exchange(
            request.method, path, request.headers, json.loads(body) if body else None, query
        )
        self.log.append(exchange)
        try:
            if self.before.get(path):
                response = self.before[path].pop(0)
            else:
                response = self.answer(exchange)
                if self.after.get(path):
                    response = self.after[path].pop(0)
            gate = self.gates.get(path)
            if gate is not None:
                await gate.wait()
            else:
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            exchange.aborted = True
            raise
        if isinstance(response, Exception):
            raise response
        exchange.status = response.status_code
        return response

    def answer(self, exchange: Exchange) -> httpx.Response:
        cookies = dict(
            part.strip().split("=", 1)
            for part in exchange.headers.get("cookie", "").split(";")
            if "=" in part
        )
        value = cookies.get(COOKIE, "")
        session = self.live.get(value)
        if exchange.method == "POST" and cookies and exchange.headers.get("origin") != URL:
            return reply(403, {"code": "MISSING_OR_NULL_ORIGIN", "message": "origin"})
        if exchange.path == "/get-session":
            if session is None:
                return reply(200, None, clear=bool(value))
            return reply(200, self.describe(session))
        if exchange.path == "/convex/token":
            cached = self.cookie_cache and exchange.query.get("disableCookieCache") != "true"
            minted_for = cookies.get(CACHE) if cached else session
            if minted_for is None:
                return reply(401, {"code": "UNAUTHORIZED"}, clear=True)
            return reply(200, {"token": self.mint(minted_for)})
        if exchange.path in ("/sign-in/email", "/sign-up/email"):
            if exchange.body.get("password") != self.password:
                return reply(401, {"code": "INVALID_EMAIL_OR_PASSWORD", "message": "no"})
            return reply(200, {"user": {"id": "u1"}}, cookie=self.open_session())
        if exchange.path == "/sign-out":
            self.live.pop(value, None)
            return reply(200, {"success": True}, clear=True)
        if session is None:
            return reply(401, {"code": "UNAUTHORIZED", "message": "no session"})
        if exchange.path == "/change-password":
            if exchange.body.get("currentPassword") != self.password:
                return reply(400, {"code": "INVALID_PASSWORD", "message": "wrong"})
            self.password = exchange.body["newPassword"]
            if not exchange.body["revokeOtherSessions"]:
                return reply(200, {"token": None, "user": {"id": "u1"}})
            self.live.clear()
            return reply(200, {"user": {"id": "u1"}}, cookie=self.open_session())
        if exchange.path == "/update-user":
            return reply(200, {"status": True}, cookie=value)
        return reply(404, ...)

    def describe(self, session: str) -> dict[str, Any]:
        return {
            "session": {"id": session, "userId": "u1", "token": "s3cr3t"},
            "user": {"id": "u1", "email": "u1@example.com", "name": "U"},
        }

    def mint(self, session: str) -> str:
        now = int(self.clock.server())
        jti = len(self.log)
        return make_jwt(
            {"sub": "u1", "sessionId": session, "iat": now, "exp": now + 900, "jti": jti}
        )

    async def aclose(self) -> None:
        self.closed = True


def reply(
    status: int, data: Any, *, cookie: str | None = None, clear: bool = False
) -> httpx.Response:
    headers = [("content-type", "application/json")]
    flags = "Path=/; HttpOnly; Secure; SameSite=Lax"
    if cookie is not None:
        headers.append(("set-cookie", f"{COOKIE}={cookie}; Max-Age=604800; {flags}"))
    if clear:
        headers.append(("set-cookie", f"{COOKIE}=; Max-Age=0; {flags}"))
    content = b"" if data is ... else json.dumps(data).encode()
    return httpx.Response(status, headers=headers, content=content)


class World:
    """A provider over the real client over the mini server."""

    def __init__(self, clock: VirtualClock, options: dict[str, Any]) -> None:
        self.clock = clock
        self.server = MiniServer(clock)
        self.auth: AuthProvider[BetterAuthClient] = connect(
            URL, transport=self.server, clock=clock, **options
        )
        self.client = self.auth.client

    async def sign_in(self) -> None:
        await self.client.sign_in_email(email="u1@example.com", password=self.server.password)

    @property
    def session_id(self) -> str | None:
        session = self.auth.session.value.session
        return None if session is None else session.id

    @property
    def status(self) -> str:
        return self.auth.state.value.status


def world(**options: Any) -> Callable[[Callable[[World], Awaitable[None]]], Callable[[], None]]:
    """Make an async test out of a scenario in virtual time; nothing may be left at its end."""

    def decorate(scenario: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
        @functools.wraps(scenario)
        def test() -> None:
            clock = VirtualClock()

            async def main() -> None:
                here = World(clock, options)
                problems: list[object] = []
                asyncio.get_running_loop().set_exception_handler(
                    lambda _, context: problems.append(context)
                )
                try:
                    await scenario(here)
                finally:
                    await here.auth.aclose()
                    for _ in range(20):
                        await asyncio.sleep(0)
                    assert asyncio.all_tasks() == {asyncio.current_task()}
                    assert not problems, problems

            run_virtual(main(), clock)

        del test.__wrapped__
        return test

    return decorate


async def turn(times: int = 20) -> None:
    """Let everything that is due now happen."""
    for _ in range(times):
        await asyncio.sleep(0)
