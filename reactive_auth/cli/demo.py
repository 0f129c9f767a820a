"""``demo``: the main job in one command, checked as it runs.

Every step is what an app would do; what must hold is checked by observers and counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import httpx

from ..client import BetterAuthClient, WireEvent
from ..clock import SYSTEM_CLOCK
from ..connect import ConnectOptions, connect
from ..errors import AuthError
from ..lease import contradicts, read_claims
from ..models import AccessToken, AuthState
from ..policy import Backoff
from ..provider import AuthProvider
from ..timeline import record
from .network import Network
from .stage import Stage

__all__ = ["run_demo"]

#: No step takes longer (seconds), or it has failed.
_PATIENCE = 30.0


class TravelClock:
    """The machine's clocks and a journey: so that nobody waits a token's lifetime out."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() + self.ahead

    def wall(self) -> float:
        return SYSTEM_CLOCK.wall() + self.ahead


@dataclass
class Tally:
    """What was seen; filled by observers."""

    requests: Counter[str] = field(default_factory=Counter[str])
    cancelled: int = 0
    tokens: int = 0
    stale: int = 0
    flickers: int = 0
    expect_signed_in: bool = False

    def watch(self, auth: AuthProvider[BetterAuthClient]) -> None:
        """Count on all streams. A token that is not the current session's is a stale one."""

        def on_token(token: AccessToken | None) -> None:
            if token is not None:
                self.tokens += 1
                self.check(auth, token.value)

        def on_state(state: AuthState) -> None:
            self.flickers += self.expect_signed_in and not state.is_authenticated

        def on_wire(event: WireEvent) -> None:
            if event.phase == "started":
                self.requests[f"{event.method} {event.path}"] += 1
            self.cancelled += event.phase == "cancelled"

        auth.token.subscribe(on_token)
        auth.state.subscribe(on_state)
        auth.client.wire.subscribe(on_wire)

    def check(self, auth: AuthProvider[BetterAuthClient], value: str | None) -> None:
        """Count a token that was served, if it is not the current session's."""
        session = auth.session.value.session
        claims = read_claims(value) if value is not None else None
        if session is None or (claims is not None and contradicts(claims, session)):
            self.stale += 1


def run_demo(arguments: argparse.Namespace) -> int:
    """Run it; 0 if everything that was to be shown held."""
    with contextlib.suppress(AttributeError, ValueError):  # a console of an old code page
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # pyright: ignore
    stage = Stage(plain=arguments.plain)
    with stage:
        asyncio.run(_demo(arguments, stage))
    return stage.finish()


async def _demo(arguments: argparse.Namespace, stage: Stage) -> None:
    clock = TravelClock()
    tally = Tally()
    async with _server(arguments.url) as (url, transport):
        network = Network(transport)
        options: ConnectOptions = {
            "transport": network,
            "clock": clock,
            "backoff": Backoff(base=0.2, cap=1.0),
            "allow_http": arguments.allow_http,
        }
        if arguments.token_path:
            options["token_path"] = arguments.token_path
        async with connect(url, **options) as auth:
            timeline = record(auth)
            tally.watch(auth)
            stage.show(timeline)
            await _Acts(auth, network, clock, tally, stage).play(tidy=arguments.url is not None)
            timeline.dispose()
        await transport.aclose()
    total = sum(tally.requests.values())
    stage.figure("requests made", str(total), good=total > 0)
    for name, count in sorted(tally.requests.items()):
        stage.figure(f"  {name}", str(count))
    stage.figure("fetches cancelled by a rotation", str(tally.cancelled), good=tally.cancelled > 0)
    stage.figure("tokens emitted", str(tally.tokens), good=tally.tokens >= 3)
    stage.figure("stale tokens served", str(tally.stale), good=tally.stale == 0)
    stage.figure("flickers to signed out", str(tally.flickers), good=tally.flickers == 0)


@contextlib.asynccontextmanager
async def _server(url: str | None) -> AsyncGenerator[tuple[str, httpx.AsyncBaseTransport]]:
    if url is not None:
        yield url, httpx.AsyncHTTPTransport()
        return
    from ..embedded import EmbeddedServer

    server = EmbeddedServer()
    try:
        yield server.url, server.transport
    finally:
        server.close()


