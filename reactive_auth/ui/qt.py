"""Streams in a Qt program: PySide6 or PyQt6, whichever qtpy finds (``QT_API`` chooses).

    model = AuthModel(auth, window)                      # for widgets and for QML
    model.headlineChanged.connect(label.setText)
    button.clicked.connect(lambda: model.signIn(email.text(), password.text()))

    deliver_qt(auth.state, window.show_state)            # until the window is destroyed

``auth`` is what ``connect_blocking`` returns, or an AuthProvider, be its event loop Qt's own
(qasync, say) or one on another thread.
"""

# ruff: noqa: N802, N815  # names as Qt and QML have them

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import (
    BooleanDisposable,
    CompositeDisposable,
    Disposable,
    SingleAssignmentDisposable,
)

from ..blocking import BlockingAuth
from ..errors import AuthClosed, AuthError, ConfigurationError, WrongThread
from ..extras import require
from ..models import AccessToken, AuthState
from ..provider import AuthProvider
from .seam import deliver
from .words import headline, remaining, trouble

if TYPE_CHECKING:
    from PySide6.QtCore import Property as QtProperty
    from PySide6.QtCore import QCoreApplication, QObject, Qt, QThread, QTimer
    from PySide6.QtCore import Signal as QtSignal
    from PySide6.QtCore import Slot as QtSlot
else:
    require("qtpy.QtCore", extra="qt")
    from qtpy.QtCore import Property as QtProperty
    from qtpy.QtCore import QCoreApplication, QObject, Qt, QThread, QTimer
    from qtpy.QtCore import Signal as QtSignal
    from qtpy.QtCore import Slot as QtSlot

__all__ = ["AuthModel", "deliver_qt", "post"]

T = TypeVar("T")


class _Hop(QObject):
    """Lives on the GUI thread and is never deleted: any thread may emit to it at any time."""

    # Without an argument: to delete one, Qt's thread would wait for the interpreter once more.
    called = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        self._calls: deque[Callable[[], object]] = deque()
        self.called.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def post(self, callback: Callable[[], object]) -> None:
        self._calls.append(callback)
        self.called.emit()

    @QtSlot()
    def _call(self) -> None:
        # What these add waits for its own signal, so that Qt can do its own work in between.
        for _ in range(len(self._calls)):
            if self._calls:  # one of them may run Qt's loop
                self._calls.popleft()()


_hop: _Hop | None = None
_making = threading.Lock()


def post(callback: Callable[[], object]) -> None:
    """Have something called soon on the GUI thread; may be called on any thread.

    What it raises is Qt's to report: ``sys.excepthook``. Raises ConfigurationError while there
    is no QApplication.
    """
    hop = _hop
    if hop is None:
        hop = _make_hop()
    hop.post(callback)


def _make_hop() -> _Hop:
    global _hop
    with _making:
        if _hop is None:
            hop = _Hop()
            hop.moveToThread(_app().thread())
            _hop = hop
        return _hop


def _app() -> QCoreApplication:
    app = QCoreApplication.instance()
    if app is None:
        raise ConfigurationError("make the QApplication first")
    return app


