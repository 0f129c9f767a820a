"""Streams in a Textual app.

    class Home(AuthApp):                                   # starts the provider, and closes it
        def compose(self):
            yield Label(id="who", markup=False)
            yield Account().data_bind(Home.auth_state)     # or hand it on to widgets

        def watch_auth_state(self, state):                 # reactive, like any other
            self.query_one("#who", Label).update(headline(state))

        @work
        async def action_sign_out(self):
            await self.auth.client.sign_out()

    Home(connect("https://app.example.com")).run()

Any other stream, from whichever thread, in a widget's ``on_mount``:
``deliver_textual(stream, self.show, self)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, cast

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from ..client import BetterAuthClient
from ..errors import AuthError, ConfigurationError, WrongThread
from ..extras import require
from ..models import AccessToken, AuthState
from ..protocol import AuthClient
from ..provider import AuthProvider
from .seam import Post, deliver

require("textual", extra="textual")

from textual.app import App  # noqa: E402
from textual.reactive import var  # noqa: E402
from textual.widget import Widget  # noqa: E402
from typing_extensions import TypeVar  # noqa: E402  # a dependency of Textual

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

__all__ = ["AuthApp", "deliver_textual"]

T = TypeVar("T")
C = TypeVar("C", bound=AuthClient, default=BetterAuthClient)
R = TypeVar("R", default=None)


def deliver_textual(
    stream: Observable[T],
    view: Callable[[T], object],
    widget: Widget,
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream`` in a widget's own task until it is removed.

    As :func:`~reactive_auth.ui.deliver`: a Signal's current value is given before it returns.
    Call it in ``on_mount``. A screen is a widget, too. What the view raises is Textual's to
    handle, which ends the app.

    :param coalesce: give only the newest of several values; see ``deliver``.
    :param on_completed: called, also there, when the stream is over.
    :raises WrongThread: this is not the app's thread.
    :raises ConfigurationError: an argument that can never work, or the widget is not mounted.
    """
    if not isinstance(widget, Widget):
        raise ConfigurationError("a widget is needed, whose end is the end of this: a screen, say")
    if not callable(view) or inspect.iscoroutinefunction(view):
        raise ConfigurationError("deliver_textual() needs a view that is a plain function")
    if not widget.is_running:
        raise ConfigurationError("the widget is not mounted: call this in its on_mount")
    loop = _running_loop()
    if loop is None:
        raise _elsewhere()
    # Its message pump. An eager task (from Python 3.12 on) runs before the widget knows it.
    task = cast("asyncio.Task[Any]", cast("Any", widget)._task or asyncio.current_task())
    if task.get_loop() is not loop:
        raise _elsewhere()

    delivery = SingleAssignmentDisposable()
    shown = CompositeDisposable(delivery)

    def end(_: object = None) -> None:
        shown.dispose()

    def completed() -> None:
        shown.dispose()
        if on_completed is not None:
            on_completed()

    task.add_done_callback(end)
    shown.add(Disposable(lambda: _forget(task, end)))
    try:
        delivery.disposable = deliver(
            stream,
            lambda value: view(value) if widget.is_attached else None,
            _post_to(widget, loop),
            coalesce=coalesce,
            on_completed=completed,
        )
    except BaseException:
        shown.dispose()
        raise
    return shown


class AuthApp(App[R], Generic[C, R]):
    """An app with a provider, which starts with it and is closed with it.

    ``watch_auth_state``, ``data_bind(Home.auth_state)``, ``self.watch(self.app, "auth_state", …)``:
    it is a reactive as any. Tokens are kept fresh while the app runs. When the terminal comes to
    the front (in those that tell), the session is looked at, at most every 5 seconds.

    :param auth: from :func:`reactive_auth.connect`, made for this app.
    :raises ConfigurationError: ``auth`` is no AuthProvider.
    """

    #: All of it in one value.
    auth_state: var[AuthState] = var(cast("AuthState", None), init=False)  # set by __init__
    #: None without a usable one.
    auth_token: var[AccessToken | None] = var(None, init=False)

    def __init__(self, auth: AuthProvider[C], **options: Any) -> None:
        if not isinstance(auth, AuthProvider):
            raise ConfigurationError("AuthApp needs an AuthProvider, such as connect(...) returns")
        super().__init__(**options)
        self.auth = auth
        self.set_reactive(AuthApp.auth_state, auth.state.value)

    async def on_load(self) -> None:
        await self.auth.__aenter__()

    def on_mount(self) -> None:
        # Watchers are called once at first, as those of any reactive are, but not before this:
        # what reads it in compose() finds no widgets to show it in.
        self.set_reactive(AuthApp.auth_state, self.auth.state.value)
        self.mutate_reactive(AuthApp.auth_state)
        post = _post_to(self, asyncio.get_running_loop())
        deliver(self.auth.state, self._show_state, post)  # until it is closed with the app
        deliver(self.auth.token, self._show_token, post)

    def on_app_focus(self) -> None:
        focus = getattr(self.auth.client, "focus", None)
        if focus is not None:
            with contextlib.suppress(AuthError):  # closed
                focus()

    async def on_unmount(self) -> None:
        await self.auth.aclose()

    def _show_state(self, state: AuthState) -> None:
        if self._is_shown():
            self.auth_state = state

    def _show_token(self, token: AccessToken | None) -> None:
        if self._is_shown():
            self.auth_token = token

    def _is_shown(self) -> bool:
        return self.is_running and self.return_code is None  # which exit() sets


def _post_to(pump: MessagePump, loop: asyncio.AbstractEventLoop) -> Post:
    # Not call_later(), which drops what is due while there is no screen.
    return lambda callback: loop.call_soon_threadsafe(pump.call_next, callback)


def _elsewhere() -> WrongThread:
    return WrongThread("views are given values on the app's event loop: subscribe them there")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _forget(task: asyncio.Task[Any], end: Callable[[object], None]) -> None:
    """From any thread: what a task calls when it is done may be changed on its loop's only."""
    with contextlib.suppress(RuntimeError):  # the loop has ended, and the task with it
        task.get_loop().call_soon_threadsafe(task.remove_done_callback, end)
