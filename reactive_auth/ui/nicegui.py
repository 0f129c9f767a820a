"""Streams in a NiceGUI app: one provider for each browser, shared by its tabs.

sessions = BrowserAuth("https://app.example.com")    # once for the app

@ui.page("/")
def home():
    auth = sessions.page()
    ui.label().bind_text_from(auth, "headline")
    ui.button("Sign out", on_click=auth.client.sign_out).bind_visibility_from(
        auth, "is_authenticated"
    )
    deliver_nicegui(auth.provider.token, show_token)  # any stream, until the page is gone

ui.run(storage_secret="...")                         # signs the cookie that tells browsers apart
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import (
    CompositeDisposable,
    Disposable,
    SingleAssignmentDisposable,
)

from ..errors import AuthClosed, AuthError, ConfigurationError
from ..extras import require
from ..models import AuthState, SessionStatus
from ..protocol import AuthClient
from ..provider import AuthProvider
from .browsers import BrowserProviders, C
from .page import PageModel, initial
from .seam import Post, deliver

require("nicegui", extra="nicegui")

from nicegui import Client, app, ui  # noqa: E402
from nicegui.binding import BindableProperty  # noqa: E402
from nicegui.slot import Slot  # noqa: E402

__all__ = ["BrowserAuth", "PageAuth", "deliver_nicegui"]

T = TypeVar("T")

_VISIBLE = "reactive_auth_visible"
_TELL_VISIBLE = (
    'document.addEventListener("visibilitychange", '
    f'() => {{ if (!document.hidden) emitEvent("{_VISIBLE}"); }});'
)


def deliver_nicegui(
    stream: Observable[T],
    view: Callable[[T], object],
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream`` on NiceGUI's event loop until the page is gone.

    As :func:`~reactive_auth.ui.deliver`: a Signal's current value is given before it returns.
    The view runs in the slot in which this was called, hence may make elements there and
    ``ui.notify``; when the element it was called in is deleted, nothing is given any more. What
    it raises goes to ``app.on_exception`` and ``ui.on_exception``. A page survives a short
    disconnect, and so does this.

    :param coalesce: give only the newest of several values; see ``deliver``.
    :param on_completed: called, also there, when the stream is over.
    :raises ConfigurationError: an argument that can never work, or this is called outside a page.
    """
    if not callable(view) or inspect.iscoroutinefunction(view):
        raise ConfigurationError("deliver_nicegui() needs a view that is a plain function")
    slot = _slot()
    client = slot.parent.client
    life = _life_of(client)
    delivery = SingleAssignmentDisposable()
    shown = _OfPage(delivery, life)

    def inside(call: Callable[[], object]) -> None:
        if _is_gone(slot):
            shown.dispose()
        else:
            with slot:
                call()

    def completed() -> None:
        shown.dispose()
        if on_completed is not None:
            inside(on_completed)

    life.add(delivery)
    try:
        delivery.disposable = deliver(
            stream,
            lambda value: inside(lambda: view(value)),
            _post_to(client),
            coalesce=coalesce,
            on_completed=completed,
        )
    except BaseException:
        shown.dispose()
        raise
    return shown


class _OfPage(abc.DisposableBase):
    """A subscription that its page forgets when it ends before the page."""

    def __init__(self, delivery: abc.DisposableBase, life: CompositeDisposable) -> None:
        self._delivery = delivery
        self._life = life

    def dispose(self) -> None:
        self._life.remove(self._delivery)  # disposes of it, too
        self._delivery.dispose()


def _bindable(kind: type[T]) -> T:
    """A bindable property; for a type checker an attribute of this type."""
    return cast("T", BindableProperty())


class PageAuth(PageModel[C], Generic[C]):
    """Who is signed in, as bindable properties, for one page.

    ``bind_text_from(auth, "headline")``, ``bind_visibility_from(auth, "is_authenticated")``: any
    of them can be bound from, and none is polled. Event handlers run on the provider's event
    loop, and may await ``auth.client.sign_out()`` or ``auth.provider.fetch_access_token()`` as
    they are; ``await auth.attempt(auth.client.sign_in_email(...))`` turns a refusal into
    ``failure``. Tokens are kept fresh while the page is open.
    """

    #: All of it in one value.
    state = _bindable(AuthState)
    status = cast("SessionStatus", BindableProperty())
    is_loading = _bindable(bool)
    is_authenticated = _bindable(bool)
    is_refreshing = _bindable(bool)
    has_token = _bindable(bool)
    #: Empty when nobody is signed in, as is the e-mail address.
    user_name = _bindable(str)
    user_email = _bindable(str)
    #: The first eight characters of the session's id.
    session_id = _bindable(str)
    #: One line: who is signed in, or what is being waited for.
    headline = _bindable(str)
    #: Why the newest attempt to reach the server failed; empty when it did not.
    trouble = _bindable(str)
    #: How long the token is still good: ``14:59``.
    token_remaining = _bindable(str)
    #: Whether an :meth:`attempt` is under way.
    busy = _bindable(bool)
    #: Why the last one failed; empty when it did not.
    failure = _bindable(str)

    def __init__(self, provider: AuthProvider[C], post: Post) -> None:
        self._set(initial(provider.state.value))
        self._follow(provider, post)

    def _set(self, values: Mapping[str, object]) -> None:
        failed: Exception | None = None
        for name, value in values.items():
            try:
                setattr(self, name, value)
            except Exception as error:  # somebody's binding: the other properties still follow
                failed = failed or error
        if failed is not None:
            raise failed


