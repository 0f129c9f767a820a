"""The heart: session → switch on distinct ids → tokens of that session → state.

    session ──map(key)──distinct_until_changed──switch(key → tokens of that session)──▶ token
       └─────────────────────────── combine ───────────────────────────────┘──▶ state

No HTTP and no thread in here. Everything runs on one event loop; other loops hop to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Hashable
from dataclasses import fields
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypedDict, TypeVar, Unpack

import anyio
import reactivex
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.subject import Subject

from .clock import SYSTEM_CLOCK, Clock
from .delivery import Delivery, ErrorHook, LoopDelivery, log_observer_error
from .display import live_card, marimo_card
from .errors import AuthClosed, AuthError, AuthUnavailable, ConfigurationError
from .expiry import ExpiryWatch
from .home import HomeLoop
from .intake import Intake
from .lease import Lease, lease_seed, lease_token
from .models import AccessToken, AuthState, Session, SessionState
from .policy import Backoff, Policy
from .protocol import AuthClient, Rechecks, Settles
from .secrecy import Masked, discreet, discreet_call
from .signal import Signal
from .standing import UNHEARD, Ended, Identity, Standing, advance
from .tokens import NO_TOKENS, SessionTokens, TokensView
from .waiting import WAIT, Wait, Waiting

__all__ = ["AuthProvider", "ProviderOptions", "session_id"]

_T = TypeVar("_T")
C = TypeVar("C", bound=AuthClient)


def session_id(session: Session) -> Hashable:
    """The default identity: another id is another session."""
    return session.id


class ProviderOptions(TypedDict, total=False):
    """Keyword options of :class:`AuthProvider`. Durations are seconds or timedeltas."""

    margin: float | timedelta
    refresh_ahead: float | timedelta
    fetch_timeout: float | timedelta
    timeout: float | timedelta
    opaque_ttl: float | timedelta
    min_interval: float | timedelta
    backoff: Backoff
    identity: Identity
    clock: Clock
    on_observer_error: ErrorHook


class AuthProvider(Generic[C]):
    """Session, token and state of one client as signals, and tokens on demand.

    :param client: any :class:`~reactive_auth.AuthClient`. It is not closed with the provider
        unless ``owns_client`` is set.
    :param initial_token: a token handed over from elsewhere (a server-rendered page, say). It
        is served at once, only for its own session and until it expires.
    :param owns_client: close the client with the provider.
    :param options: see :class:`~reactive_auth.policy.Policy` for the durations; ``identity``
        tells sessions apart (default: by id; id and organization, say, resets on both);
        ``clock`` replaces the machine's clocks; ``on_observer_error`` is given what observers
        raise (default: logged).

    Starts on the running event loop, or, made where none runs, when it is first entered or
    awaited. Raises ConfigurationError for arguments that can never work.
    """

    @discreet_call
    def __init__(
        self,
        client: C,
        *,
        initial_token: str | None = None,
        owns_client: bool = False,
        _delivery: Delivery | None = None,
        **options: Unpack[ProviderOptions],
    ) -> None:
        _check_client(client)
        _check_options(options)
        if initial_token is not None and (
            not isinstance(initial_token, str) or not initial_token.strip()
        ):
            raise ConfigurationError("initial_token must be a non-empty string or None")
        self.client = client
        self._owns_client = owns_client
        self.policy = Policy(**_durations(options))
        self.clock = options.get("clock", SYSTEM_CLOCK)
        self._monotonic, self._wall = self.clock.monotonic, self.clock.wall
        self._identity = options.get("identity", session_id)
        self._delivery = _delivery or LoopDelivery(
            options.get("on_observer_error", log_observer_error)
        )
        self._seed = initial_token
        self._serial = 0
        self._standing = UNHEARD
        self._view = NO_TOKENS
        self._tokens: SessionTokens | None = None
        self._ready: Lease | None = None
        self._closed = False
        self._closing = asyncio.Lock()
        self._home = HomeLoop()
        self._waiting = Waiting(self._home)
        self._expiry = ExpiryWatch(
            self._home,
            self.clock,
            self._recheck,
            lambda key: self._hear(Ended(key, "expired")),
        )
        self._life = CompositeDisposable()

        self._heard: Subject[SessionState | Ended] = Subject()
        self._session = Signal(UNHEARD.state, self._delivery)
        self._token: Signal[AccessToken | None] = Signal(
            None, self._delivery, current_only=True, on_demand=self._poke
        )
        self._state = Signal(_state_of(UNHEARD.state, NO_TOKENS), self._delivery)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            self._start()

    # -- the picture -------------------------------------------------------------------------

    def _wire(self) -> abc.DisposableBase:
        standing: Subject[Standing] = Subject()
        token = standing.pipe(
            ops.distinct_until_changed(_key),
            ops.switch_map(self._tokens_of),
        )
        # On a switch this passes the new session's token with the old session for an instant;
        # nobody sees it, because nothing is published until the pipeline is at rest.
        state: Observable[tuple[TokensView, Standing]] = reactivex.combine_latest(token, standing)
        heard = self._heard.pipe(ops.scan(advance(self._identify), UNHEARD))
        return CompositeDisposable(
            state.subscribe(self._commit), heard.distinct_until_changed().subscribe(standing)
        )

    def _tokens_of(self, standing: Standing) -> Observable[TokensView]:
        """The inner stream: lives as long as its session; disposing cancels its fetch."""
        key, session = standing.key, standing.state.session

        def subscribe(
            observer: abc.ObserverBase[TokensView], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            if key is None or session is None:
                self._tokens = None
                observer.on_next(NO_TOKENS)
                return Disposable()

            def emit(view: TokensView) -> None:
                observer.on_next(view)
                self._publish()

            self._tokens = SessionTokens(key, self, emit, self._sown(session))
            observer.on_next(self._tokens.view)
            return Disposable(self._tokens.dispose)

        return Observable(subscribe)

    def _identify(self, session: Session) -> Hashable:
        # A tuple, so that no identity is taken for "no session"; and a user's function that
        # raises must not end the stream.
        try:
            return (self._identity(session),)
        except Exception as error:
            self._delivery.report(error)
            return (session.id,)

    def _commit(self, pair: tuple[TokensView, Standing]) -> None:
        self._view, self._standing = pair
        self._ready = None if self._standing.held else self._view.lease

    def _publish(self) -> None:
        """Set all three signals, then have their observers called; wake whoever waits.

        Runs when the pipeline is at rest, so that observers may call anything.
        """
        state, lease = self._standing.state, self._view.lease
        self._session.stage(state)
        self._token.stage(lease.token if lease else None)
        self._state.stage(_state_of(state, self._view))
        if self._answerable():
            self._waiting.changed()
        self._delivery.kick()

    def _answerable(self) -> bool:
        # Thousands may wait: they are not woken by a rotation only to wait for its fetch.
        if self._closed:
            return True
        pending = self._tokens is not None and self._ready is None and self._view.fetching
        return not self._standing.held and not pending

    def _hear(self, event: SessionState | Ended) -> None:
        if self._closed:
            return
        self._heard.on_next(event)
        if self._standing.state.status in ("signed_out", "expired"):
            self._seed = None  # it was for a session that is not there
        self._poke()
        self._publish()
        self._expiry.look(self._standing)

    def _poke(self) -> None:
        if not self._home.passed_on(self._poke) and self._tokens is not None:
            self._tokens.poke()

    async def _recheck(self) -> None:
        if isinstance(self.client, Rechecks):
            # A client of the user's own may raise anything; it is no answer.
            with contextlib.suppress(Exception), anyio.move_on_after(self.policy.fetch_timeout):
                await self.client.refetch()

    # -- what the tokens of a session ask (TokensHost) ---------------------------------------

    @property
    def home(self) -> HomeLoop:
        """The event loop everything runs on."""
        return self._home

    def held(self) -> bool:
        return self._standing.held

    def awaited(self) -> bool:
        return self._waiting.count > 0

    def kept(self) -> bool:
        return self._token.observed

    def mint(self, key: Hashable) -> Awaitable[object]:
        return self.client.fetch_token(self._session_of(key))

    def accept(self, key: Hashable, value: object) -> Lease:
        lease = lease_token(
            value,
            self._session_of(key),
            serial=self._serial + 1,
            clock=self.clock,
            policy=self.policy,
        )
        self._serial = lease.serial
        return lease

    def on_ended(self, key: Hashable) -> None:
        self._hear(Ended(key, "signed_out"))

    def on_mismatch(self) -> None:
        self._home.spawn(self._recheck())

    def _session_of(self, key: Hashable) -> Session:
        session = self._standing.state.session
        if session is None or self._standing.key != key:
            raise AuthUnavailable("the session was switched")
        return session

    def _sown(self, session: Session) -> Lease | None:
        seed, self._seed = self._seed, None
        if seed is None:
            return None
        return lease_seed(seed, session, clock=self.clock, policy=self.policy)

    @property
    def delivery(self) -> Delivery:
        """The queue from which all observers are called."""
        return self._delivery

    # -- what users call ---------------------------------------------------------------------

    @property
    def session(self) -> Signal[SessionState]:
        """What is known of the session."""
        return self._session

    @property
    def token(self) -> Signal[AccessToken | None]:
        """The current session's token, if a usable one is cached.

        While anything is subscribed it is kept fresh ahead of expiry; otherwise tokens are
        fetched on demand.
        """
        return self._token

    @property
    def state(self) -> Signal[AuthState]:
        """Session and token in one value for views."""
        return self._state

    async def fetch_access_token(
        self, *, force_refresh: bool = False, rejected: str | None = None
    ) -> str | None:
        """A token of the current session with more than the margin left.

        Waits while the session is unknown, through a rotation and while an own request may
        change the session, at most ``timeout`` seconds. However many call at once, forced or
        not, one request is made. May be awaited on any event loop.

        :param force_refresh: never answer from the cache; a fetch under way is joined.
        :param rejected: a token that a resource server refused. It is refreshed only if it is
            still the current one; otherwise the current one is the answer.
        :returns: the token, or None when the user is signed out.
        :raises AuthUnavailable: no answer could be had in time (AuthTimeout: the bound ran
            out). The session is not affected.
        :raises AuthClosed: the provider is closed.
        """
        ready = self._ready
        if (
            ready is not None
            and not force_refresh
            and rejected is None
            and self._monotonic() < ready.evict_at
            and self._wall() < ready.evict_wall
        ):
            return ready.value
        refused = Masked(rejected)
        rejected = None
        if refused.value is not None and not isinstance(refused.value, str):
            raise ConfigurationError("rejected must be the refused token, a string")
        return await self._ask(force_refresh, refused)

    def cached_access_token(self) -> str | None:
        """What :meth:`fetch_access_token` would answer at once; None where it would have to
        wait or ask. May be called on any thread."""
        ready = self._ready
        return ready.value if ready is not None and ready.usable(self.clock) else None

    @discreet
    async def _ask(self, force: bool, refused: Masked[str | None]) -> str | None:
        self._start()
        return await self._home.run(
            lambda: self._fetch(force, refused.value), self.policy.timeout + 1
        )

    async def _fetch(
        self, force: bool = False, rejected: str | None = None, *, retrying: bool = True
    ) -> str | None:
        patience = self.policy.timeout
        deadline = self._monotonic() + (patience if retrying else 0.0)
        floor = self._serial if force else -1
        refused = [rejected] if rejected is not None else []

        def look() -> str | Wait | None:
            if refused and self._tokens is not None:
                self._tokens.reject(refused.pop())
            return self._look(floor, deadline)

        return await self._waiting.until(look, patience, lambda: self._state.value.error)

    def _look(self, floor: int, deadline: float) -> str | Wait | None:
        if self._closed:
            raise _closed()
        if self._standing.held:
            error = self._state.value.error
            if error is None or self._monotonic() < deadline:
                return WAIT
            raise AuthUnavailable(f"no session for now: {error}") from error
        tokens = self._tokens
        if tokens is None:
            return None
        ready = self._ready
        if ready is not None and ready.serial > floor and ready.usable(self.clock):
            return ready.value
        tokens.force(floor)
        tokens.poke()
        if tokens.retry_at >= deadline and not tokens.view.fetching:
            error = tokens.view.error
            raise AuthUnavailable(
                f"no token for now: {error}", retry_after=tokens.retry_at - self._monotonic()
            ) from error
        return WAIT

    async def _settle(self) -> None:
        """Have the token follow a session change before the call that made it returns.

        A fetch that fails does not fail that call, nor hold it up until a retry succeeds.
        """
        with contextlib.suppress(AuthError):
            await self._fetch(retrying=False)

    async def recheck(self) -> AuthState:
        """Have the client look at the session again, past every cache, and wait for the outcome,
        at most ``fetch_timeout`` seconds; a failure shows in the state's ``error``.

        A client that cannot be asked is not.
        """
        self._start()
        await self._home.run(self._recheck, self.policy.fetch_timeout + 1)
        return self._state.value

    # -- life --------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._closed:
            raise _closed()
        if self._home.bound:
            return
        loop = self._home.bind()
        if isinstance(self._delivery, LoopDelivery):
            self._delivery.bind(loop)
        self._life.add(self._wire())
        self._life.add(Disposable(self._expiry.stop))
        if isinstance(self.client, Settles):
            self._life.add(self.client.on_settle(self._settle))
        intake = Intake(self.client, self._home, self.policy.backoff, self._hear)
        self._life.add(intake.start())

    def _shut(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._life.dispose()
        self._tokens = self._seed = self._ready = None
        self._view = NO_TOKENS
        self._publish()
        for signal in (self._session, self._token, self._state):
            signal.complete()
        self._delivery.kick()

    async def aclose(self) -> None:
        """Cancel everything under way, complete the signals, close an owned client.

        Callers that wait for a token get AuthClosed. May be called again, and from any loop.
        """
        if self._home.ended:
            self._shut()
        else:
            await self._home.run(self._aclose, self.policy.timeout + 1)

    async def _aclose(self) -> None:
        self._shut()
        with anyio.CancelScope(shield=True):
            async with self._closing:
                await self._home.finish()
                close = getattr(self.client, "aclose", None)
                if self._owns_client and close is not None:
                    self._owns_client = False
                    await close()

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        status = "closed" if self._closed else self._state.value.status
        return f"<{type(self).__name__} {status}>"

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def _repr_html_(self) -> str:
        return self._state.value._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return live_card(self, **options)

    def _display_(self) -> Any:
        return marimo_card(self, self._repr_html_())

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is live and cannot be pickled or copied")


def _key(standing: Standing) -> Hashable | None:
    return standing.key


def _closed() -> AuthClosed:
    return AuthClosed("the provider is closed")


def _state_of(state: SessionState, tokens: TokensView) -> AuthState:
    signed_in = state.status == "signed_in"
    return AuthState(
        status=state.status,
        is_loading=state.status == "unknown",
        is_authenticated=signed_in,
        is_refreshing=state.refreshing or (tokens.fetching and tokens.lease is None),
        has_token=tokens.lease is not None,
        session=state.session,
        user=state.user if signed_in else None,
        error=state.error or tokens.error,
    )


def _check_client(client: object) -> None:
    session = getattr(client, "session", None)
    if not callable(getattr(session, "subscribe", None)):
        raise ConfigurationError("the client has no observable `session` (see AuthClient)")
    if not callable(getattr(client, "fetch_token", None)):
        raise ConfigurationError("the client has no method `fetch_token` (see AuthClient)")


def _check_options(options: ProviderOptions) -> None:
    for name in options:
        if name not in ProviderOptions.__annotations__:
            known = ", ".join(sorted(ProviderOptions.__annotations__))
            raise ConfigurationError(f"unknown option {name!r}; there are {known}")


def _durations(options: ProviderOptions) -> dict[str, Any]:
    return {f.name: options.get(f.name) for f in fields(Policy) if f.name in options}