def deliver_qt(
    stream: Observable[T],
    view: Callable[[T], object],
    parent: QObject | None = None,
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream`` on the GUI thread until ``parent`` is destroyed.

    As :func:`~reactive_auth.ui.deliver`, so call it on the GUI thread: a Signal's current value
    is given before it returns. As with Qt's own ``connect``, a method of a QObject also goes with
    that object, which it does not keep alive.

    :param coalesce: give only the newest of several values; see ``deliver``.
    :param on_completed: called, also on the GUI thread, when the stream is over.
    :raises WrongThread: this is not the GUI thread.
    :raises ConfigurationError: an argument that can never work, or there is no QApplication.
    """
    if QThread.currentThread() != _app().thread():
        raise WrongThread("views are given values on the GUI thread: subscribe them there")
    if not callable(view):
        raise ConfigurationError("deliver_qt() needs a view that can be called")
    method_of = getattr(view, "__self__", None)
    owner = method_of if isinstance(method_of, QObject) else None
    if parent is not None and not isinstance(parent, QObject):
        raise ConfigurationError("parent must be a QObject, such as the window")

    held = _Held(view if owner is None else _weak(view))
    delivery = SingleAssignmentDisposable()
    shown = CompositeDisposable(delivery, Disposable(held.release))

    def end() -> None:
        shown.dispose()

    def completed() -> None:
        shown.dispose()
        if on_completed is not None:
            on_completed()

    for source in (parent, owner):  # before the first value, whose view may destroy it
        if source is not None:
            # A function, which Qt's bindings keep: of a method they would keep no reference.
            source.destroyed.connect(end)
            shown.add(_unlink(weakref.ref(source), end))
    try:
        delivery.disposable = deliver(stream, held, post, coalesce=coalesce, on_completed=completed)
    except BaseException:
        shown.dispose()
        raise
    return shown


def _unlink(source: weakref.ref[QObject], end: Callable[[], None]) -> abc.DisposableBase:
    # By the function: PyQt does not let go of it where only the connection is ended.
    def unlink() -> None:
        found = source()
        if found is not None:
            with contextlib.suppress(RuntimeError, TypeError):  # it is being destroyed
                found.destroyed.disconnect(end)

    return Disposable(lambda: _on_gui_thread(unlink))


class _Held(Generic[T]):
    """A view that the subscription lets go of on the GUI thread, wherever itself ends."""

    __slots__ = ("_view",)

    def __init__(self, view: Callable[[T], object]) -> None:
        self._view: Callable[[T], object] | None = view

    def __call__(self, value: T) -> None:
        view = self._view
        if view is not None:
            view(value)

    def release(self) -> None:
        _on_gui_thread(self._release)

    def _release(self) -> None:
        self._view = None


def _weak(method: Callable[[T], object]) -> Callable[[T], object]:
    try:
        reference = weakref.WeakMethod(method)
    except TypeError:  # one of Qt's own methods, which has no Python function
        return method

    def call(value: T) -> None:
        found = reference()
        if found is not None:
            found(value)

    return call


def _on_gui_thread(callback: Callable[[], object]) -> None:
    app = QCoreApplication.instance()
    if app is None or QThread.currentThread() == app.thread():
        callback()
    else:
        post(callback)


def _property(kind: type[T], name: str, changed: QtSignal) -> T:
    """A property of the model for Qt and QML; for Python an attribute of this type."""

    def get(model: AuthModel) -> T:
        return cast("T", model._values[name])  # pyright: ignore[reportPrivateUsage]

    return cast("T", QtProperty(kind, get, notify=changed))


class AuthModel(QObject):
    """Who is signed in, as properties with change signals, and what to do about it as slots.

    Made, used and destroyed on the GUI thread, like any QObject. It subscribes to ``auth.token``,
    hence tokens are kept fresh as long as it lives. When the application becomes active, the
    session is looked at (at most every 5 seconds).

    Slots return at once. ``busy`` says whether one is under way; each ends with ``succeeded``,
    given the slot's name, or with ``failed``, given a message for the user. Passwords are passed
    on and never kept.

    :param auth: what ``connect_blocking`` returns, or an AuthProvider that has been started.
    :raises WrongThread: this is not the GUI thread.
    :raises ConfigurationError: ``auth`` is neither, or there is no QApplication.
    """

    statusChanged = QtSignal(str)
    isLoadingChanged = QtSignal(bool)
    isAuthenticatedChanged = QtSignal(bool)
    isRefreshingChanged = QtSignal(bool)
    hasTokenChanged = QtSignal(bool)
    userNameChanged = QtSignal(str)
    userEmailChanged = QtSignal(str)
    sessionIdChanged = QtSignal(str)
    headlineChanged = QtSignal(str)
    troubleChanged = QtSignal(str)
    tokenRemainingChanged = QtSignal(str)
    busyChanged = QtSignal(bool)
    #: After any of the above, once for all that changed together.
    changed = QtSignal()
    succeeded = QtSignal(str)
    failed = QtSignal(str)

    #: As in AuthState; the names of the user are empty without one.
    status = _property(str, "status", statusChanged)
    isLoading = _property(bool, "isLoading", isLoadingChanged)
    isAuthenticated = _property(bool, "isAuthenticated", isAuthenticatedChanged)
    isRefreshing = _property(bool, "isRefreshing", isRefreshingChanged)
    hasToken = _property(bool, "hasToken", hasTokenChanged)
    userName = _property(str, "userName", userNameChanged)
    userEmail = _property(str, "userEmail", userEmailChanged)
    #: Its first 8 characters: enough to see a rotation.
    sessionId = _property(str, "sessionId", sessionIdChanged)
    headline = _property(str, "headline", headlineChanged)
    trouble = _property(str, "trouble", troubleChanged)
    #: ``14:59``, counted down; ``–`` without a token.
    tokenRemaining = _property(str, "tokenRemaining", tokenRemainingChanged)
    busy = _property(bool, "busy", busyChanged)

    def __init__(
        self, auth: BlockingAuth | AuthProvider[Any], parent: QObject | None = None
    ) -> None:
        if not isinstance(auth, (BlockingAuth, AuthProvider)):
            raise ConfigurationError("AuthModel needs a BlockingAuth or an AuthProvider")
        super().__init__(parent)
        self._auth = auth
        self._token: AccessToken | None = None
        self._calls: set[Future[Any]] = set()
        self._values: dict[str, object] = {"busy": False, "tokenRemaining": remaining(None)}
        self._second = QTimer(self)
        self._second.setSingleShot(True)
        self._second.setTimerType(Qt.TimerType.PreciseTimer)
        self._second.timeout.connect(self._count_down)
        self._life = life = BooleanDisposable()
        self.destroyed.connect(lambda: life.dispose())
        deliver_qt(auth.state, self._show_state)
        deliver_qt(auth.token, self._show_token)
        activation = getattr(_app(), "applicationStateChanged", None)
        if activation is not None:  # a QCoreApplication has no windows
            activation.connect(self._on_activation)

    # -- slots -------------------------------------------------------------------------------

    @QtSlot(str, str)
    def signIn(self, email: str, password: str) -> None:
        """Sign in."""
        self._call("signIn", "sign_in_email", email=email, password=password)

    @QtSlot(str, str, str)
    def signUp(self, email: str, password: str, name: str) -> None:
        """Create an account and sign in."""
        self._call("signUp", "sign_up_email", email=email, password=password, name=name)

    @QtSlot()
    def signOut(self) -> None:
        """Sign out: here at once; ``failed`` when the server could not be told."""
        self._call("signOut", "sign_out")

    @QtSlot(str, str)
    @QtSlot(str, str, bool)
    def changePassword(self, current: str, new: str, revoke_others: bool = True) -> None:
        """Change the password, and unless told otherwise end all other sessions: then this one
        goes on under another id."""
        self._call(
            "changePassword",
            "change_password",
            current_password=current,
            new_password=new,
            revoke_other_sessions=revoke_others,
        )

    @QtSlot()
    def refetch(self) -> None:
        """Ask the server for the session now."""
        self._call("refetch", "refetch")

    @QtSlot()
    def cancel(self) -> None:
        """Wait no more for what is under way: neither ``succeeded`` nor ``failed`` comes of it.

        A request that was sent is not undone.
        """
        calls, self._calls = self._calls, set()
        for future in calls:
            future.cancel()
        self._update(busy=False)

    # -- what is shown -----------------------------------------------------------------------

    def _show_state(self, state: AuthState) -> None:
        user, session = state.user, state.session
        self._update(
            status=state.status,
            isLoading=state.is_loading,
            isAuthenticated=state.is_authenticated,
            isRefreshing=state.is_refreshing,
            hasToken=state.has_token,
            userName=(user and user.name) or "",
            userEmail=(user and user.email) or "",
            sessionId=session.id[:8] if session else "",
            headline=headline(state),
            trouble=trouble(state),
        )

    def _show_token(self, token: AccessToken | None) -> None:
        self._token = token
        self._count_down()

    @QtSlot()
    def _count_down(self) -> None:
        now = datetime.now(UTC)
        left = 0.0 if self._token is None else (self._token.expires_at - now).total_seconds()
        if left > 0:
            self._second.start(int(left % 1 * 1000) + 1)  # when the text changes next
        else:
            self._second.stop()
        self._update(tokenRemaining=remaining(self._token, now=now))

    def _update(self, **values: object) -> None:
        """Set all, then tell of each that changed."""
        changed = [name for name, value in values.items() if self._values.get(name) != value]
        self._values.update(values)
        for name in changed:
            # Whoever is told may run Qt's loop or destroy this model.
            if self._life.is_disposed:
                return
            getattr(self, f"{name}Changed").emit(self._values[name])
        if changed and not self._life.is_disposed:
            self.changed.emit()

    # -- calls -------------------------------------------------------------------------------

    def _call(self, slot: str, method: str, **arguments: object) -> None:
        try:
            future = self._submit(method, arguments)
        except AuthError as error:
            self.failed.emit(_message(error))
            return
        self._calls.add(future)
        self._update(busy=True)
        # Only a weak reference leaves the GUI thread: no other one may delete the model.
        future.add_done_callback(partial(_on_done, weakref.ref(self), slot))

    def _submit(self, method: str, arguments: dict[str, object]) -> Future[Any]:
        auth = self._auth
        call = getattr(auth.client, method, None)
        if call is None:
            raise ConfigurationError(f"the AuthClient of this program has no {method}")
        if isinstance(auth, BlockingAuth):
            return cast("Future[Any]", call.future(**arguments))
        loop = _loop_of(auth)
        coroutine = call(**arguments)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            coroutine.close()
            raise AuthClosed("the event loop of the provider has ended") from None

    def _finished(self, slot: str, future: Future[Any]) -> None:
        if future not in self._calls:
            return
        self._calls.remove(future)
        error = (
            AuthClosed("the provider was closed during the call")
            if future.cancelled()
            else future.exception()
        )
        self._update(busy=bool(self._calls))
        if self._life.is_disposed:
            return
        if error is None:
            self.succeeded.emit(slot)
            return
        self.failed.emit(_message(error))
        if not isinstance(error, AuthError):
            raise error  # a bug: Qt reports it

    @QtSlot(Qt.ApplicationState)
    def _on_activation(self, state: Qt.ApplicationState) -> None:
        auth = self._auth
        focus = getattr(auth.client, "focus", None)
        if state != Qt.ApplicationState.ApplicationActive or focus is None:
            return
        # What is closed or not started yet has nothing to look at.
        with contextlib.suppress(AuthError, RuntimeError):
            if isinstance(auth, BlockingAuth):
                focus()
            else:
                _loop_of(auth).call_soon_threadsafe(_unless_closed, focus)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AuthModel is live and cannot be pickled or copied")


def _on_done(model: weakref.ref[AuthModel], slot: str, future: Future[Any]) -> None:
    post(partial(_tell, model, slot, future))


def _tell(model: weakref.ref[AuthModel], slot: str, future: Future[Any]) -> None:
    found = model()
    if found is not None:
        found._finished(slot, future)  # pyright: ignore[reportPrivateUsage]


def _loop_of(auth: AuthProvider[Any]) -> asyncio.AbstractEventLoop:
    """Where the client is used. Raises ConfigurationError before the provider was started."""
    return auth.home.loop


def _unless_closed(call: Callable[[], object]) -> None:
    with contextlib.suppress(AuthClosed):
        call()


def _message(error: BaseException) -> str:
    """For the user, without the request's name."""
    if isinstance(error, AuthError) and error.args:
        return str(error.args[0])
    return f"unexpected {type(error).__name__}"
