"""The same provider for programs without an event loop: desktop apps and scripts.

Its loop runs on a private daemon thread; observers are called on a second one, so that they
may block, and may make any blocking call of this object.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NoReturn, Self, Unpack

from reactivex import Observable

from .client import BetterAuthClient, WireEvent
from .connect import ConnectOptions, split_options
from .delivery import ThreadDelivery, log_observer_error
from .display import live_card, marimo_card
from .errors import AuthClosed
from .models import AccessToken, AuthState, SessionState
from .portal import BlockingCall, PrivateLoop, run_on_loop
from .provider import AuthProvider
from .secrecy import Masked, discreet_call
from .signal import Signal

__all__ = ["BlockingAuth", "BlockingClient", "connect_blocking"]

_CLOSE_PATIENCE = 10.0
_EXIT_PATIENCE = 0.5


@discreet_call
def connect_blocking(url: str, **options: Unpack[ConnectOptions]) -> BlockingAuth:
    """As :func:`connect`, for programs without an event loop. Use with ``with``, or ``close()``.

    Every method blocks until it is done; its ``.future(...)`` takes the same arguments and
    returns a :class:`concurrent.futures.Future` at once. Everything may be called from any
    thread. Observers are called on a private thread, one at a time.
    """
    for_client, for_provider = split_options(options)
    client = BetterAuthClient(url, **for_client)
    return BlockingAuth(client, for_provider)


class BlockingAuth:
    """What :func:`connect_blocking` returns."""

    def __init__(self, client: BetterAuthClient, options: dict[str, Any]) -> None:
        delivery = ThreadDelivery(options.get("on_observer_error", log_observer_error))

        def make() -> AuthProvider[BetterAuthClient]:
            return AuthProvider(client, owns_client=True, _delivery=delivery, **options)

        loop = PrivateLoop()
        try:
            provider = loop.wait(loop.submit(run_on_loop(make)))
        except BaseException:
            loop.stop(_CLOSE_PATIENCE)
            raise
        delivery.start()
        self._provider = provider
        self._delivery = delivery
        self._loop = loop
        self._closing = threading.Lock()
        self.fetch_access_token = FetchCall(loop, provider)
        self.recheck = BlockingCall(loop, provider.recheck)
        self.client = BlockingClient(client, loop)
        self._at_exit = _close_at_exit(weakref.ref(self))

    @property
    def provider(self) -> AuthProvider[BetterAuthClient]:
        """The provider on the private loop. Its coroutines may be awaited on any loop."""
        return self._provider

    @property
    def session(self) -> Signal[SessionState]:
        """What is known of the session."""
        return self._provider.session

    @property
    def token(self) -> Signal[AccessToken | None]:
        """The current session's token, if a usable one is cached; kept fresh while subscribed."""
        return self._provider.token

    @property
    def state(self) -> Signal[AuthState]:
        """Session and token in one value for views."""
        return self._provider.state

    def close(self) -> None:
        """Cancel everything under way and end the private threads. May be called again, from any
        thread, also from an observer."""
        self._close(_CLOSE_PATIENCE)

    def _close(self, patience: float) -> None:
        if not self._closing.acquire(blocking=False):
            return  # closed, or being closed by somebody else
        atexit.unregister(self._at_exit)
        try:
            with contextlib.suppress(AuthClosed):  # a forked child has nothing to close
                self._loop.wait(self._loop.submit(self._provider.aclose), patience)
        finally:
            self._delivery.stop(patience)
            self._loop.stop(patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<BlockingAuth {self.state.value.status}>"

    def _repr_html_(self) -> str:
        return self.state.value._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return live_card(self, **options)

    def _display_(self) -> Any:
        return marimo_card(self, self._repr_html_())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BlockingAuth is live and cannot be pickled or copied")


class FetchCall:
    """:meth:`AuthProvider.fetch_access_token` as a blocking call. A cached token is returned on
    the calling thread, without a hop to the loop's."""

    def __init__(self, loop: PrivateLoop, provider: AuthProvider[Any]) -> None:
        self._loop = loop
        self._provider = provider
        self._fetch = BlockingCall(loop, provider.fetch_access_token)
        self.__doc__ = provider.fetch_access_token.__doc__

    def __call__(self, *, force_refresh: bool = False, rejected: str | None = None) -> str | None:
        """Call and wait for the outcome."""
        if not force_refresh and rejected is None and self._loop.is_ours():
            cached = self._provider.cached_access_token()
            if cached is not None:
                return cached
        refused = Masked(rejected)
        rejected = None
        return self._fetch(force_refresh=force_refresh, rejected=refused.value)

    @discreet_call
    def future(
        self, *, force_refresh: bool = False, rejected: str | None = None
    ) -> Future[str | None]:
        """Call without waiting. Cancelling the future cancels the call."""
        return self._fetch.future(force_refresh=force_refresh, rejected=rejected)

    def __repr__(self) -> str:
        return "<blocking fetch_access_token>"


class BlockingClient:
    """The methods of :class:`BetterAuthClient`, each a :class:`BlockingCall`."""

    def __init__(self, client: BetterAuthClient, loop: PrivateLoop) -> None:
        self._client = client
        self.sign_up_email = BlockingCall(loop, client.sign_up_email)
        self.sign_in_email = BlockingCall(loop, client.sign_in_email)
        self.sign_out = BlockingCall(loop, client.sign_out)
        self.get_session = BlockingCall(loop, client.get_session)
        self.refetch = BlockingCall(loop, client.refetch)
        self.change_password = BlockingCall(loop, client.change_password)
        self.update_user = BlockingCall(loop, client.update_user)
        self.delete_user = BlockingCall(loop, client.delete_user)
        self.list_sessions = BlockingCall(loop, client.list_sessions)
        self.revoke_session = BlockingCall(loop, client.revoke_session)
        self.revoke_sessions = BlockingCall(loop, client.revoke_sessions)
        self.revoke_other_sessions = BlockingCall(loop, client.revoke_other_sessions)
        self.generate_one_time_token = BlockingCall(loop, client.generate_one_time_token)
        self.verify_one_time_token = BlockingCall(loop, client.verify_one_time_token)
        self.handle_redirect = BlockingCall(loop, client.handle_redirect)
        self.request = BlockingCall(loop, client.request)
        self._loop = loop

    @property
    def origin(self) -> str:
        """The server's origin."""
        return self._client.origin

    @property
    def wire(self) -> Observable[WireEvent]:
        """Every step of every request. Observers are called on the loop's thread: be brief."""
        return self._client.wire

    def focus(self) -> None:
        """The user came back to the window: look at the session, at most every 5 seconds."""
        self._loop.submit(run_on_loop(self._client.focus))

    def online(self) -> None:
        """The network came back: look at the session at once."""
        self._loop.submit(run_on_loop(self._client.online))

    def __repr__(self) -> str:
        return f"<blocking {self._client!r}>"


def _close_at_exit(auth: weakref.ref[BlockingAuth]) -> Callable[[], None]:
    """Close what was forgotten, without keeping it alive or the program from exiting."""

    def close() -> None:
        forgotten = auth()
        if forgotten is not None:
            with contextlib.suppress(Exception):  # there is nobody left to tell
                forgotten._close(_EXIT_PATIENCE)  # pyright: ignore[reportPrivateUsage]

    atexit.register(close)
    return close
