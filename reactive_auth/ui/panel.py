"""Streams in a Panel app: one provider for each browser, shared by its tabs.

    sessions = BrowserAuth("https://app.example.com")    # once for the server

    def app():
        auth = sessions.page()
        out = pn.widgets.Button(name="Sign out", visible=auth.param.is_authenticated)
        out.on_click(lambda event: auth.client.sign_out())
        deliver_panel(auth.provider.token, show_token)   # any stream, until the session is over
        return pn.Column(pn.pane.Str(auth.param.headline), out)

    pn.serve(app)

A script for ``panel serve`` runs once for each visitor: there the first line is
``sessions = pn.state.as_cached("auth", BrowserAuth, source="https://app.example.com")``.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import (
    CompositeDisposable,
    Disposable,
    SingleAssignmentDisposable,
)

from ..errors import ConfigurationError
from ..extras import require
from ..models import AuthState, SessionStatus
from ..provider import AuthProvider
from .browsers import BrowserProviders, C, Visit
from .page import PageModel, initial
from .seam import Post, deliver

_param: Any = require("param", extra="panel")
_panel: Any = require("panel", extra="panel")

from bokeh.document import Document  # noqa: E402
from bokeh.models import CustomJS  # noqa: E402

__all__ = ["BrowserAuth", "PageAuth", "deliver_panel"]

T = TypeVar("T")

if TYPE_CHECKING:
    from param import Parameterized
else:
    Parameterized = _param.Parameterized


def deliver_panel(
    stream: Observable[T],
    view: Callable[[T], object],
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream`` under the document's lock, until the session is
    over.

    As :func:`~reactive_auth.ui.deliver`: a Signal's current value is given before it returns.
    ``pn.state.curdoc`` is the session's, and any object may be changed. What the view raises goes
    to ``pn.config.exception_handler``, or else to Bokeh's log.

    :param coalesce: give only the newest of several values; see ``deliver``.
    :param on_completed: called, also there, when the stream is over.
    :raises ConfigurationError: an argument that can never work, or there is no session here.
    """
    if not callable(view) or inspect.iscoroutinefunction(view):
        raise ConfigurationError("deliver_panel() needs a view that is a plain function")
    document = _document()
    life = _life_of(document)
    delivery = SingleAssignmentDisposable()
    shown = _OfSession(delivery, life)

    def completed() -> None:
        shown.dispose()
        if on_completed is not None:
            on_completed()

    life.add(delivery)
    try:
        delivery.disposable = deliver(
            stream, view, _post_to(document), coalesce=coalesce, on_completed=completed
        )
    except BaseException:
        shown.dispose()
        raise
    return shown


class _OfSession(abc.DisposableBase):
    """A subscription that its session forgets when it ends before the session."""

    def __init__(self, delivery: abc.DisposableBase, life: CompositeDisposable) -> None:
        self._delivery = delivery
        self._life = life

    def dispose(self) -> None:
        self._life.remove(self._delivery)  # disposes of it, too
        self._delivery.dispose()


def _text(doc: str = "") -> str:
    """A parameter; for a type checker an attribute of this type."""
    return cast("str", _param.String("", doc=doc))


def _flag(doc: str = "") -> bool:
    return cast("bool", _param.Boolean(False, doc=doc))


class PageAuth(PageModel[C], Parameterized, Generic[C]):
    """Who is signed in, as parameters, for one session of the server: one page in a browser.

    ``pn.pane.Str(auth.param.headline)``, ``visible=auth.param.is_authenticated``,
    ``pn.bind(view, auth.param.state)``, ``@param.depends``: as any parameters. Callbacks may be
    coroutines, which run on the loop of the provider and may await ``auth.client.sign_out()`` or
    ``auth.provider.fetch_access_token()`` as they are;
    ``await auth.attempt(auth.client.sign_in_email(...))`` turns a refusal into ``failure``.
    Tokens are kept fresh while the session lasts.
    """

    state = cast("AuthState", _param.ClassSelector(class_=AuthState, doc="All of it in one value."))
    status = cast("SessionStatus", _param.String("unknown"))
    is_loading = _flag()
    is_authenticated = _flag()
    is_refreshing = _flag()
    has_token = _flag()
    user_name = _text("Empty when nobody is signed in, as is the e-mail address.")
    user_email = _text()
    session_id = _text("The first eight characters of the session's id.")
    headline = _text("One line: who is signed in, or what is being waited for.")
    trouble = _text("Why the newest attempt to reach the server failed; empty when it did not.")
    token_remaining = _text("How long the token is still good: 14:59.")
    busy = _flag("Whether an attempt is under way.")
    failure = _text("Why the last one failed; empty when it did not.")

    def __init__(self, provider: AuthProvider[C], post: Post) -> None:
        cast("Any", Parameterized).__init__(self, **initial(provider.state.value))
        self._follow(provider, post)

    def _set(self, values: Mapping[str, object]) -> None:
        cast("Any", self).param.update(**values)  # all are set before anybody is told


