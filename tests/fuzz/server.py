"""A client and a provider over a server whose next answer is any bytes, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import traceback
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from reactive_auth import AuthError, AuthProvider, Backoff, BetterAuthClient, connect
from reactive_auth.testing import VirtualClock, run_virtual
from tests.wire.support import COOKIE, URL, Exchange, MiniServer

__all__ = ["MARK", "SESSION", "Fuzzed", "play", "quiet_logs"]

#: Planted where a secret would be. No error, log record or warning may show it.
MARK = "Zs3cr3tMarkZ"
#: The session everything starts from.
SESSION = "session-1"
#: After this every backoff has run out (virtual seconds); the longest Retry-After is an hour.
_PATIENCE, _LONG_PATIENCE = 40.0, 3700.0


class Server(MiniServer):
    """Sees to it that no request leaves for another origin."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.cookie = self.open_session()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
        assert origin == URL, f"a request went to {origin}"
        assert request.headers["host"] == "auth.test"
        return await super().handle_async_request(request)

    def answer(self, exchange: Exchange) -> httpx.Response:
        if exchange.path == "/one-time-token/verify":
            headers = [("set-cookie", f"{COOKIE}={self.open_session()}; Path=/; Secure")]
            return httpx.Response(200, headers=headers, json={"session": {}})
        if exchange.path in ("/custom", "/revoke-session"):
            return httpx.Response(200, json={"status": True})
        return super().answer(exchange)


class Fuzzed:
    """What a target works with: signed in as SESSION, with a token not fetched yet."""

    def __init__(self, clock: VirtualClock, **options: Any) -> None:
        self.clock = clock
        self.server = Server(clock)
        self.auth: AuthProvider[BetterAuthClient] = connect(
            URL,
            transport=self.server,
            clock=clock,
            cookies={COOKIE: self.server.cookie},
            backoff=Backoff(draw=lambda: 1.0),
            **options,
        )
        self.client = self.auth.client
        self.errors: list[AuthError] = []
        self._subscriptions = [
            self.auth.state.subscribe(lambda state: self._note(state.error)),
            self.client.session.subscribe(lambda state: self._note(state.error)),
        ]

    def _note(self, error: AuthError | None) -> None:
        if error is not None:
            self.errors.append(error)

    async def attempt(self, call: Awaitable[Any]) -> AuthError | None:
        """Its error, if it is one of ours; any other is a finding."""
        try:
            await call
        except AuthError as error:
            self.errors.append(error)
            return error
        return None

    @property
    def status(self) -> str:
        return self.client.session.value.status

    @property
    def session_id(self) -> str | None:
        session = self.client.session.value.session
        return None if session is None else session.id

    def check_token(self, value: str | None) -> None:
        """One that is handed out is the current session's and has not expired."""
        if value is None:
            assert self.auth.state.value.status in ("signed_out", "expired")
            return
        assert isinstance(value, str)
        assert self.auth.cached_access_token() == value
        assert all("!" <= character <= "~" for character in value), "no header takes it"
        token, session = self.auth.token.value, self.auth.session.value.session
        assert token is not None
        assert session is not None
        assert token.session_id == session.id
        assert token.expires_at.timestamp() > self.clock.wall()
        claims = token.claims
        if "sessionId" in claims:
            assert str(claims["sessionId"]) == session.id
        elif "sub" in claims and session.user_id is not None:
            assert str(claims["sub"]) == session.user_id

    async def recover(self, *, anew: bool = False, asked_to_wait: bool = False) -> None:
        """After whatever it was, good answers make all well; with ``anew`` by a new sign-in."""
        self.server.before.clear()
        await asyncio.sleep(_LONG_PATIENCE if asked_to_wait else _PATIENCE)
        if anew:
            await self.client.sign_out()
        if self.status == "signed_in":
            await self.client.refetch()
        if self.status != "signed_in":
            await self.client.sign_in_email(email="u1@example.com", password=self.server.password)
        state = self.client.session.value
        assert state.status == "signed_in"
        assert state.error is None
        assert not state.refreshing
        assert self.session_id in self.server.live.values()
        token = await self.auth.fetch_access_token(force_refresh=True)
        assert token is not None
        self.check_token(token)
        assert self.auth.state.value.error is None

    async def aclose(self) -> None:
        for subscription in self._subscriptions:
            subscription.dispose()
        await self.auth.aclose()


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def play(
    scenario: Callable[[Fuzzed], Awaitable[None]], *, secret: bool = True, **options: Any
) -> None:
    """Run a scenario in virtual time: it ends, leaves nothing, and tells nobody the MARK.

    ``secret`` is False where the input has the MARK in what an error is meant to show.
    """
    clock = VirtualClock()
    problems: list[object] = []
    errors: list[AuthError] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: problems.append(context)
        )
        here = Fuzzed(clock, **options)
        try:
            # In virtual time this bounds the number of timers, not the seconds.
            async with asyncio.timeout(1_000_000):
                await scenario(here)
        finally:
            await here.aclose()
            for _ in range(5):
                await asyncio.sleep(0)
            errors.extend(here.errors)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

    records = quiet_logs()
    records.lines.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_virtual(main(), clock)
    assert not problems, problems
    for error in errors:
        assert isinstance(error, AuthError)
        retry_after = getattr(error, "retry_after", None)
        assert retry_after is None or retry_after >= 0
        if secret:
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
            assert MARK not in shown, "an error shows a secret"
    if secret:
        for line in records.lines:
            assert MARK not in line, "a log record shows a secret"


@functools.cache
def quiet_logs() -> _Records:
    """Keep everything that is logged, down to DEBUG, and print none of it."""
    records = _Records()
    for name in ("reactive_auth", "httpx", "httpcore", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(records)
        logger.setLevel(logging.DEBUG)
    return records


def as_json(body: bytes) -> tuple[bool, Any]:
    """Whether these bytes are JSON, and what they say."""
    try:
        return True, json.loads(body)
    except (ValueError, RecursionError):
        return False, None
