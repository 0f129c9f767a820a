"""Streams in a Solara app: one provider for each browser, shared by its tabs.

    sessions = BrowserAuth("https://app.example.com")     # once for the server

    @solara.component
    def Page():
        auth = use_auth(sessions)
        solara.Text(auth.headline.value)                  # reactive, as all of them
        solara.Button("Sign out", on_click=lambda: auth.start(auth.client.sign_out()))
        token = use_signal(auth.provider.token)           # any stream

Solara renders each user's page on a thread without an event loop: the providers of all of them
live on one private loop, and ``start`` makes calls there without waiting.
"""

from __future__ import annotations

import logging
import operator
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, cast

from reactivex import Observable

from ..errors import ConfigurationError
from ..extras import require
from ..portal import PrivateLoop, run_on_loop
from ..signal import Signal
from .browsers import BrowserProviders, C, Visit
from .page import BufferedPage, initial
from .seam import Post, deliver

_solara: Any = require("solara", extra="solara")
_kernels: Any = require("solara.server.kernel_context", extra="solara")

__all__ = ["BrowserAuth", "PageAuth", "use_auth", "use_signal"]

T = TypeVar("T")

_log = logging.getLogger("solara.server")


def use_signal(stream: Observable[T], initially: T | None = None) -> T:
    """The current value of a stream, in a component, which is rendered again when it changes.

    Values come to the user's own page, whichever thread emits, until the component is gone; of
    values that come faster than pages are rendered, only the newest. A stream that is no signal
    is ``initially`` at first. Raises ConfigurationError for what is no stream.
    """
    if not isinstance(stream, Observable):
        raise ConfigurationError("use_signal() needs an observable, such as auth.provider.state")
    first = stream.value if isinstance(stream, Signal) else cast("T", initially)
    value, set_value = _solara.use_state(first, eq=operator.eq)

    def show(new: T) -> None:
        def compute(_: T) -> T:  # a value that can be called would be taken for this
            return new

        set_value(compute)

    def follow() -> Callable[[], None]:
        return deliver(stream, show, _post_here()).dispose

    _solara.use_effect(follow, [stream])
    return cast("T", value)


def use_auth(sessions: BrowserAuth[C]) -> PageAuth[C]:
    """The auth of the user whose page is being rendered, until the component is gone."""
    page: PageAuth[C] = _solara.use_memo(sessions.page, [])
    _solara.use_effect(lambda: page.close, [])
    return page


class PageAuth(BufferedPage[C]):
    """Who is signed in, as reactive variables, for one page in a browser.

    Read their ``.value`` in a component, and it is rendered again when that changes. They are
    ``state``, ``status``, ``is_loading``, ``is_authenticated``, ``is_refreshing``, ``has_token``,
    ``user_name``, ``user_email``, ``session_id`` (its first eight characters), ``headline``,
    ``trouble``, ``token_remaining``, ``busy`` and ``failure``. Tokens are kept fresh meanwhile.
    """

    state: Any
    status: Any
    is_loading: Any
    is_authenticated: Any
    is_refreshing: Any
    has_token: Any
    user_name: Any
    user_email: Any
    session_id: Any
    headline: Any
    trouble: Any
    token_remaining: Any
    busy: Any
    failure: Any

    def __init__(self, visit: Visit[C], loop: PrivateLoop) -> None:
        for name, value in initial(visit.provider.state.value).items():
            setattr(self, name, _solara.reactive(value))
        self._loop = loop
        self._visit = visit
        post = _post_here()
        loop.wait(loop.submit(run_on_loop(lambda: self._follow_from(visit.provider, post))))

    def start(
        self, call: Awaitable[object], then: Callable[[], object] | None = None
    ) -> Future[bool]:
        """Make a call of the client, without waiting for it: ``busy`` is set meanwhile, ``failure``
        says for the user what went wrong, and ``then`` is called after a success, where reactive
        variables may be set."""
        return self._loop.submit(self.start_here, call, then)

    def close(self) -> None:
        """Show nothing new any more. Done when the component is gone; may be called again."""

        def end() -> None:
            super(PageAuth, self).close()
            self._visit.end()

        self._loop.submit(run_on_loop(end))

    def _assign(self, name: str, value: object) -> None:
        getattr(self, name).value = value


class BrowserAuth(BrowserProviders[C]):
    """Made once for the server: a provider for each browser, closed after its last page.

    Two users never share one (HAZARDS S9). Browsers are told apart by Solara's own session cookie;
    tabs of one browser share their provider, and a reload keeps the user signed in; sign-ins are
    kept in memory only. Solara closes the page of a closed tab at once, and of one whose
    connection is lost after ``SOLARA_KERNEL_CULL_TIMEOUT``.
    """

    def _prepare(self) -> None:
        self._starting = threading.Lock()
        self._loop: PrivateLoop | None = None

    def page(self) -> PageAuth[C]:
        """A new page of the browser whose kernel this is called in; see :func:`use_auth`.

        :raises ConfigurationError: there is no kernel here.
        """
        browser = _kernel().session_id
        with self._starting:
            if self._loop is None:
                self._loop = PrivateLoop()
            loop = self._loop
        visit = loop.wait(loop.submit(run_on_loop(lambda: self._browsers.visit(browser))))
        return PageAuth(visit, loop)

    def close(self) -> None:
        """Close all providers and end the private loop: for a server that ends before its
        process does."""
        with self._starting:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.wait(loop.submit(self._browsers.aclose))
            loop.stop(5.0)

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the private loop, where the providers live."""
        with self._starting:
            loop = self._loop
        if loop is None:
            work.close()
            raise ConfigurationError("no page has been opened yet")
        return loop.submit(_awaited, work)


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def _kernel() -> Any:
    try:
        return _kernels.get_current_context()
    except RuntimeError:
        raise ConfigurationError("call this in a component that Solara serves") from None


#: Renders what streams bring: never on the thread that emits. A delivery has one turn at a time.
_views = ThreadPoolExecutor(4, thread_name_prefix="reactive_auth-solara")


def _post_here() -> Post:
    """The way into the kernel that this is called in."""
    kernel = _kernel()

    def turn(callback: Callable[[], object]) -> None:
        if kernel.closed_event.is_set():
            return
        _kernels.set_current_context(kernel)
        try:
            callback()
        finally:
            _kernels.set_current_context(None)

    def ended(done: Future[None]) -> None:
        error = done.exception()
        if error is not None:
            _log.error("a view raised", exc_info=error)

    def post(callback: Callable[[], object]) -> None:
        _views.submit(turn, callback).add_done_callback(ended)

    return post
