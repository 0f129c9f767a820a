"""Keeps the session stream in step with the session cookie.

Any response that changes the cookie's value moves the stream before the call that got it
returns, whichever call that was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypedDict, Unpack, cast

import anyio
import httpx
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import (
    AuthClosed,
    AuthError,
    AuthRejected,
    AuthUnavailable,
    ConfigurationError,
    NotAuthenticated,
    WrongThread,
)
from ..models import Session, SessionState
from ..policy import Backoff, seconds
from ..secrecy import discreet, discreet_call, masked, without_frames
from ..signal import Signal
from .address import parse_address, route
from .answers import read_command, read_session, read_token, server_time
from .cookies import Jar
from .refetching import Refetching
from .routes import may_change_session
from .wire import Answer, Wire, WireEvent

__all__ = ["ClientOptions", "SessionKeeper"]

_FRESH: Mapping[str, str] = {"disableCookieCache": "true"}
#: A server clock this close to ours (seconds) is taken for the same.
_CLOCK_TOLERANCE = 30.0


#: How long closing waits for aborted work (seconds).
_CLOSE_PATIENCE = 5.0


class ClientOptions(TypedDict, total=False):
    """Keyword options of :class:`BetterAuthClient`. Durations are seconds or timedeltas."""

    base_path: str
    token_path: str
    cookies: Mapping[str, str]
    session_cookie: str
    headers: Mapping[str, str]
    allow_http: bool
    transport: httpx.AsyncBaseTransport
    request_timeout: float | timedelta
    poll_interval: float | timedelta
    backoff: Backoff
    clock: Clock


class SessionKeeper:
    """The session of one cookie jar with one server, as a signal; see BetterAuthClient."""

    @discreet_call
    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        for name in options:
            if name not in ClientOptions.__annotations__:
                known = ", ".join(sorted(ClientOptions.__annotations__))
                raise ConfigurationError(f"unknown option {name!r}; there are {known}")
        self._address = parse_address(
            url, base_path=options.get("base_path"), allow_http=options.get("allow_http", False)
        )
        transport = options.get("transport")
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise ConfigurationError("transport must be an httpx.AsyncBaseTransport")
        self._clock = options.get("clock", SYSTEM_CLOCK)
        self._wire = Wire(
            self._address,
            clock=self._clock,
            timeout=seconds("request_timeout", options.get("request_timeout", 10.0), least=0.001),
            transport=transport,
            headers=options.get("headers"),
        )
        token_path = options.get("token_path")
        self._token_paths = (
            ["/convex/token", "/token"] if token_path is None else [route(token_path)]
        )
        self._session_cookie = options.get("session_cookie", "session_token")
        self._jar = Jar(self._session_cookie)
        self._jar.give(self._address.origin, options.get("cookies", {}))
        self._unrevoked: list[Jar] = []
        #: The server's clock minus this machine's, in seconds, where they differ noticeably.
        self.clock_offset = 0.0
        self._newest = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._closed = False
        self._settlers: tuple[Callable[[], Awaitable[None]], ...] = ()
        self._work: set[asyncio.Task[Any]] = set()
        self._refetching = Refetching(
            self._look,
            backoff=options.get("backoff", Backoff()),
            clock=self._clock,
            poll_interval=options.get("poll_interval"),
        )
        self._session: Signal[SessionState] = Signal(
            SessionState.unknown(), self._wire.delivery, on_demand=self._wake
        )

    # -- streams -----------------------------------------------------------------------------

    @property
    def session(self) -> Signal[SessionState]:
        """What the server says of the session. Asked for when first subscribed to."""
        return self._session

    @property
    def origin(self) -> str:
        """The server's origin: ``https://app.example.com``."""
        return self._address.origin

    @property
    def wire(self) -> Observable[WireEvent]:
        """Every step of every request from now on, without anything secret."""
        return self._wire.events

    # -- signing out -------------------------------------------------------------------------

    @discreet
    async def sign_out(self) -> None:
        """Sign out: here at once, before any request; then revoke the session on the server.

        Raises AuthUnavailable when the server could not be told. The user stays signed out here;
        call again to retry the revocation.
        """
        self._check_usable()
        jar, self._jar = self._jar, Jar(self._session_cookie)
        self._newest += 1
        self._refetching.rest()
        if jar.session_value is not None:
            self._unrevoked.append(jar)
        self._session.set(SessionState.signed_out())
        for jar in list(self._unrevoked):
            await self._revoke(jar)

    async def _revoke(self, jar: Jar) -> None:
        answer = await self._wire.send("POST", "/sign-out", jar)
        # A refusal is as good: there is no such session. Anything else was no answer.
        with contextlib.suppress(AuthRejected, NotAuthenticated):
            read_command(answer)
        if jar in self._unrevoked:
            self._unrevoked.remove(jar)

    # -- triggers ----------------------------------------------------------------------------

    @discreet
    async def refetch(self) -> SessionState:
        """Ask the server for the session. However many call during one request, at most one more
        follows it, and nothing is aborted.

        Raises AuthUnavailable; the session stays what it was.
        """
        self._check_usable()
        return await self._refetching.now()

    def focus(self) -> None:
        """The user came back to the window: look at the session, at most every 5 seconds."""
        self._check_usable()
        if self._worth_asking():
            self._refetching.focus()

    def online(self) -> None:
        """The network came back: look at the session at once, whatever the backoff."""
        self._check_usable()
        if self._worth_asking():
            self._refetching.soon()

    def _worth_asking(self) -> bool:
        # After a sign-out there is nothing to ask for, and nothing is sent (HAZARDS L2).
        return self._session.value.status != "signed_out" or self._jar.session_value is not None

    def _wake(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        if not self._closed and self._newest == 0:
            self._check_usable()
            self._refetching.soon()

    # -- tokens (AuthClient) -----------------------------------------------------------------

    @discreet
    async def fetch_token(self, session: Session) -> str:
        """Mint a token for the session the cookies stand for, past the server's cookie cache.

        Raises NotAuthenticated when the server says there is no session; the stream says so too.
        """
        self._check_usable()
        jar = self._jar
        answer = await self._send("GET", self._token_paths[0], jar, query=_FRESH)
        if answer.status == 404 and len(self._token_paths) > 1:
            answer = await self._send("GET", self._token_paths[1], jar, query=_FRESH)
            if answer.status != 404:
                self._token_paths.pop(0)
        try:
            return read_token(answer)
        except AuthRejected as error:
            raise AuthUnavailable(
                f"the token route refused: {error.args[0]}",
                status=error.status,
                request=error.request,
            ) from None
        except NotAuthenticated:
            if jar is not self._jar or jar.held:
                raise AuthUnavailable("the session was changing", request=answer.request) from None
            current = self._session.value.session
            if current is not None and current.id == session.id:
                self._end(jar)
            raise

    # -- how a request moves the session -----------------------------------------------------

    @discreet
    async def command(
        self,
        path: str,
        body: Mapping[str, object] | None,
        *,
        method: Literal["GET", "POST"] = "POST",
        query: Mapping[str, str] | None = None,
        hold: bool | None = None,
        fallback: str | None = None,
    ) -> Any:
        """Make a request of a route and have the session follow what it did.

        ``hold`` says whether tokens are held meanwhile; by default the known routes do.
        ``fallback`` is the route that servers without the first have instead.
        """
        self._check_usable()
        if not (may_change_session(path) if hold is None else hold):
            jar = self._jar
            sending = self._send(method, path, jar, body=body, query=query)
            return (await self._carry_out(jar, path, sending))[0]
        # Its caller may be cancelled, the request no more: with its answer the session is lost.
        work = partial(self._rotate, method, path, body, query, fallback)
        task = self.loop.create_task(masked(work), name="reactive_auth command")
        self._work.add(task)
        task.add_done_callback(self._retire)
        return (await asyncio.shield(task)).value

    async def _rotate(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        query: Mapping[str, str] | None,
        fallback: str | None,
    ) -> Any:
        async with self._turn:  # of two that change the session the second sees what the first did
            jar = self._jar
            jar.held = True
            self._show(self._session.value)
            try:
                sending = self._send_holding(method, path, jar, body, query, fallback)
                data, moved = await self._carry_out(jar, path, sending)
            finally:
                self._release(jar)
        if moved:
            for settle in self._settlers:
                await settle()
        return data

    async def _send_holding(
        self,
        method: str,
        path: str,
        jar: Jar,
        body: Mapping[str, object] | None,
        query: Mapping[str, str] | None,
        fallback: str | None,
    ) -> Answer:
        answer = await self._send(method, path, jar, body=body, query=query, holding=True)
        # Signed out meanwhile, the second is not asked: it might sign in again (HAZARDS F9).
        if answer.status != 404 or fallback is None or jar is not self._jar:
            return answer
        return await self._send(method, fallback, jar, body=body, query=query, holding=True)

    async def _carry_out(
        self, jar: Jar, path: str, sending: Coroutine[Any, Any, Answer]
    ) -> tuple[Any, bool]:
        """Send, then have the session follow what the answer says of it."""
        before = jar.session_value
        try:
            data = read_command(await sending)
        except AuthError as error:
            await self._conclude(jar, path, before, without_frames(error))
            raise
        return data, await self._conclude(jar, path, before, None)

    async def _conclude(
        self, jar: Jar, path: str, before: str | None, error: AuthError | None
    ) -> bool:
        """Whether the session was asked for, because the answer may have changed it."""
        moved = jar.session_value != before
        if jar is not self._jar:
            if jar.held or moved:
                await self._superseded(jar, before)
            return False
        # An answer that was lost may have changed the session all the same (HAZARDS F6).
        lost = jar.held and isinstance(error, AuthUnavailable)
        gone = isinstance(error, NotAuthenticated)
        followed = moved or lost or gone or (error is None and may_change_session(path))
        if followed:
            await self._follow(jar, moved=moved)
        return followed

    async def _follow(self, jar: Jar, *, moved: bool) -> None:
        try:
            await self._ask(releasing=True)
        except AuthError as error:
            if jar is self._jar and not self._closed:
                known = self._session.value
                # After a move the old session is gone and the new one is not known yet.
                state = SessionState.unknown() if moved else known
                self._release(jar, state.with_(refreshing=known.refreshing, error=error))
                self._refetching.retry(error)

    async def _superseded(self, jar: Jar, before: str | None) -> NoReturn:
        # Signed out while it was under way. A session it made must not live on, on the server.
        if jar.session_value not in (None, before):
            with contextlib.suppress(AuthError):
                await self._revoke(jar)
        raise NotAuthenticated("the user signed out while the request was under way")

    async def _send(
        self,
        method: str,
        path: str,
        jar: Jar,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        holding: bool = False,
    ) -> Answer:
        sent = jar.session_value
        answer = await self._wire.send(method, path, jar, body=body, query=query)
        self._compare_clocks(answer)
        # An answer to a cookie that is not the jar's any more says nothing about the new one, and
        # while a request that may replace the cookie is under way only that one's answer counts.
        if holding or (jar.session_value == sent and not jar.held):
            jar.absorb(answer.response)
        if jar.unsendable(self._address.origin):
            raise AuthUnavailable(
                "the server sets a Secure session cookie, which is never sent over plain http: "
                "use its https URL, or configure the server for http",
                request=answer.request,
            )
        return answer

    async def _look(self) -> SessionState:
        """Look at the session; a failure is a value on the stream, and is retried."""
        await self._idle()
        number, jar = self._newest + 1, self._jar
        try:
            return await self._ask()
        except AuthError as error:
            if number == self._newest and jar is self._jar and not self._closed:
                known = self._session.value
                if known.status in ("unknown", "signed_in"):  # else there is nothing to wait for
                    self._show(known.with_(refreshing=known.refreshing, error=error))
                    self._refetching.retry(error)
            raise

    async def _idle(self) -> None:
        """Wait until no request is under way that may change the session."""
        while self._jar.held:
            async with self._turn:
                pass

    @discreet
    async def _ask(self, *, releasing: bool = False) -> SessionState:
        """One get-session. Of overlapping ones the newest decides (HAZARDS R14)."""
        self._check_usable()
        self._newest += 1
        number, jar = self._newest, self._jar
        answer = await self._send("GET", "/get-session", jar, query=_FRESH, holding=releasing)
        if answer.status == 200 and _needs_refresh(answer):
            answer = await self._send("POST", "/get-session", jar, query=_FRESH, holding=releasing)
        state = read_session(answer, timedelta(seconds=self.clock_offset))
        if number != self._newest or jar is not self._jar:
            return self._session.value
        if jar.held and not releasing:
            await self._idle()
            newer = number != self._newest or jar is not self._jar
            return self._session.value if newer else await self._look()
        if state.status == "signed_out":
            self._end(jar)
        else:
            self._release(jar, state)
            self._refetching.succeeded()
        return self._session.value

    def _end(self, jar: Jar) -> None:
        """The server said there is no session."""
        known = self._session.value.session
        self._jar = Jar(self._session_cookie)
        self._refetching.rest()
        late = (
            known is not None
            and known.expires_at is not None
            and known.expires_at <= datetime.fromtimestamp(self._clock.wall(), UTC)
        )
        self._session.set(SessionState.expired() if late else SessionState.signed_out())

    def _release(self, jar: Jar, state: SessionState | None = None) -> None:
        jar.held = False
        if jar is self._jar and not self._closed:
            self._show(state or self._session.value)

    def _show(self, state: SessionState) -> None:
        self._session.set(state.with_(refreshing=self._jar.held, error=state.error))

    def _compare_clocks(self, answer: Answer) -> None:
        theirs = server_time(answer.response.headers)
        if theirs is None:
            return
        offset = theirs.timestamp() - self._clock.wall()
        if abs(offset) <= _CLOCK_TOLERANCE:
            self.clock_offset = 0.0
        elif abs(offset - self.clock_offset) > _CLOCK_TOLERANCE:
            # Rounded and kept, so that equal answers stay equal (HAZARDS U2).
            self.clock_offset = round(offset / _CLOCK_TOLERANCE) * _CLOCK_TOLERANCE

    # -- life --------------------------------------------------------------------------------

    def on_settle(self, settle: Callable[[], Awaitable[None]]) -> abc.DisposableBase:
        """Have ``settle`` awaited before a call that moved the session returns."""
        self._settlers += (settle,)

        def remove() -> None:
            self._settlers = tuple(other for other in self._settlers if other is not settle)

        return Disposable(remove)

    def _check_usable(self) -> None:
        if self._closed:
            raise AuthClosed("the client is closed")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._wire.delivery.bind(loop)
        elif self._loop is not loop:
            raise WrongThread("the client belongs to another event loop than the running one")

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop the client is used on: the one of its first call."""
        self._check_usable()
        return asyncio.get_running_loop()

    def _retire(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, also when its caller has gone

    async def aclose(self) -> None:
        """Abort what is under way and close the connections. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._refetching.stop()
        self._session.complete()
        with anyio.CancelScope(shield=True):
            await self._wire.aclose()
            if work := self._work - {asyncio.current_task()}:
                await asyncio.wait(work, timeout=_CLOSE_PATIENCE)

    async def __aenter__(self) -> Self:
        self._check_usable()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address.base} {self._session.value.status}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds secrets and cannot be pickled or copied")


def _needs_refresh(answer: Answer) -> bool:
    """Whether the server defers renewing the session to a POST (deferSessionRefresh)."""
    try:
        data = answer.json()
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and cast("dict[str, Any]", data).get("needsRefresh") is True
