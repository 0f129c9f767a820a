"""A provider over sockets to a server that fails when a test says so, in time that it moves on.

Whatever a test does on a stage, at its end it is checked that nobody was handed a token that had
expired or was another session's, that no error tells a secret, and that nothing is left open.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self
from unittest import mock

import httpx
import jwt

from reactive_auth import (
    AccessToken,
    AuthProvider,
    AuthState,
    AuthUnavailable,
    Backoff,
    BetterAuthClient,
    connect,
)
from reactive_auth.client import tls
from tests.core.support import Seen
from tests.servers.npm import NodeServer
from tests.wire.support import turn

from .certificates import Certificates
from .clocks import ShiftedClock
from .raw_server import COOKIE, SECRET, Hit, RawServer
from .table import Fault, Level

__all__ = ["PASSWORD", "Backend", "NodeBackend", "RawBackend", "Stage", "raw_backend"]

#: Real seconds that anything may take on a slow machine before a test gives up.
_PATIENCE = 30.0
#: Turns of the loop in which whatever is due is done.
_TICKS = 25
_NAME = "auth.invalid"
PASSWORD = f"{SECRET}-password"


class Backend(Protocol):
    """A server that can be told to fail."""

    url: str
    clock: ShiftedClock
    cookies: dict[str, str]
    options: dict[str, Any]
    step: float
    """Seconds in which time passes."""

    def hits(self, *routes: str) -> list[Hit]: ...
    async def strike(self, fault: Fault, *routes: str) -> None: ...
    async def heal(self) -> None: ...
    async def keeps_waiting(self, requests: int) -> None: ...
    async def passed(self) -> None: ...
    async def emptied(self) -> None: ...


class RawBackend:
    """A RawServer; see ``raw_backend``."""

    step = 1.0

    def __init__(
        self,
        clock: ShiftedClock,
        server: RawServer,
        elsewhere: RawServer,
        secure: Certificates | None,
    ) -> None:
        self.clock = clock
        self.server = server
        self.elsewhere = elsewhere
        self.url = server.url
        self.cookies = dict([COOKIE])
        self.options: dict[str, Any] = {}
        self.resolves = True
        self._secure = secure
        self._broken: Level = "answer"
        self._waiting = asyncio.Event()
        server.moved = self._waiting.set

    def hits(self, *routes: str) -> list[Hit]:
        """The requests that arrived; connections that got no further than a greeting are all."""
        return [hit for hit in self.server.hits if not routes or hit.path in (*routes, "")]

    async def strike(self, fault: Fault, *routes: str) -> None:
        server = self.server
        if fault.level == "answer":
            assert fault.act is not None
            server.acts = dict.fromkeys(routes, fault.act)
        elif fault.level == "name":
            self.resolves = False
            await server.hang_up()
            await server.listen()
        elif fault.level == "port":
            await server.hang_up()
        elif fault.level == "greeting":
            await server.hang_up()
            server.greeting = fault.act
            await server.listen(tls=None)
        else:
            await server.hang_up()
            await server.listen(tls=getattr(self._secure, fault.tls))
        self._broken = fault.level

    async def heal(self) -> None:
        server = self.server
        server.acts, server.greeting, self.resolves = {}, None, True
        if self._broken in ("tls", "greeting"):
            await server.hang_up()
        if self._broken in ("tls", "greeting", "port"):
            await server.listen()

    async def keeps_waiting(self, requests: int) -> None:
        while self.server.waiting < requests:
            self._waiting.clear()
            await self._waiting.wait()

    async def passed(self) -> None:
        self.server.move_on()

    async def emptied(self) -> None:
        await self.server.emptied()
        assert not self.elsewhere.hits, "a redirect was followed"


@contextlib.asynccontextmanager
async def raw_backend(
    clock: ShiftedClock, fault: Fault | None = None, certificates: Certificates | None = None
) -> AsyncIterator[RawBackend]:
    """The server that this fault can hit: for a TLS fault one that speaks TLS, say."""
    level = fault.level if fault is not None else "answer"
    secure = certificates if level in ("tls", "greeting") else None
    with contextlib.ExitStack() as stack:
        if secure is not None:
            stack.enter_context(_trusting(secure))
        server = RawServer(clock, secure.good if secure else None)
        async with server, RawServer(clock) as elsewhere:
            server.elsewhere = elsewhere.url
            backend = RawBackend(clock, server, elsewhere, secure)
            if level == "name":
                backend.url = f"http://{_NAME}:{server.port}"
                backend.options = {"allow_http": True}
                stack.enter_context(_resolving(backend))
            yield backend


@contextlib.contextmanager
def _trusting(certificates: Certificates):  # type: ignore[no-untyped-def]
    """The tests' authority is one of the machine's, as SSL_CERT_FILE says it."""
    tls.shared_tls.cache_clear()
    try:
        with mock.patch.dict("os.environ", SSL_CERT_FILE=str(certificates.authority)):
            yield
    finally:
        tls.shared_tls.cache_clear()


@contextlib.contextmanager
def _resolving(backend: RawBackend):  # type: ignore[no-untyped-def]
    """The machine's resolver knows one more name, or does not."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        if host in (_NAME, _NAME.encode()):
            if not backend.resolves:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return resolve(host, *rest, **options)

    with mock.patch("socket.getaddrinfo", getaddrinfo):
        yield


