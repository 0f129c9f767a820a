"""Signals derived from a provider's: one thing of the state, told only when it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import reactivex
from reactivex import Observable, abc
from reactivex import operators as ops

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
    """An observable with a ``.value``, both computed from signals' current values: subscribing
    gives the current value, then each distinct change, on the signals' thread."""

    def __init__(self, compute: Callable[[], U], *sources: Signal[Any]) -> None:
        super().__init__()
        self._compute = compute
        self._changes: Observable[U] = reactivex.merge(*sources).pipe(
            ops.map(self._now), ops.distinct_until_changed()
        )

    @property
    def value(self) -> U:
        """The current value. May be read on any thread."""
        return self._compute()

    def _now(self, _: object) -> U:
        return self._compute()

    def _subscribe_core(
        self, observer: abc.ObserverBase[U], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        return self._changes.subscribe(observer, scheduler=scheduler)

    def __repr__(self) -> str:
        return f"Derived({self.value!r})"


def select(signal: Signal[T], compute: Callable[[T], U]) -> Derived[U]:
    """Whatever ``compute`` makes of a signal's value: ``select(auth.state, lambda s: s.error)``.

    Raises ConfigurationError for what is no signal or no function.
    """
    if not isinstance(signal, Signal) or not callable(compute):
        raise ConfigurationError("select() needs a signal, such as auth.state, and a function")
    return Derived(lambda: compute(signal.value), signal)


def user(auth: AuthStreams) -> Derived[User | None]:
    """Who is signed in. Stays through rotations, refreshes and outages."""
    return Derived(lambda: auth.state.value.user, auth.state)


def is_authenticated(auth: AuthStreams) -> Derived[bool]:
    """Whether a user is signed in. Stays True through rotations, refreshes and outages."""
    return Derived(lambda: auth.state.value.is_authenticated, auth.state)


def claim(auth: AuthStreams, name: str, default: Any = None) -> Derived[Any]:
    """One claim of the current token, **not verified**: for display, not for decisions.

    Between two tokens of one user (rotation, refresh, outage) it keeps its value; ``default``
    is what there is before the first token and without a user. A subscription keeps the token
    fresh, as one to ``auth.token`` does.

    Raises ConfigurationError if ``name`` is no non-empty string.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError("claim() needs the name of a claim")
    kept: tuple[str | None, Any] | None = None

    def compute() -> Any:
        nonlocal kept
        state, token = auth.state.value, auth.token.value
        if not state.is_authenticated:
            kept = None
            return default
        owner = state.session.user_id if state.session else None
        if token is not None:
            kept = (owner, token.claims.get(name, default))
        return kept[1] if kept is not None and kept[0] == owner else default

    return Derived(compute, auth.token, auth.state)
