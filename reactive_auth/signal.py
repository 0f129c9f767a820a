"""An observable that also has a current value."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .delivery import Delivery
from .display import live_card, marimo_card

__all__ = ["Signal", "follow"]

T = TypeVar("T")

_NOTHING: Any = object()


class Signal(Observable[T]):
    """A :class:`reactivex.Observable` with a ``.value``.

    Subscribing gives the current value, then each distinct change, in one order for all
    observers. It never calls ``on_error`` and completes when its owner closes. Observers are
    called one at a time on the owner's thread (the event loop's, or the delivery thread of
    ``connect_blocking``), whichever thread changed the value or subscribed; from that thread
    itself the current value is given before ``subscribe`` returns. An observer that raises is
    unsubscribed and its exception reported; the others are not affected.

    ``current_only`` marks a signal whose old values must not be seen any more: a queued value
    that is no longer current is not delivered.
    """

    def __init__(
        self,
        initial: T,
        delivery: Delivery,
        *,
        current_only: bool = False,
        on_demand: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._value = initial
        self._delivered = initial
        self._delivery = delivery
        self._current_only = current_only
        self._on_demand = on_demand
        self._observers: tuple[_Subscription[T], ...] = ()
        self._links: tuple[Callable[[T], None], ...] = ()
        self._completed = False

    @property
    def value(self) -> T:
        """The current value. May be read on any thread."""
        return self._value

    if not TYPE_CHECKING:  # the same in C: views read it all the time
        value = property(attrgetter("_value"), doc=value.__doc__)

    @property
    def observed(self) -> bool:
        """Whether anything is subscribed."""
        return bool(self._observers)

    def __repr__(self) -> str:
        return f"Signal({self._value!r})"

    def _repr_html_(self) -> str:
        render = getattr(self._value, "_repr_html_", None)
        return cast(str, render()) if render else repr(self)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return live_card(self, **options)

    def _display_(self) -> Any:
        return marimo_card(self, self._repr_html_())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Signal is live and cannot be pickled or copied")

    # -- the owner's side --------------------------------------------------------------------

    def stage(self, value: T) -> None:
        """Set the value and queue its delivery; the owner kicks the queue when all is set."""
        if value is self._value or value == self._value:
            return
        self._value = value
        self._delivery.post(lambda: self._emit(value))

    def set(self, value: T) -> None:
        """Set the value, let what is derived from it follow at once, then tell observers."""
        before = self._value
        self.stage(value)
        if self._value is not before:
            for link in self._links:
                link(self._value)  # a nested change may have overtaken this one
        self._delivery.kick()

    def complete(self) -> None:
        """Queue the end of the stream; the owner kicks."""
        self._delivery.post(self._finish)

    # -- the observers' side -----------------------------------------------------------------

    def _subscribe_core(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        subscription = _Subscription(observer)
        self._delivery.post(lambda: self._attach(subscription))
        self._delivery.kick()

        def dispose() -> None:
            if not subscription.disposed:
                subscription.disposed = True
                self._delivery.post(lambda: self._detach(subscription))
                self._delivery.kick()

        return Disposable(dispose)

    def link(self, follower: Callable[[T], None]) -> abc.DisposableBase:
        """Have ``follower`` called with the current value and synchronously within each change.

        This is for values derived from this one inside the library: derivation is immediate,
        effects are queued. Runs on the owner's thread only.
        """
        self._links += (follower,)
        if len(self._links) == 1 and self._on_demand is not None:
            self._on_demand()
        follower(self._value)

        def unlink() -> None:
            self._links = tuple(link for link in self._links if link is not follower)

        return Disposable(unlink)

    # -- run from the queue, hence one at a time ---------------------------------------------

    def _attach(self, subscription: _Subscription[T]) -> None:
        if subscription.disposed:
            return
        if not self._completed:
            self._observers += (subscription,)
            if len(self._observers) == 1 and self._on_demand is not None:
                self._on_demand()
        # What has been delivered so far, not the newest: what is between them is still queued.
        self._tell(subscription, self._value if self._current_only else self._delivered)
        if self._completed:
            self._end(subscription)

    def _detach(self, subscription: _Subscription[T]) -> None:
        remaining = tuple(other for other in self._observers if other is not subscription)
        if len(remaining) != len(self._observers):
            self._observers = remaining
            if not remaining and self._on_demand is not None:
                self._on_demand()

    def _emit(self, value: T) -> None:
        self._delivered = value
        for subscription in self._observers:
            self._tell(subscription, value)

    def _tell(self, subscription: _Subscription[T], value: T) -> None:
        if subscription.disposed:
            return
        if self._current_only:
            if value is not self._value or value is subscription.last:
                return
            subscription.last = value
        try:
            subscription.observer.on_next(value)
        except Exception as error:
            subscription.disposed = True
            self._detach(subscription)
            self._delivery.report(error)

    def _finish(self) -> None:
        self._completed = True
        observers, self._observers = self._observers, ()
        self._links = ()
        self._on_demand = None  # nor does it keep its owner
        for subscription in observers:
            self._end(subscription)

    def _end(self, subscription: _Subscription[T]) -> None:
        if not subscription.disposed:
            subscription.disposed = True
            try:
                subscription.observer.on_completed()
            except Exception as error:
                self._delivery.report(error)


class _Subscription(Generic[T]):
    __slots__ = ("disposed", "last", "observer")

    def __init__(self, observer: abc.ObserverBase[T]) -> None:
        self.observer = observer
        self.disposed = False
        self.last: Any = _NOTHING


def follow(
    source: Observable[T],
    on_next: Callable[[T], None],
    on_error: Callable[[Exception], None],
) -> abc.DisposableBase:
    """Subscribe for derivation: a Signal is followed synchronously, anything else as it comes."""
    if isinstance(source, Signal):
        return source.link(on_next)
    return source.subscribe(on_next, on_error)
