"""A stream that needs a signed-in user, and what is there without one (upstream: AuthBoundary,
get-convex/better-auth, src/react/index.tsx)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast, overload

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SerialDisposable

from .blocking import BlockingAuth
from .errors import AuthError, ConfigurationError, NotAuthenticated
from .models import AuthState
from .provider import AuthProvider

__all__ = ["auth_boundary", "is_auth_error"]

T = TypeVar("T")
U = TypeVar("U")

#: So many auth errors of the source in a row, each with a session that lives and a fresh token,
#: are its last word.
_CONFIRMED = 3


def is_auth_error(error: Exception) -> bool:
    """NotAuthenticated, and an HTTP library's error about a 401 answer."""
    if isinstance(error, NotAuthenticated):
        return True
    return getattr(getattr(error, "response", None), "status_code", None) == 401


@overload
def auth_boundary(
    auth: AuthProvider[Any] | BlockingAuth,
    *,
    on_unauth: Callable[[], object],
    is_auth_error: Callable[[Exception], bool] = ...,
) -> Callable[[Observable[T]], Observable[T | None]]: ...
@overload
def auth_boundary(
    auth: AuthProvider[Any] | BlockingAuth,
    *,
    on_unauth: Callable[[], object],
    is_auth_error: Callable[[Exception], bool] = ...,
    fallback: U,
) -> Callable[[Observable[T]], Observable[T | U]]: ...
def auth_boundary(
    auth: AuthProvider[Any] | BlockingAuth,
    *,
    on_unauth: Callable[[], object],
    is_auth_error: Callable[[Exception], bool] = is_auth_error,
    fallback: Any = None,
) -> Callable[[Observable[Any]], Observable[Any]]:
    """An operator: the source while a user is signed in, ``fallback`` and one call of
    ``on_unauth`` (a redirect to the login page, say) each time nobody is any more.

    The source is subscribed to while somebody is signed in, a rotation included. An auth error
    in it sends nobody to the login page by itself: the session is looked at again and the token
    replaced first. If the session stands, the source is subscribed to again, and nothing is
    shown of the error; after three such in a row the error is passed on. If the server cannot
    be reached, it is tried again with backoff, for as long as that takes. Any other error is
    passed on, and ends the stream. While the session is unknown nothing happens.

    Observers and ``on_unauth``, which may be a coroutine function, are called like all observers
    of ``auth``.

    Raises ConfigurationError for arguments that can never work.
    """
    if not callable(on_unauth) or not callable(is_auth_error):
        raise ConfigurationError("auth_boundary() needs functions")
    if not isinstance(auth, (AuthProvider, BlockingAuth)):
        raise ConfigurationError("auth_boundary() needs what connect() returns")
    provider: AuthProvider[Any] = auth if isinstance(auth, AuthProvider) else auth.provider

    def operator(source: Observable[Any]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            boundary = _Boundary(
                provider, source, observer, on_unauth, is_auth_error, fallback, scheduler
            )
            return boundary.start()

        return Observable(subscribe)

    return operator


class _Boundary:
    """All of it runs from the provider's delivery queue, but for the look at the session."""

    def __init__(
        self,
        auth: AuthProvider[Any],
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        on_unauth: Callable[[], object],
        is_auth_error: Callable[[Exception], bool],
        fallback: object,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._scheduler = scheduler
        self._owner: str | None = None
        self._used: str | None = None  # the token there was when the source was subscribed to
        self._auth = auth
        self._source = source
        self._observer = observer
        self._on_unauth = on_unauth
        self._is_auth_error = is_auth_error
        self._fallback = fallback
        self._states = SerialDisposable()
        self._inner = SerialDisposable()
        self._run = 0  # what came of an earlier run is dropped
        self._active = False  # the source is subscribed to, or the session is being looked at
        self._out = False
        self._failures = 0
        self._confirmed = 0

    def start(self) -> abc.DisposableBase:
        self._states.disposable = self._auth.state.subscribe(
            self._heard, on_completed=lambda: self._finish(self._observer.on_completed)
        )
        return Disposable(self._dispose)

    def _heard(self, state: AuthState) -> None:
        if state.is_authenticated:
            session = state.session
            owner = None if session is None else session.user_id or session.id
            if not self._active or owner != self._owner:  # another user's stream is another
                self._owner = owner
                self._failures = self._confirmed = 0
                self._subscribe()
        elif not state.is_loading:
            self._leave()

    def _subscribe(self) -> None:
        self._run += 1
        run = self._run
        self._active, self._out = True, False
        token = self._auth.token.value
        self._used = token.value if token is not None else None
        self._inner.disposable = self._source.subscribe(
            lambda value: self._post(run, self._pass, value),
            lambda error: self._post(run, self._failed, error),
            lambda: self._post(run, self._finish, self._observer.on_completed),
            scheduler=self._scheduler,
        )

    def _leave(self) -> None:
        self._run += 1
        self._active = False
        self._inner.disposable = Disposable()
        if self._out:
            return
        self._out = True
        run = self._run
        self._observer.on_next(self._fallback)
        if run != self._run:  # it disposed, or signed in again
            return
        try:
            result = self._on_unauth()
        except Exception as error:
            self._auth.delivery.report(error)
            return
        if inspect.isawaitable(result):
            self._spawn(lambda: self._awaited(cast("Awaitable[object]", result)))

    def _pass(self, value: Any) -> None:
        self._failures = self._confirmed = 0
        self._observer.on_next(value)

    def _failed(self, error: Exception) -> None:
        try:
            final = not self._is_auth_error(error) or self._confirmed >= _CONFIRMED
        except Exception as raised:  # it could not tell
            raised.__context__ = error
            error, final = raised, True
        if final:
            outcome = error
            self._finish(lambda: self._observer.on_error(outcome))
            return
        self._run += 1
        run, self._failures = self._run, self._failures + 1
        token = self._auth.token.value
        used = self._used or (token.value if token is not None else None)
        self._spawn(lambda: self._look(run, self._failures, used))

    async def _look(self, run: int, failures: int, used: str | None) -> None:
        if failures > 1:
            await asyncio.sleep(self._auth.policy.backoff.delay(failures - 1))
        state = self._auth.state.value
        with suppress(AuthError):
            state = await self._auth.recheck()
            if state.is_authenticated:
                await self._auth.fetch_access_token(rejected=used)
        self._post(run, self._looked, state.error is None)

    def _looked(self, confirmed: bool) -> None:
        self._confirmed += confirmed
        state = self._auth.state.value
        if state.is_authenticated:
            self._subscribe()
        else:
            self._active = False
            self._heard(state)

    # -- plumbing ----------------------------------------------------------------------------

    def _post(self, run: int, call: Callable[..., None], *arguments: Any) -> None:
        def if_current() -> None:
            if run != self._run:
                return
            try:
                call(*arguments)
            except Exception as error:  # of an observer: it must not stop the queue of all others
                self._dispose()
                self._auth.delivery.report(error)

        self._auth.delivery.post(if_current)
        self._auth.delivery.kick()

    def _spawn(self, work: Callable[[], Any]) -> None:
        home = self._auth.home
        if not home.ended:
            home.loop.call_soon_threadsafe(lambda: home.spawn(work()))

    async def _awaited(self, result: Awaitable[object]) -> None:
        try:
            await result
        except Exception as error:
            self._auth.delivery.report(error)

    def _finish(self, tell: Callable[[], None]) -> None:
        self._dispose()
        tell()

    def _dispose(self) -> None:
        self._run += 1
        self._states.dispose()
        self._inner.dispose()
