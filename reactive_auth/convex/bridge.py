"""Keep a Convex client's token the session's, and queries the session's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self
from weakref import WeakSet

from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable, SingleAssignmentDisposable
from reactivex.subject import Subject

from ..blocking import BlockingAuth
from ..errors import AuthClosed, ConfigurationError
from ..models import AccessToken, Session, SessionState
from ..policy import seconds
from ..provider import AuthProvider
from ..scoped import while_signed_in
from .line import Line
from .live import live_results, same
from .refusal import looks_like_auth_error

if TYPE_CHECKING:
    from convex import ConvexClient

__all__ = ["ConvexBridge", "bind"]

_bound: WeakSet[ConvexClient] = WeakSet()


def bind(
    auth: AuthProvider[Any] | BlockingAuth,
    client: ConvexClient | str,
    *,
    patience: float | timedelta = 10.0,
    heartbeat: float | timedelta | None = None,
    is_auth_error: Callable[[Exception], bool] = looks_like_auth_error,
) -> ConvexBridge:
    """Give a Convex client the token of whoever is signed in, from now on and until dispose.

    Each new token is pushed at once, and ahead of the old one's expiry. Auth is cleared on
    sign-out, on expiry of the session and before another user's token, and not while the same
    user's session rotates. From here on the client's auth is the bridge's: do not set it.

    When the deployment refuses a token with an AuthError, the client connects again with the same
    one, for ever, and tells nobody. What shows is that nothing comes: so a token that has not been
    answered in time is followed by a fresh one, on a new connection if the bridge has made the
    client itself. A client of yours may take minutes to send it (see :mod:`.line`). A token that
    was answered and is refused *later*, unasked, is noticed when the next one is pushed, when the
    next query is subscribed to, or by the ``heartbeat``.

    :param client: a client, or the URL of a deployment: then the bridge makes one, replaces it when
        it is stuck, and has it at :attr:`ConvexBridge.client`.
    :param patience: how long a deployment may take to answer to a token, in seconds or as a
        timedelta. It doubles with each silence in a row, up to 32 times this: an outage is no
        refusal.
    :param heartbeat: after so long a silence ask whether the deployment still takes the token, by
        setting it again. The deployment runs all subscribed queries for that, which costs function
        calls: off by default.
    :param is_auth_error: whether an error of a query says that its token or session was not good.
    :raises ConfigurationError: no client or URL; a client that is bound already; or bad options.
    :raises AuthClosed: the provider is closed.
    """
    if not isinstance(auth, (AuthProvider, BlockingAuth)):
        raise ConfigurationError("bind() needs what connect() or connect_blocking() gives")
    if not callable(is_auth_error):
        raise ConfigurationError("is_auth_error must be a function of an exception")
    wait = seconds("patience", patience, least=0.001)
    pulse = None if heartbeat is None else seconds("heartbeat", heartbeat, least=0.1)
    another: Callable[[], ConvexClient] | None = None
    if isinstance(client, str):
        another = _maker(client)
        client = another()
    for name in ("set_auth", "subscribe", "watch_all"):
        if not callable(getattr(client, name, None)):
            raise ConfigurationError("bind() needs a convex.ConvexClient or a deployment's URL")
    if client in _bound:
        raise ConfigurationError("this client is bound already: dispose of its bridge first")
    provider = auth.provider if isinstance(auth, BlockingAuth) else auth
    line = Line(provider, client, another=another, patience=wait, heartbeat=pulse)
    bridge = ConvexBridge(provider, line, is_auth_error, None if another else client)
    if line.cut:
        raise AuthClosed("the provider is closed")
    return bridge


class ConvexBridge(abc.DisposableBase):
    """What :func:`bind` returns. Dispose of it, or use it in a ``with``; it also ends with the
    provider."""

    def __init__(
        self,
        provider: AuthProvider[Any],
        line: Line,
        is_auth_error: Callable[[Exception], bool],
        lent: ConvexClient | None,
    ) -> None:
        self._provider = provider
        self._line = line
        self._lent = lent
        self._is_auth_error = is_auth_error
        self._session: Session | None = None
        self._ended: Subject[None] = Subject()
        self._disposing = threading.Lock()
        self._life = CompositeDisposable()
        if lent is not None:
            _bound.add(lent)
        # The session first: it is told of a change before the token is.
        self._life.add(provider.session.subscribe(self._on_session))
        self._life.add(provider.token.subscribe(self._on_token, on_completed=self.dispose))

    @property
    def client(self) -> ConvexClient:
        """The client. Ask again each time: one that the bridge has made may be replaced."""
        return self._line.client

    def query(
        self, name: str, args: Mapping[str, Any] | None = None, *, otherwise: Any = None
    ) -> Observable[Any]:
        """The results of a query as an observable, for as long as somebody is signed in.

        It first gives ``otherwise``, then each new result. When the user changes or is gone,
        ``otherwise`` comes before anything else; nothing computed for one user is ever shown under
        another. While the same user's session rotates, the last result stays: neither a gap nor
        the errors of the session that is ending are passed on.

        An auth error is answered with a fresh token, twice at most; if that is refused, too, the
        observable ends with AuthRejected. Any other error of the function ends it with that error,
        a ``convex.ConvexError`` or a plain Exception; it also ends, without an error, with the
        bridge. Each subscriber has a subscription of its own, which the client merges into one.

        Not for the same query subscribed to on the client itself, beside the bridge: then the
        client answers from its cache, which another user's result may be in until the deployment
        has sent the new one.

        :raises ConfigurationError: a name or arguments that can never work.
        :raises AuthClosed: the bridge was disposed of.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError("query() needs the path of a function: 'messages:list'")
        if args is not None and (
            not isinstance(args, Mapping) or not all(isinstance(key, str) for key in args)
        ):
            raise ConfigurationError("a query's arguments are a mapping with string keys, or None")
        if self._line.cut:
            raise AuthClosed("the bridge was disposed of")
        arguments = dict(args or {})

        # A list with the result, or without one: a null result is not the absence of any.
        def results(session: Session) -> Observable[list[Any]]:
            return live_results(
                self._provider,
                self._line,
                session.id,
                name,
                arguments,
                self._is_auth_error,
            )

        def shown(result: list[Any]) -> Any:
            return result[0] if result else otherwise

        nothing: list[Any] = []
        results_shown = self._provider.session.pipe(
            while_signed_in(results, otherwise=nothing),
            ops.distinct_until_changed(comparer=same),
            ops.map(shown),
            ops.take_until(self._ended),
        )
        return _isolated(results_shown, self._provider.delivery.report)

    def dispose(self) -> None:
        """End all queries, clear the client's auth and leave it alone. From any thread."""
        if not self._disposing.acquire(blocking=False):
            return
        self._line.cut_off()
        self._life.dispose()
        if self._lent is not None:
            _bound.discard(self._lent)
        delivery = self._provider.delivery
        delivery.post(lambda: self._ended.on_next(None))
        delivery.kick()

    def _on_session(self, state: SessionState) -> None:
        if state.status == "unknown":
            return
        before, self._session = self._session, state.session
        if state.session is None or (before is not None and not _same_user(before, state.session)):
            self._line.clear()

    def _on_token(self, token: AccessToken | None) -> None:
        # None is no sign-out: a rotation or an outage is under way, and the session tells the rest.
        if token is not None:
            self._line.push(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.dispose()

    def __repr__(self) -> str:
        return f"<ConvexBridge {'disposed' if self._line.cut else 'bound'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ConvexBridge is live and cannot be pickled or copied")


def _isolated(source: Observable[Any], report: Callable[[Exception], None]) -> Observable[Any]:
    """An observer that raises is unsubscribed and its exception reported (HAZARDS L4)."""

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        life = SingleAssignmentDisposable()

        def guarded(call: Callable[..., None]) -> Callable[..., None]:
            def guard(*arguments: Any) -> None:
                try:
                    call(*arguments)
                except Exception as error:
                    life.dispose()
                    report(error)

            return guard

        life.disposable = source.subscribe(
            guarded(observer.on_next), guarded(observer.on_error), guarded(observer.on_completed)
        )
        return life

    return Observable(subscribe)


def _maker(url: str) -> Callable[[], ConvexClient]:
    from convex import ConvexClient

    def make() -> ConvexClient:
        try:
            return ConvexClient(url)
        except Exception as error:
            raise ConfigurationError(f"no client could be made for this URL: {error}") from None

    return make


def _same_user(a: Session, b: Session) -> bool:
    return a.id == b.id or (a.user_id is not None and a.user_id == b.user_id)
