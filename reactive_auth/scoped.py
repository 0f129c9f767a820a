"""A user's own stream, for as long as that user is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SerialDisposable

from .delivery import Delivery
from .errors import ConfigurationError
from .models import AuthState, Session, SessionState

__all__ = ["while_signed_in"]

T = TypeVar("T")
U = TypeVar("U")
State = SessionState | AuthState


@overload
def while_signed_in(
    project: Callable[[Session], Observable[T]],
) -> Callable[[Observable[Any]], Observable[T | None]]: ...
@overload
def while_signed_in(
    project: Callable[[Session], Observable[T]], *, otherwise: U
) -> Callable[[Observable[Any]], Observable[T | U]]: ...
def while_signed_in(
    project: Callable[[Session], Observable[T]], *, otherwise: Any = None
) -> Callable[[Observable[Any]], Observable[Any]]:
    """An operator on ``auth.session`` (or ``auth.state``): the stream that ``project`` makes of
    the session, switched with the session's id.

    When the user changes or is gone, ``otherwise`` comes first, so that nothing of the old user
    is on show for an instant; it is also the first value unless the stream has one at once. A
    rotation of the same user switches without it: the last value stays until the new session's
    stream has one. While the session is being asked for again nothing is switched.

    Nothing of a stream switched away from is passed on, whichever thread it emits on. An error
    of the user's stream, and one that ``project`` raises, is passed on and ends this one.

    Raises ConfigurationError if ``project`` cannot be called.
    """
    if not callable(project):
        raise ConfigurationError("while_signed_in() needs a function of the session")

    def operator(source: Observable[State]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            return _Scope(project, otherwise, observer, scheduler).follow(source)

        return Observable(subscribe)

    return operator


class _Scope:
    """Everything passes one queue, where what belongs to an earlier session is dropped: a plain
    switch is not serialised between threads (HAZARDS R10)."""

    def __init__(
        self,
        project: Callable[[Session], Observable[Any]],
        otherwise: Any,
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._scheduler = scheduler
        self._outer = SerialDisposable()
        self._project = project
        self._otherwise = otherwise
        self._observer = observer
        self._queue = Delivery()
        self._inner = SerialDisposable()
        self._scope = 0
        self._session_id: str | None = None
        self._user_id: str | None = None
        self._showing: object = _NOTHING  # whose value was passed on last
        self._ended = False

    def follow(self, source: Observable[State]) -> abc.DisposableBase:
        self._outer.disposable = source.subscribe(
            lambda state: self._post(self._heard, state),
            lambda error: self._post(self._fail, error),
            lambda: self._post(self._complete),
            scheduler=self._scheduler,
        )
        return Disposable(self._end)

    def _post(self, call: Callable[..., None], *arguments: Any) -> None:
        self._queue.post(lambda: call(*arguments))
        self._queue.kick()

    # -- run from the queue, hence one at a time ---------------------------------------------

    def _heard(self, state: State) -> None:
        session = state.session
        if self._ended:
            return
        if session is None:
            if state.status != "unknown" or self._session_id is None:
                self._switch(None)
                self._show_nobody()
        elif session.id != self._session_id:
            self._switch(session)

    def _switch(self, session: Session | None) -> None:
        self._scope += 1
        scope = self._scope
        self._session_id = session.id if session else None
        self._user_id = session.user_id if session else None
        self._inner.disposable = Disposable()
        if session is None:
            return
        if self._showing is not _NOTHING:
            self._show_nobody()  # unless it is this user's: making the stream may take long
        if scope != self._scope:
            return  # switched again from within
        try:
            stream = self._project(session)
            if not isinstance(stream, Observable):
                raise ConfigurationError("while_signed_in()'s function must return an observable")
        except Exception as error:
            self._fail(error)
            return
        self._inner.disposable = stream.subscribe(
            lambda value: self._post(self._pass, scope, value),
            lambda error: self._post(self._fail, error, scope),
            scheduler=self._scheduler,
        )
        # After what it had at once, which is in the queue by now.
        self._post(self._show_nobody, scope)

    def _pass(self, scope: int, value: Any) -> None:
        if scope == self._scope and not self._ended:
            self._showing = (self._user_id,)
            self._tell(value)

    def _show_nobody(self, scope: int | None = None) -> None:
        if self._ended or scope not in (None, self._scope):
            return
        if self._user_id is not None and self._showing == (self._user_id,):
            return  # it is this user's
        if self._showing != _NOBODY:
            self._showing = _NOBODY
            self._tell(self._otherwise)

    def _tell(self, value: Any) -> None:
        try:
            self._observer.on_next(value)
        except BaseException:
            self._end()  # reactivex leaves an observer that raises subscribed
            raise

    def _fail(self, error: Exception, scope: int | None = None) -> None:
        if scope in (None, self._scope) and not self._ended:
            self._end()
            self._observer.on_error(error)

    def _complete(self) -> None:
        if not self._ended:
            self._end()
            self._observer.on_completed()

    def _end(self) -> None:
        self._ended = True
        self._scope += 1
        self._outer.dispose()
        self._inner.dispose()


_NOTHING = object()
_NOBODY = ()
