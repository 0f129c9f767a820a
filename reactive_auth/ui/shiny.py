"""Streams in a Shiny for Python app: one provider for each browser, shared by its tabs.

    sessions = BrowserAuth("https://app.example.com")     # once for the app

    def server(input, output, session):
        auth = sessions.page()

        @render.text
        def headline():
            return auth.headline()                        # a reactive value, as all of them

        @reactive.effect
        @reactive.event(input.sign_in)
        def _():
            auth.start(auth.client.sign_in_email(email=input.email(), password=input.password()))

In Shiny a coroutine that an effect awaits holds up every user's session: ``start`` does not wait.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from ..errors import ConfigurationError
from ..extras import require
from ..provider import AuthProvider
from .browsers import BrowserProviders, C
from .page import BufferedPage, initial
from .seam import Post, deliver

_shiny: Any = require("shiny", extra="shiny")
_session: Any = require("shiny.session", extra="shiny")

__all__ = ["BrowserAuth", "PageAuth", "deliver_shiny"]

T = TypeVar("T")


def deliver_shiny(
    stream: Observable[T],
    view: Callable[[T], object],
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream`` until the session ends, where it may set
    reactive values and use ``ui``: under Shiny's lock, with what it changed flushed after it.

    As :func:`~reactive_auth.ui.deliver`: a Signal's current value is given before it returns, and
    what the view raises goes to the handler of Shiny's event loop.

    Raises ConfigurationError for an argument that can never work, or outside of a session.
    """
    if not callable(view) or inspect.iscoroutinefunction(view):
        raise ConfigurationError("deliver_shiny() needs a view that is a plain function")
    session = _current_session()
    shown = deliver(stream, view, _post_to(session), coalesce=coalesce, on_completed=on_completed)
    session.on_ended(shown.dispose)
    return shown


class PageAuth(BufferedPage[C]):
    """Who is signed in, as reactive values, for one session: one page in a browser.

    Read them by calling, in any reactive context: ``auth.headline()``. They are ``state``,
    ``status``, ``is_loading``, ``is_authenticated``, ``is_refreshing``, ``has_token``,
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

    def __init__(self, provider: AuthProvider[C], session: Any) -> None:
        for name, value in initial(provider.state.value).items():
            setattr(self, name, _shiny.reactive.Value(value))
        self._follow_from(provider, _post_to(session))

    def start(
        self, call: Awaitable[object], then: Callable[[], object] | None = None
    ) -> asyncio.Task[bool]:
        """:meth:`attempt`, without waiting for it; ``then`` is called after a success, as
        :func:`deliver_shiny` calls views."""
        work = self.start_here(call, then)
        task = asyncio.get_running_loop().create_task(work, name="a page's attempt")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _assign(self, name: str, value: object) -> None:
        getattr(self, name).set(value)


class BrowserAuth(BrowserProviders[C]):
    """Made once for the app: a provider for each browser, closed after its last page.

    Two users never share one (HAZARDS S9). Browsers are told apart by a random cookie, which is
    accepted only while its provider lives. Tabs of one browser share their provider, and a reload
    keeps the user signed in; sign-ins are kept in memory only.
    """

    def _prepare(self) -> None:
        self._cookie = f"reactive_auth_{secrets.token_hex(4)}"
        self._pages: dict[Any, PageAuth[C]] = {}

    def page(self) -> PageAuth[C]:
        """The auth of the running session; the same one whenever called in it.

        :raises ConfigurationError: there is no session here.
        """
        session = _current_session()
        found = self._pages.get(session)
        if found is not None:
            return found
        visit = self._browsers.visit(self._browser_of(session))
        page = self._pages[session] = PageAuth(visit.provider, session)

        def end() -> None:
            self._pages.pop(session, None)
            page.close()
            visit.end()

        session.on_ended(end)
        return page

    async def aclose(self) -> None:
        """Close all providers: for an app that ends before its process does."""
        for page in list(self._pages.values()):
            page.close()
        await self._browsers.aclose()

    def _browser_of(self, session: Any) -> str:
        known = str(session.http_conn.cookies.get(self._cookie, ""))
        if known in self._browsers:
            return known
        browser = secrets.token_urlsafe(32)
        # Lax, not Strict: a redirect back from a sign-in elsewhere has to bring it.
        code = (
            f'document.cookie = "{self._cookie}={browser}; Path=/; SameSite=Lax"'
            ' + (location.protocol === "https:" ? "; Secure" : "")'
        )
        _shiny.ui.insert_ui(
            _shiny.ui.tags.script(_shiny.ui.HTML(code)), "body", "beforeEnd", immediate=True
        )
        return browser


def _current_session() -> Any:
    session = _session.get_current_session()
    if session is None or session.is_stub_session():
        raise ConfigurationError("call this in a Shiny app's server function, in a session")
    return session.root_scope()


def _post_to(session: Any) -> Post:
    """Has a callback run in a task of its own, under the lock; those of a session keep order."""
    loop = asyncio.get_running_loop()
    life = CompositeDisposable()
    tasks: set[asyncio.Task[None]] = set()
    session.on_ended(life.dispose)

    async def turn(callback: Callable[[], object]) -> None:
        async with _shiny.reactive.lock():
            if life.is_disposed:
                return
            with _session.session_context(session):
                callback()
            await _shiny.reactive.flush()

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            loop.call_exception_handler({"message": "a view raised", "exception": error})

    def start(callback: Callable[[], object]) -> None:
        task = loop.create_task(turn(callback), name="a page's turn")
        tasks.add(task)  # the loop holds it weakly
        task.add_done_callback(ended)

    def post(callback: Callable[[], object]) -> None:
        if not life.is_disposed:
            loop.call_soon_threadsafe(start, callback)

    return post
