"""Widgets that follow a provider or a signal. They hold no secret: what the form is given goes to
the kernel in a message of its own, and into no trait."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, cast

import anywidget
import traitlets
from reactivex.disposable import CompositeDisposable

from ..blocking import BlockingAuth
from ..errors import AuthError, ConfigurationError
from ..models import AccessToken, AuthState
from ..provider import AuthProvider
from ..secrecy import discreet_call
from ..signal import Signal
from ..ui.seam import Post, deliver
from ..ui.words import headline, trouble

__all__ = ["AuthCard", "SignalCard", "card"]

_HERE = Path(__file__).parent
Auth = AuthProvider[Any] | BlockingAuth


class AuthCard(anywidget.AnyWidget):
    """Who is signed in, how long the token lasts, and what went wrong, with a sign-in form.

    It follows ``auth`` until it is closed, or ``auth`` is.
    """

    _esm = _HERE / "card.js"
    _css = _HERE / "card.css"

    #: What is shown. Nothing in it is secret.
    view: Any = traitlets.Dict().tag(sync=True)  # pyright: ignore[reportUnknownMemberType]

    def __init__(self, auth: Auth) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._auth = auth
        self._failure = ""
        self._busy = 0
        self._token: AccessToken | None = None
        post = _post()
        self._life = CompositeDisposable(
            deliver(auth.state, lambda _: self._show(), post, on_completed=self._ended),
            deliver(auth.token, self._show_token, post),
        )
        self._post = post
        self.on_msg(self._told)  # pyright: ignore[reportUnknownMemberType]

    def close(self) -> None:
        """Show nothing any more."""
        self._life.dispose()
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return _with_html(self, options, self._auth.state.value)

    # -- what is shown -----------------------------------------------------------------------

    def _show_token(self, token: AccessToken | None) -> None:
        self._token = token
        self._show()

    def _show(self, *, closed: bool = False) -> None:
        state: AuthState = self._auth.state.value
        left = None
        if self._token is not None:
            left = (self._token.expires_at - datetime.now(UTC)).total_seconds()
        self.view = {
            "headline": headline(state),
            "status": "closed" if closed else state.status,
            "email": (state.user and state.user.email) or "",
            "session": state.session.id[:8] if state.session else "",
            "left": left,
            "refreshing": state.is_refreshing,
            "trouble": trouble(state),
            "failure": self._failure,
            "busy": self._busy > 0,
        }

    def _ended(self) -> None:
        self._token = None
        self._show(closed=True)

    # -- what its buttons do -----------------------------------------------------------------

    def _told(self, _: object, content: dict[str, Any], __: object) -> None:
        # JupyterLab sends what widgets say to a thread of its own, so that they can be used while
        # a cell is being run.
        self._post(lambda: self._do(content))

    @discreet_call
    def _do(self, content: dict[str, Any]) -> None:
        client = self._auth.client
        match content.get("do"):
            case "look":  # a view was opened: the time left is told anew
                self._show()
            case "refetch":
                self._call(client.refetch)
            case "refresh":
                self._call(self._auth.fetch_access_token, force_refresh=True)
            case "sign_out":
                self._call(client.sign_out)
            case "sign_in":
                given = {name: str(content.pop(name, "")) for name in ("email", "password")}
                self._call(client.sign_in_email, **given)
            case _:
                pass

    def _call(self, method: Callable[..., Any], **arguments: Any) -> None:
        self._busy += 1
        self._failure = ""
        self._show()
        if isinstance(self._auth, BlockingAuth):
            future: Future[Any] = cast("Any", method).future(**arguments)
            future.add_done_callback(lambda done: self._post(lambda: self._finished(done)))
        else:
            task = asyncio.ensure_future(method(**arguments))
            task.add_done_callback(self._finished)

    def _finished(self, done: Future[Any] | asyncio.Future[Any]) -> None:
        self._busy -= 1
        error = None if done.cancelled() else done.exception()
        if isinstance(error, AuthError):
            self._failure = str(error.args[0]) if error.args else type(error).__name__
        elif error is not None:
            self._failure = type(error).__name__
        self._show()


class SignalCard(anywidget.AnyWidget):
    """The value of a signal, as it changes."""

    _esm = _HERE / "signal.js"

    html: Any = traitlets.Unicode().tag(sync=True)

    def __init__(self, signal: Signal[Any]) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._signal = signal
        self._life = deliver(signal, self._show, _post())

    def close(self) -> None:
        """Show nothing any more."""
        self._life.dispose()
        super().close()

    def _show(self, value: object) -> None:
        self.html = _html_of(value)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return _with_html(self, options, self._signal.value)


#: One for each thing shown, so that showing it again shows the same card.
_cards: weakref.WeakKeyDictionary[Any, anywidget.AnyWidget] = weakref.WeakKeyDictionary()


def card(shown: Auth | Signal[Any]) -> AuthCard | SignalCard:
    """The live card of a provider, or of a signal; the same one each time.

    Raises ConfigurationError for anything else, and where no event loop runs.
    """
    known = _cards.get(shown)
    if known is None:
        if isinstance(shown, (AuthProvider, BlockingAuth)):
            known = AuthCard(shown)
        elif isinstance(shown, Signal):
            known = SignalCard(shown)
        else:
            raise ConfigurationError("a card needs what connect() returns, or one of its signals")
        _cards[shown] = known
    return cast("AuthCard | SignalCard", known)


def _post() -> Post:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "a card lives on a running event loop, such as a kernel's"
        ) from None
    return loop.call_soon_threadsafe


def _html_of(value: object) -> str:
    render = getattr(value, "_repr_html_", None)
    return str(render()) if callable(render) else f"<code>{escape(repr(value))}</code>"


def _with_html(widget: Any, options: dict[str, Any], value: object) -> Any:
    """What a widget is shown as, and what is shown where no widget can run."""
    bundle = anywidget.AnyWidget._repr_mimebundle_(widget, **options)  # pyright: ignore
    if bundle is not None:
        data = cast("dict[str, str]", bundle[0])
        data["text/plain"], data["text/html"] = repr(value), _html_of(value)
    return cast("Any", bundle)