class BrowserAuth(BrowserProviders[C]):
    """Made once for the app: a provider for each browser, closed after its last page.

    Two users never share one (HAZARDS S9): browsers are told apart by the signed cookie of
    ``app.storage.browser``, hence ``ui.run`` needs a ``storage_secret``. Tabs of one browser
    share their provider, and a reload keeps the user signed in; sign-ins are kept in memory only.
    Everything is closed with the app.
    """

    def _prepare(self) -> None:
        self._pages: dict[Client, PageAuth[C]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def page(self) -> PageAuth[C]:
        """The auth of the page that is being built; the same one whenever called in that page.

        :raises ConfigurationError: outside a page, or ``ui.run`` was given no storage_secret.
        :raises AuthClosed: the page was closed while it was built.
        """
        client = _slot().parent.client
        found = self._pages.get(client)
        if found is not None:
            return found
        browser = _browser_of(client)
        if client.is_deleted:
            raise AuthClosed("the page was closed while it was built")
        self._close_with_app()
        visit = self._browsers.visit(browser)
        page = self._pages[client] = PageAuth(visit.provider, _post_to(client))

        def end() -> None:
            self._pages.pop(client, None)
            page.close()
            visit.end()

        _life_of(client).add(Disposable(end))
        _look_when_visible(client, visit.provider.client)
        return page

    async def aclose(self) -> None:
        """Close all providers. Done by itself when the app is shut down."""
        for page in list(self._pages.values()):
            page.close()
        await self._browsers.aclose()

    def _close_with_app(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a loop has one app; a restarted one forgets its handlers
            self._loop = loop
            _untyped(app).on_shutdown(self.aclose)


def _untyped(thing: object) -> Any:
    """For methods whose parameters NiceGUI gives no full types."""
    return thing


def _slot() -> Slot:
    stack = Slot.get_stack()  # ui.context would start NiceGUI's script mode
    if not stack:
        raise ConfigurationError("call this in a page function, where elements can be made")
    return stack[-1]


def _is_gone(slot: Slot) -> bool:
    try:
        return slot.parent.is_deleted
    except RuntimeError:  # collected
        return True


def _browser_of(client: Client) -> str:
    try:
        return str(client.request.session["id"])
    except RuntimeError:
        raise ConfigurationError(
            "call this in a page function given to ui.page or ui.run"
        ) from None
    except (AssertionError, KeyError):
        raise ConfigurationError(
            "ui.run() needs a storage_secret, which signs the cookie that tells browsers apart"
        ) from None


def _post_to(client: Client) -> Post:
    loop = asyncio.get_running_loop()

    def run(callback: Callable[[], None]) -> None:
        with client:
            try:
                callback()
            except Exception as error:  # within the page, so that its handlers are called, too
                _untyped(app).handle_exception(error)

    return lambda callback: loop.call_soon_threadsafe(run, callback)


_lives: weakref.WeakKeyDictionary[Client, CompositeDisposable] = weakref.WeakKeyDictionary()


def _life_of(client: Client) -> CompositeDisposable:
    """What ends with a page. NiceGUI's own list of handlers is never shortened."""
    life = _lives.get(client)
    if life is None:
        life = _lives[client] = CompositeDisposable()
        _untyped(client).on_delete(life.dispose)
        if client.is_deleted:
            life.dispose()
    return life


def _look_when_visible(client: Client, source: AuthClient) -> None:
    """Look at the session when the user comes back to the tab, or the tab to the network."""
    focus = getattr(source, "focus", None)
    if focus is None:
        return

    def look() -> None:
        with contextlib.suppress(AuthError):  # closed
            focus()

    _untyped(client).on_connect(look)
    with client:
        ui.on(_VISIBLE, look)
        ui.run_javascript(_TELL_VISIBLE)