class NodeBackend:
    """A real Better Auth server with a session that was just made for this."""

    elsewhere = "http://127.0.0.1:9"
    step = 2.0

    def __init__(self, clock: ShiftedClock, node: NodeServer, email: str) -> None:
        self.clock = clock
        self.node = node
        self.url = node.url
        self.options: dict[str, Any] = {}
        node.reset()
        headers = {"origin": node.url}
        with httpx.Client(
            base_url=node.auth_url, headers=headers, trust_env=False, verify=False
        ) as browser:
            body = {"email": email, "password": PASSWORD, "name": "Ada"}
            browser.post("/sign-up/email", json=body).raise_for_status()
            self.cookies = {
                cookie.name: cookie.value or ""
                for cookie in browser.cookies.jar
                if cookie.name.endswith("session_token")
            }
        self._first = node.count()
        self._offset = 0.0

    def hits(self, *routes: str) -> list[Hit]:
        base = len("/api/auth")
        seen = [request.path[base:] for request in self.node.requests()[self._first :]]
        return [Hit(path, 0.0) for path in seen if not routes or path in routes]

    async def strike(self, fault: Fault, *routes: str) -> None:
        assert fault.script is not None
        script = dict(fault.script)
        script["headers"] = {
            name: value.replace("{elsewhere}", self.elsewhere)
            for name, value in script.get("headers", {}).items()
        }
        for route in routes:
            self.node.script(route, times=None, **script)

    async def heal(self) -> None:
        self.node.unscript()

    async def keeps_waiting(self, requests: int) -> None:
        await self.node.wait_async("*", state="held", count=requests, timeout=_PATIENCE)

    async def passed(self) -> None:
        if abs(self.clock.offset - self._offset) > 100:
            self._offset = self.clock.offset
            self.node.set_clock(self._offset)

    async def emptied(self) -> None:
        await self.node.emptied_async(timeout=_PATIENCE)


