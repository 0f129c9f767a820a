"""One query under one session: its results, and a fresh token where an auth error comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from ..errors import AuthClosed, AuthRejected, AuthUnavailable
from ..provider import AuthProvider
from .line import Line

if TYPE_CHECKING:
    from convex import QuerySubscription

__all__ = ["live_results", "same"]

#: How many fresh tokens may be refused in a row (HAZARDS F4).
_FRESH_TOKENS = 2

#: How often and at what interval (seconds) a subscription is made anew while the client still has
#: an older one of the same query. A cancelled one is gone in a moment.
_JOINS = 50
_JOIN_PAUSE = 0.005


def live_results(
    provider: AuthProvider[Any],
    line: Line,
    session_id: str,
    name: str,
    args: dict[str, Any],
    is_auth_error: Callable[[Exception], bool],
) -> Observable[list[Any]]:
    """The results of a query as this session's user, each as the only element of a list. The
    session is the current one for as long as this is subscribed to."""

    def subscribe(
        observer: abc.ObserverBase[list[Any]], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        live = _Live(provider, line, session_id, name, args, is_auth_error, observer)
        live.start()
        return Disposable(live.stop)

    return Observable(subscribe)


class _Live:
    """A task on the provider's loop; observers are called from the provider's queue."""

    def __init__(
        self,
        provider: AuthProvider[Any],
        line: Line,
        session_id: str,
        name: str,
        args: dict[str, Any],
        is_auth_error: Callable[[Exception], bool],
        observer: abc.ObserverBase[list[Any]],
    ) -> None:
        self._provider = provider
        self._line = line
        self._session_id = session_id
        self._name = name
        self._args = args
        self._is_auth_error = is_auth_error
        self._observer = observer
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._token = ""  # the deployment had this one, or a newer one, when it was subscribed
        self._refused = 0  # tokens, since the last result

    def start(self) -> None:
        if not self._provider.home.passed_on(self.start) and not self._stopped:
            self._line.followers.add(self._restart)
            self._begin()

    def _begin(self) -> None:
        home = self._provider.home
        self._task = home.loop.create_task(self._run(), name=f"reactive_auth {self._name}")
        home.track(self._task)

    def _restart(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._begin()

    def stop(self) -> None:
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        home = self._provider.home
        if home.passed_on(self._cancel):
            return
        self._line.followers.discard(self._restart)
        if self._task is not None and not home.ended:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                error = await self._once()
                if error is not None and not await self._is_past(error):
                    return
        except AuthClosed:
            return  # the session's stream completes
        except Exception as error:
            self._fail(error)

    async def _once(self) -> Exception | None:
        """Subscribe and pass results on; gives the error that came instead, or None if the
        connection did not carry the subscription."""
        token = await self._line.up(self._session_id)
        try:
            subscription = await self._subscribe()
        except Exception as error:
            if _lost(error):
                self._line.doubt()
                return None
            raise
        self._token = token.value
        try:
            while True:
                value = await subscription.__anext__()
                self._line.hear()
                self._refused = 0
                self._post(self._observer.on_next, [value])
        except StopAsyncIteration:
            return None
        except Exception as error:
            return error
        finally:
            _drop(subscription)

    async def _subscribe(self) -> QuerySubscription:
        """A subscription whose results are of this session: the client's first of this query, or
        one that joins a first one of this session.

        To any other the client gives the result it has cached at once, which may be another
        user's. A cancelled subscription is dropped by another thread, a moment later.
        """
        own = self._line.own_queries
        for _ in range(_JOINS):
            subscription = self._line.client.subscribe(self._name, self._args)
            query = query_of(subscription)
            if query in own or is_first(subscription):
                own.add(query)
                return subscription
            _drop(subscription)
            await asyncio.sleep(_JOIN_PAUSE)
        return self._line.client.subscribe(self._name, self._args)  # the program has one of its own

    async def _is_past(self, error: Exception) -> bool:
        """Whether to go on after an error: it was about a token or session that is no longer the
        current one, or there is a fresh token to try. While the session rotates this waits; if it
        is another one then, this task is cancelled.

        A function that gets no identity may fail in any way, so that no error is passed on before
        the session is known to have stayed.
        """
        token = self._token
        current = await self._fetch()
        if current is None:
            return False  # signed out
        if current != token:
            return True
        if not self._is_auth_error(error):
            self._fail(error)
            return False
        self._refused += 1
        if self._refused > _FRESH_TOKENS:
            # There is no HTTP status; this is what it would be.
            refusal = AuthRejected(
                f"{self._name} refuses fresh tokens: {error}", status=401, request=None
            )
            refusal.__cause__ = error
            self._fail(refusal)
            return False
        if self._refused > 1:
            await asyncio.sleep(self._provider.policy.backoff.delay(self._refused - 1))
        return await self._fetch(rejected=token) is not None

    async def _fetch(self, *, rejected: str | None = None) -> str | None:
        failures = 0
        while True:
            try:
                return await self._provider.fetch_access_token(rejected=rejected)
            except AuthUnavailable as error:
                failures += 1
                delay = self._provider.policy.backoff.delay(failures, error.retry_after)
            await asyncio.sleep(delay)

    def _fail(self, error: Exception) -> None:
        self._post(self._observer.on_error, error)

    def _post(self, tell: Callable[[Any], None], what: Any) -> None:
        delivery = self._provider.delivery

        def deliver() -> None:
            if not self._stopped and not self._line.cut:
                tell(what)

        delivery.post(deliver)
        delivery.kick()


def _drop(subscription: QuerySubscription) -> None:
    """Unsubscribe, also while a wait that was just cancelled has the Rust object: that drops it, or
    puts it back and then the last reference must be gone, which a traceback may hold.

    The wrapper's own unsubscribe() would subscribe again in that case.
    """
    inner = subscription.inner
    del subscription.inner
    inner.unsubscribe()


def _lost(error: Exception) -> bool:
    """Whether a subscribe was caught by a connection that failed (Rust's oneshot RecvError)."""
    return str(error) == "channel closed"


def _numbers(subscription: QuerySubscription) -> list[int]:
    # SubscriberId(QueryId(5), 0): the query, and which of its subscribers this is. A client that
    # prints it otherwise is taken at its word.
    numbers = [int(number) for number in re.findall(r"\d+", str(subscription.id))]
    return numbers if len(numbers) == 2 else [-1, 0]


def query_of(subscription: QuerySubscription) -> int:
    """The client's number of the query."""
    return _numbers(subscription)[0]


def is_first(subscription: QuerySubscription) -> bool:
    """Whether the query was sent for this subscription, so that nothing was cached of it."""
    return _numbers(subscription)[1] == 0


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same, of the same types: 1.0 is not True.

    A client gives all its subscribers their results again with every change of any.
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return _same_values(a, b)
    if isinstance(a, list):
        return _same_items(a, b)
    return a is b or bool(a == b)


def _same_values(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)


def _same_items(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(map(same, a, b))
