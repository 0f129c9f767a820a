"""The one seam between a stream and a toolkit: a function that posts a callable to its thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc

from ..errors import ConfigurationError
from ..signal import Signal

__all__ = ["Post", "deliver"]

T = TypeVar("T")

#: Given a callable, have it called soon on the toolkit's thread, and return at once.
Post = Callable[[Callable[[], None]], object]

#: How long one turn on the toolkit's thread may take (seconds): half a frame at 60 Hz.
_TURN = 0.008

_NOTHING: Any = object()


def deliver(
    stream: Observable[T],
    view: Callable[[T], object],
    post: Post,
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream``, in order, on a toolkit's thread.

    Call it on that thread: a Signal's current value is given before it returns, and after
    ``dispose()`` has returned on that thread nothing is given any more. The side that emits is
    never blocked. What ``view`` raises goes to whoever calls what ``post`` was given, hence to
    the toolkit's own handler, and later values still come. If ``post`` itself raises, because
    the toolkit is gone, nothing is given any more.

    :param coalesce: only the newest value matters: those it overtook are dropped, and one turn
        of the toolkit's loop gives at most one. Otherwise every value is given, several a turn,
        for at most 8 ms.
    :param on_completed: called, also there, when the stream is over.
    :raises ConfigurationError: an argument that can never work.
    """
    if not isinstance(stream, Observable):
        raise ConfigurationError("deliver() needs an observable, such as auth.state")
    if not callable(view) or not callable(post):
        raise ConfigurationError("deliver() needs a view and a post that can be called")
    delivery = _Delivery(view, post, coalesce)
    if isinstance(stream, Signal):
        delivery.first(stream.value)
    delivery.follow(stream, on_completed)
    return delivery


class _Delivery(abc.DisposableBase, Generic[T]):
    # Without a lock. A thread that emits a storm would often hold it when the interpreter passes
    # on to the toolkit's thread, which then waits for its turn once more. Each step is atomic;
    # who adds to the queue then looks at ``_posted``, who resets ``_posted`` then looks at the
    # queue: a turn may come in vain, but none is missed.

    def __init__(self, view: Callable[[T], object], post: Post, coalesce: bool) -> None:
        self._view = view
        self._toolkit = post
        self._coalesce = coalesce
        self._queue: deque[Callable[[], object]] = deque()
        self._posted = False
        self._disposed = False
        self._subscription: abc.DisposableBase | None = None
        self._shown: Any = _NOTHING
        self._distinct = coalesce

    def follow(self, stream: Observable[T], on_completed: Callable[[], object] | None) -> None:
        self._subscription = stream.subscribe(
            self._on_next,
            lambda error: self._put(partial(_throw, error)),
            lambda: self._put(on_completed) if on_completed is not None else None,
        )
        if self._disposed:  # by the view, while it was given the first value
            self._subscription.dispose()

    def dispose(self) -> None:
        """Give nothing any more. May be called on any thread, also from the view."""
        self._disposed = True
        self._queue.clear()
        # Whoever drops the last reference to this, on whichever thread, must not be the one who
        # finalises a toolkit's object (HAZARDS U7).
        self._view = _nothing
        if self._subscription is not None:
            self._subscription.dispose()

    def first(self, value: T) -> None:
        """Show a signal's current value, which its subscription then repeats."""
        self._distinct = True
        self._shown = value
        self._view(value)

    def show(self, value: T) -> None:
        # For a view a change back to what it shows is none.
        repeated = self._distinct and self._shown is not _NOTHING and value == self._shown
        self._distinct = self._coalesce
        if not repeated:
            self._shown = value
            self._view(value)

    def _on_next(self, value: T) -> None:
        if self._coalesce:
            self._queue.clear()
        self._put(partial(self.show, value))

    def _put(self, call: Callable[[], object]) -> None:
        self._queue.append(call)
        self._wake()

    def _wake(self) -> None:
        if self._posted or self._disposed:
            return
        self._posted = True
        try:
            self._toolkit(self._turn)
        except BaseException:
            self.dispose()
            raise

    def _turn(self) -> None:
        # First: a view may open a dialog, which runs the toolkit's loop until something else
        # comes. Whatever comes from now on posts a turn of its own.
        self._posted = False
        until = monotonic() + _TURN
        try:
            while self._queue and not self._disposed:
                try:
                    call = self._queue.popleft()
                except IndexError:  # overtaken, and what overtook it is being added
                    return
                call()
                if self._coalesce or monotonic() >= until:
                    return
        finally:
            if self._queue:  # leave the rest to another turn, so that the toolkit can do its work
                self._wake()


def _nothing(_: object) -> None:
    pass


def _throw(error: Exception) -> None:
    raise error