class BrowserAuth(BrowserProviders[C]):
    """Made once for the server: a provider for each browser, closed after its last page.

    Two users never share one (HAZARDS S9). Browsers are told apart by a random cookie, which is
    accepted only while its provider lives. Tabs of one browser share their provider, and a reload
    keeps the user signed in; sign-ins are kept in memory only. Bokeh ends the session of a page
    that was closed after 15 to 32 seconds (``unused_session_lifetime_milliseconds`` and
    ``check_unused_sessions_milliseconds`` of ``pn.serve``).
    """

    def _prepare(self) -> None:
        self._cookie = f"reactive_auth_{secrets.token_hex(4)}"
        self._pages: dict[Document, PageAuth[C]] = {}

    def page(self) -> PageAuth[C]:
        """The auth of the session that is being made; the same one whenever called in it.

        :raises ConfigurationError: there is no session, or this is called in a thread.
        """
        document = _document()
        found = self._pages.get(document)
        if found is not None:
            return found
        if _is_rehearsal(document):
            visit = Visit(self._make(), lambda: None)
        else:
            visit = self._browsers.visit(self._browser_of(document))
        page = self._pages[document] = PageAuth(visit.provider, _post_to(document))

        def end() -> None:
            self._pages.pop(document, None)
            page.close()
            visit.end()

        _life_of(document).add(Disposable(end))
        return page

    async def aclose(self) -> None:
        """Close all providers: for a server that ends before its process does."""
        for page in list(self._pages.values()):
            page.close()
        await self._browsers.aclose()

    def _browser_of(self, document: Document) -> str:
        known = str(_panel.state.cookies.get(self._cookie, ""))
        if known in self._browsers:
            return known
        browser = secrets.token_urlsafe(32)
        # Lax, not Strict: a redirect back from a sign-in elsewhere has to bring it.
        code = (
            f'document.cookie = "{self._cookie}={browser}; Path=/; SameSite=Lax"'
            ' + (location.protocol === "https:" ? "; Secure" : "")'
        )
        document.js_on_event("document_ready", CustomJS(code=code))
        return browser


def _document() -> Document:
    document = _panel.state.curdoc
    if document is None or document.session_context is None:
        raise ConfigurationError("call this in an app that Panel serves, in one of its sessions")
    return cast("Document", document)


def _is_rehearsal(document: Document) -> bool:
    """Whether Panel only warms up (``--warm``, ``--autoreload``): no loop runs, nobody looks."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        context: Any = document.session_context
        if context.server_context is not None:
            raise ConfigurationError(
                "call this where the app is made, not in a thread: there is no event loop"
            ) from None
        return True
    return False


def _post_to(document: Document) -> Post:
    def post(callback: Callable[[], None]) -> None:
        if document.session_context is not None:  # else its end is about to be told
            cast("Any", document).add_next_tick_callback(lambda: _guarded(callback))

    return post


def _guarded(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception as error:
        handler = _panel.config.exception_handler
        if handler is None:
            raise
        handler(error)


_lives: weakref.WeakKeyDictionary[Document, CompositeDisposable] = weakref.WeakKeyDictionary()


def _life_of(document: Document) -> CompositeDisposable:
    """What ends with a session. Bokeh's own set of handlers is never made smaller."""
    life = _lives.get(document)
    if life is None:
        life = _lives[document] = CompositeDisposable()
        ended = life

        def end(context: object) -> None:
            ended.dispose()

        cast("Any", document).on_session_destroyed(end)
    return life