class _Acts:
    """The steps, in the order they are shown."""

    def __init__(
        self,
        auth: AuthProvider[BetterAuthClient],
        network: Network,
        clock: TravelClock,
        tally: Tally,
        stage: Stage,
    ) -> None:
        self.auth = auth
        self.network = network
        self.clock = clock
        self.tally = tally
        self.stage = stage
        self.email = f"demo-{secrets.token_hex(6)}@example.com"
        self.password = secrets.token_urlsafe(16)

    async def play(self, *, tidy: bool) -> None:
        for act in (
            self.start,
            self.sign_up,
            self.rotate,
            self.outage,
            self.refresh_ahead,
            self.sign_out,
        ):
            self.stage.begin((act.__doc__ or "").strip())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await act()
            except AuthError as error:
                self.stage.check(str(error), False)
            except TimeoutError:
                self.stage.check(f"it was done within {_PATIENCE:g} seconds", False)
            if self.stage.failed:
                return
        if tidy:
            await self.tidy()

    async def start(self) -> None:
        """Start: nobody knows yet, then the server says nobody is signed in"""
        self.stage.check("the first state is unknown", self.auth.state.value.is_loading)
        await self.auth.client.refetch()  # a server that is not there is said at once
        token = await self.auth.fetch_access_token()
        self.stage.check("there is no token without a session", token is None)

    async def sign_up(self) -> None:
        """Sign up: session and token are there when the call returns"""
        await self.auth.client.sign_up_email(email=self.email, password=self.password, name="Demo")
        state = self.auth.state.value
        self.stage.check("signed in, with a token", state.is_authenticated and state.has_token)
        self.tally.expect_signed_in = True

    async def rotate(self) -> None:
        """Change the password: the session rotates while a token fetch is in flight"""
        before = self.auth.session.value.session
        self.network.slow = 2.0
        caller = asyncio.create_task(self.auth.fetch_access_token(force_refresh=True))
        await self._until(lambda: self.auth.state.value.has_token)
        await asyncio.sleep(0.3)  # for the eye: the request is under way
        self.network.slow = 0.0
        password, self.password = self.password, secrets.token_urlsafe(16)
        await self.auth.client.change_password(
            current_password=password, new_password=self.password, revoke_other_sessions=True
        )
        after = self.auth.session.value.session
        self.stage.check("the session id changed", before != after and after is not None)
        token = self.auth.token.value
        self.stage.check(
            "the new session's token is there",
            token is not None and after is not None and token.session_id == after.id,
        )
        waited = await caller
        self.tally.check(self.auth, waited)
        self.stage.check("the caller that waited got the new token", waited == token_value(token))

    async def outage(self) -> None:
        """An outage: the token is kept, nobody is signed out, it recovers by itself"""
        self.network.down = True
        caller = asyncio.create_task(self.auth.fetch_access_token(force_refresh=True))
        await self._until(lambda: self.auth.state.value.error is not None)
        state = self.auth.state.value
        self.stage.check(
            "still signed in, with a token", state.is_authenticated and state.has_token
        )
        await asyncio.sleep(0.3)
        self.network.down = False
        self.tally.check(self.auth, await caller)
        await self._until(lambda: self.auth.state.value.error is None)
        self.stage.check("the caller was served and the error is gone", True)

    async def refresh_ahead(self) -> None:
        """Near expiry: the token is refreshed before it runs out (the clock is moved)"""
        token = self.auth.token.value
        if token is None:
            self.stage.check("there is a token", False)
            return
        lifetime = (token.expires_at - token.issued_at).total_seconds()
        self.clock.ahead += lifetime * 0.87
        await self._until(lambda: self.auth.token.value not in (None, token))
        self.stage.check("a new token came while the old one was good", True)

    async def sign_out(self) -> None:
        """Sign out: at once, before the server is asked"""
        self.tally.expect_signed_in = False
        signing_out = asyncio.create_task(self.auth.client.sign_out())
        await self._until(lambda: self.auth.state.value.status == "signed_out")
        self.stage.check("no token is left", self.auth.token.value is None)
        await signing_out
        self.stage.check("and none is served", await self.auth.fetch_access_token() is None)

    async def tidy(self) -> None:
        """Leave no account behind on somebody's server."""
        try:
            await self.auth.client.sign_in_email(email=self.email, password=self.password)
            await self.auth.client.delete_user(password=self.password)
        except AuthError as error:
            self.stage.note(f"the account {self.email} is still there: {error}")

    async def _until(self, condition: Callable[[], bool]) -> None:
        changed = asyncio.Event()
        subscriptions = [
            stream.subscribe(lambda _: changed.set())
            for stream in (self.auth.state, self.auth.token)
        ]
        try:
            while not condition():
                changed.clear()
                await changed.wait()
        finally:
            for subscription in subscriptions:
                subscription.dispose()


def token_value(token: AccessToken | None) -> str | None:
    """The token itself, or None without one."""
    return None if token is None else token.value
