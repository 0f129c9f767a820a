"""Signals derived from a provider's: one thing of the state, told only when it changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from .errors import ConfigurationError
from .models import AccessToken, AuthState, SessionState, User
from .signal import Signal

__all__ = ["AuthStreams", "Derived", "claim", "is_authenticated", "select", "user"]

T = TypeVar("T")
U = TypeVar("U")


class AuthStreams(Protocol):
    """What a provider and its blocking twin have in common."""

    @property
    def session(self) -> Signal[SessionState]: ...
    @property
    def token(self) -> Signal[AccessToken | None]: ...
    @property
    def state(self) -> Signal[AuthState]: ...


class Derived(Observable[U]):
    """An observable with a ``.value``, both computed from signals' values: subscribing gives the
    current value, then each distinct change, on the signals' thread and in their order. An
    observer that raises is unsubscribed, as by a Signal; a function that raises is an error of
    the stream."""

    def __init__(self, compute: Callable[..., U], *sources: Signal[Any]) -> None:
        super().__init__()
        self._compute = compute
        self._sources = sources

    @property
    def value(self) -> U:
        """The current value. May be read on any thread."""
        return self._compute(*(source.value for source in self._sources))

    def _subscribe_core(
        self, observer: abc.ObserverBase[U], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        life = CompositeDisposable()
        # What was delivered, not what is current: a change that somebody answers at once counts.
        given: list[Any] = [_NOTHING] * len(self._sources)
        told: Any = _NOTHING
        open_ = len(self._sources)

        def take(index: int, value: object) -> None:
            nonlocal told
            given[index] = value
            if life.is_disposed or any(each is _NOTHING for each in given):
                return
            try:
                computed = self._compute(*given)
            except Exception as error:  # the user's function
                life.dispose()
                observer.on_error(error)
                return
            if told is not _NOTHING and computed == told:
                return
            told = computed
            try:
                observer.on_next(computed)
            except BaseException:
                life.dispose()
                raise

        def end() -> None:
            nonlocal open_
            open_ -= 1
            if open_ == 0:
                observer.on_completed()

        for index, source in enumerate(self._sources):
            life.add(source.subscribe(partial(take, index), observer.on_error, end))
        return life

    def __repr__(self) -> str:
        return f"Derived({self.value!r})"


_NOTHING: Any = object()


def select(signal: Signal[T], compute: Callable[[T], U]) -> Derived[U]:
    """Whatever ``compute`` makes of a signal's value: ``select(auth.state, lambda s: s.error)``.

    Raises ConfigurationError for what is no signal or no function.
    """
    if not isinstance(signal, Signal) or not callable(compute):
        raise ConfigurationError("select() needs a signal, such as auth.state, and a function")
    return Derived(compute, signal)


def user(auth: AuthStreams) -> Derived[User | None]:
    """Who is signed in. Stays through rotations, refreshes and outages."""
    return Derived(_user_of, auth.state)


def is_authenticated(auth: AuthStreams) -> Derived[bool]:
    """Whether a user is signed in. Stays True through rotations, refreshes and outages."""
    return Derived(_authenticated, auth.state)


def claim(auth: AuthStreams, name: str, default: Any = None) -> Derived[Any]:
    """One claim of the current token, **not verified**: for display, not for decisions.

    Between two tokens of one user (rotation, refresh, outage) it keeps its value; ``default``
    is what there is before the first token and without a user. A subscription keeps the token
    fresh, as one to ``auth.token`` does.

    Raises ConfigurationError if ``name`` is no non-empty string.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError("claim() needs the name of a claim")
    kept: tuple[str, Any] | None = None

    def compute(token: AccessToken | None, state: AuthState) -> Any:
        nonlocal kept
        session = state.session
        if session is None:
            kept = None
            return default
        owner = session.user_id or session.id
        # Of another session it is when a switch lies between the two.
        if token is not None and token.session_id == session.id:
            kept = (owner, token.claims.get(name, default))
        return kept[1] if kept is not None and kept[0] == owner else default

    return Derived(compute, auth.token, auth.state)


def _user_of(state: AuthState) -> User | None:
    return state.user


def _authenticated(state: AuthState) -> bool:
    return state.is_authenticated