class Stage:
    """``auth`` over ``backend``; ``states`` and ``tokens`` are what its observers saw."""

    def __init__(self, backend: Backend, **options: Any) -> None:
        self.backend = backend
        self.clock = backend.clock
        self.problems: list[object] = []
        options = {
            "clock": self.clock,
            "backoff": Backoff(draw=lambda: 1.0),
            "cookies": backend.cookies,
            "on_observer_error": self.problems.append,
            **backend.options,
            **options,
        }
        self.auth: AuthProvider[BetterAuthClient] = connect(backend.url, **options)
        #: Every error that anybody could see.
        self.errors: list[AuthUnavailable] = []
        self._under_way: set[int] = set()
        self._moved = asyncio.Event()
        self.starts: list[Hit] = []
        self._hangs = False
        self._claims: dict[str, dict[str, Any]] = {}
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.problems.append(context)
        )
        self.auth.client.wire.subscribe(self._on_wire)
        self.states: Seen[AuthState] = Seen(self.auth.state, self._on_state)
        self.tokens: Seen[AccessToken | None] = Seen(self.auth.token, self._on_token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self._close()
        else:
            await self.auth.aclose()

    def _on_wire(self, event: Any) -> None:
        if event.phase == "started":
            self._under_way.add(event.number)
            self.starts.append(Hit(event.path, event.at))
        else:
            self._under_way.discard(event.number)
            if event.error is not None:
                self.errors.append(event.error)
        self._moved.set()

    def _on_state(self, state: AuthState) -> None:
        if state.error is not None:
            assert isinstance(state.error, AuthUnavailable)
            self.errors.append(state.error)

    def _on_token(self, token: AccessToken | None) -> None:
        if token is not None:
            self.check(token.value)

    # -- time --------------------------------------------------------------------------------

    async def rest(self) -> None:
        """Wait until nothing is under way but what the server does not answer."""
        give_up = asyncio.get_running_loop().time() + _PATIENCE
        async with asyncio.timeout_at(give_up):
            while True:
                await turn(_TICKS)
                if not self._under_way:
                    return
                self._moved.clear()
                waits = [asyncio.ensure_future(self._moved.wait())]
                if self._hangs:
                    kept = self.backend.keeps_waiting(len(self._under_way))
                    waits.append(asyncio.ensure_future(kept))
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
                    outcome = await asyncio.gather(*waits, return_exceptions=True)
                if len(outcome) == 2 and outcome[1] is None:
                    await turn(_TICKS)
                    return

    async def pass_time(
        self,
        seconds: float,
        each: Callable[[], Awaitable[object]] | None = None,
        *,
        step: float | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> float:
        """Let time pass in steps, with the network at rest after each; how much it was."""
        await self.rest()
        passed, step = 0.0, step or self.backend.step
        while passed < seconds and not until():
            self.clock.advance(step)
            passed += step
            await self.backend.passed()
            await self.rest()
            if each is not None:
                await each()
        return passed

    # -- faults ------------------------------------------------------------------------------

    async def strike(self, fault: Fault, *routes: str) -> int:
        """Have it fail from now on; how many requests there were before."""
        self._hangs = fault.hangs
        await self.backend.strike(fault, *routes)
        return len(self.starts)

    async def heal(self) -> None:
        """All is well for requests from now on; what hangs goes on hanging."""
        await self.backend.heal()

    # -- what must hold ----------------------------------------------------------------------

    def check(self, token: str) -> None:
        """This token was handed out: it is the session's, and the server would take it."""
        claims = self._claims.get(token)
        if claims is None:
            claims = jwt.decode(token, options={"verify_signature": False})
            self._claims[token] = claims
        session = self.auth.state.value.session
        assert session is not None
        assert claims.get("sessionId", session.id) == session.id  # the jwt plugin names none
        assert claims["exp"] > self.clock.server(), "an expired token was handed out"

    async def ask(self) -> str | AuthUnavailable:
        """A caller who needs a token: what it got, in bounded time."""
        began = self.clock.monotonic()
        try:
            token = await self.auth.fetch_access_token()
        except AuthUnavailable as error:
            self.errors.append(error)
            return error
        finally:
            took = self.clock.monotonic() - began
            # A step of time, and what a slow machine takes to notice it.
            assert took <= self.auth.policy.timeout + 3, f"a caller waited {took} seconds"
        assert token is not None, "a caller was told that nobody is signed in"
        self.check(token)
        return token

    def is_well(self) -> bool:
        """Signed in, with a token, and no error."""
        state = self.auth.state.value
        calm = not (state.is_refreshing or state.is_loading)
        return state.is_authenticated and state.has_token and state.error is None and calm

    async def recovers(self) -> float:
        """With no user action, within the longest backoff and one attempt."""
        backoff, attempt = self.auth.policy.backoff.cap, self.auth.policy.fetch_timeout
        took = await self.pass_time(backoff + attempt + 5, until=self.is_well)
        assert self.is_well(), f"after {took} seconds: {self.auth.state.value}"
        return took

    def check_errors(self) -> None:
        assert self.errors
        for error in {id(error): error for error in self.errors}.values():
            told = [repr(error), str(error), *traceback.format_exception(error)]
            told.append(pickle.dumps(error).decode("latin-1"))
            for text in told:
                assert SECRET not in text, text
        for state in self.states.values:
            assert SECRET not in repr(state)

    async def _close(self) -> None:
        """Afterwards no request is sent and nothing is open."""
        await self.auth.aclose()
        await turn(_TICKS)
        await self.backend.emptied()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        ours = [
            t for t in timers if not t.cancelled() and "reactive_auth" in t._callback.__module__
        ]
        assert not ours, ours
        assert not self._under_way
        sent = len(self.starts)
        self.clock.advance(100_000)
        await turn(_TICKS)
        assert len(self.starts) == sent
        assert not self.problems, self.problems
        assert self.states.completed == self.tokens.completed == 1
