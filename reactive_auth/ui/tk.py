"""Streams in a Tk program.

    deliver_tk(auth.state, lambda state: label.configure(text=headline(state)), label)
    call_tk(window, auth.client.sign_in_email.future(email=…, password=…), on_error=show_error)
    refetch_on_focus(window, auth)

Tk may be called on its own thread only, ``after`` included: values wait in a queue, which is
drained there every 10 to 50 ms while anything is followed. ``auth`` is what ``connect_blocking``
returns.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..blocking import BlockingAuth
from ..errors import AuthClosed, ConfigurationError, WrongThread
from .seam import deliver

try:
    import tkinter
except ImportError as error:  # Python is often packaged without it
    raise ImportError(
        "this Python has no tkinter: install your system's package for it (python3-tk, say)",
        name="tkinter",
    ) from error

__all__ = ["call_tk", "deliver_tk", "refetch_on_focus"]

T = TypeVar("T")

#: How often the queue is looked at (milliseconds): while values come, and when none do.
_BUSY, _IDLE = 10, 50


def deliver_tk(
    stream: Observable[T],
    view: Callable[[T], object],
    widget: tkinter.Misc,
    *,
    coalesce: bool = True,
    on_completed: Callable[[], object] | None = None,
) -> abc.DisposableBase:
    """Call ``view`` with the values of ``stream`` on Tk's thread until ``widget`` is destroyed.

    As :func:`~reactive_auth.ui.deliver`, so call it there: a Signal's current value is given
    before it returns. What the view raises goes to Tk's ``report_callback_exception``.

    :param coalesce: give only the newest of several values; see ``deliver``.
    :param on_completed: called, also there, when the stream is over.
    :raises WrongThread: this is not the thread on which it was first called.
    :raises ConfigurationError: an argument that can never work.
    :raises tkinter.TclError: the widget is destroyed.
    """
    if not callable(view):
        raise ConfigurationError("deliver_tk() needs a view that can be called")
    life = _pump_of(widget).enter(widget, view, on_completed)
    try:
        life.child = deliver(
            stream, life.give, life.post, coalesce=coalesce, on_completed=life.complete
        )
    except BaseException:
        life.dispose()
        raise
    if life.disposed:  # by the view, which destroyed the widget
        life.child.dispose()
    return life


def call_tk(
    widget: tkinter.Misc,
    future: Future[T],
    on_done: Callable[[T], object] | None = None,
    on_error: Callable[[Exception], object] | None = None,
) -> abc.DisposableBase:
    """Give a future's outcome to ``on_done`` or ``on_error`` on Tk's thread, without waiting for
    it: ``call_tk(window, auth.client.sign_out.future())``.

    Nothing is given once ``widget`` is destroyed; the call itself goes on. Disposing cancels it if
    it is still under way. When the provider is closed meanwhile, the error is AuthClosed. Without
    ``on_error`` an error goes to Tk's ``report_callback_exception``.

    :raises WrongThread: this is not Tk's thread.
    :raises ConfigurationError: an argument that can never work.
    """
    if not isinstance(future, Future):
        raise ConfigurationError("call_tk() needs a future, such as auth.client.sign_out.future()")

    def tell(future: Future[T]) -> None:
        try:
            result = future.result()
        except CancelledError:
            error: Exception = AuthClosed("the provider was closed during the call")
        except Exception as raised:
            error = raised
        else:
            if on_done is not None:
                on_done(result)
            return
        if on_error is None:
            raise error
        on_error(error)

    life = _pump_of(widget).enter(widget, tell)

    def cancel() -> None:
        future.cancel()

    future.add_done_callback(lambda done: life.post(lambda: life.give_last(done)))
    return CompositeDisposable(life, Disposable(cancel))


def refetch_on_focus(window: tkinter.Tk | tkinter.Toplevel, auth: BlockingAuth) -> None:
    """Look at the session when the user comes back to a window, at most every 5 seconds."""

    def focus(event: tkinter.Event[Any]) -> None:
        if event.widget is window:
            with contextlib.suppress(AuthClosed):
                auth.client.focus()

    window.bind("<FocusIn>", focus, add="+")


class _Pump:
    """One for each Tk root: the queue, and the timer that drains it while it is needed."""

    def __init__(self, root: tkinter.Tk) -> None:
        self._root: tkinter.Tk | None = root
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread = threading.get_ident()
        self._command = root.register(self._turn)  # once: after() would make one each time
        self._waiting = False
        self._interval = _BUSY
        self._lives: set[_Life] = set()
        root.bind("<Destroy>", self._destroyed, add="+")

    def post(self, callback: Callable[[], object]) -> None:
        """From any thread. No call of Tk."""
        self._queue.put(callback)

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def enter(
        self,
        widget: tkinter.Misc,
        view: Callable[[Any], object],
        on_completed: Callable[[], object] | None = None,
    ) -> _Life:
        if not self.is_here():
            raise WrongThread("Tk is used on its own thread only")
        life = _Life(self, widget, view, on_completed)
        self._lives.add(life)
        self._arm()
        return life

    def leave(self, life: _Life) -> None:
        self._lives.discard(life)

    def _arm(self) -> None:
        if self._root is not None and self._lives and not self._waiting:
            self._waiting = True
            self._root.tk.call("after", self._interval, self._command)

    def _turn(self) -> None:
        self._waiting = False
        self._interval = min(_IDLE, self._interval + 5) if self._queue.empty() else _BUSY
        self._arm()  # first: a view may open a dialog, which runs Tk's loop until it is answered
        for _ in range(self._queue.qsize()):
            try:
                callback = self._queue.get_nowait()
            except queue.Empty:  # by a turn in between
                return
            callback()  # what it raises is Tk's to report, and the rest has its turn already

    def _destroyed(self, event: tkinter.Event[Any]) -> None:
        if event.widget is not self._root:
            return
        for life in tuple(self._lives):
            life.end()
        self._root = None


class _Life(abc.DisposableBase):
    """Until it is disposed of, or its widget destroyed.

    It holds the view, and the pump holds it: whichever thread ends or forgets a subscription, what
    the view refers to of Tk's is finalised on Tk's thread (HAZARDS U7).
    """

    def __init__(
        self,
        pump: _Pump,
        widget: tkinter.Misc,
        view: Callable[[Any], object],
        on_completed: Callable[[], object] | None,
    ) -> None:
        self.child: abc.DisposableBase | None = None
        self.disposed = False
        self.post = pump.post
        self._pump = pump
        self._view: Callable[[Any], object] | None = view
        self._on_completed = on_completed
        self._of_widget = _lives_of(widget)
        self._of_widget.add(self)

    def give(self, value: object) -> None:
        if self._view is not None:
            self._view(value)

    def give_last(self, value: object) -> None:
        view = self._view
        if not self.disposed and view is not None:
            self.end()
            view(value)

    def complete(self) -> None:
        on_completed = self._on_completed
        self.end()
        if on_completed is not None:
            on_completed()

    def dispose(self) -> None:
        """From any thread."""
        self.disposed = True
        if self._pump.is_here():
            self.end()
            return
        if self.child is not None:
            self.child.dispose()
        self.post(self.end)

    def end(self) -> None:
        """On Tk's thread."""
        self.disposed = True
        self._view = self._on_completed = None
        self._of_widget.discard(self)
        self._pump.leave(self)
        if self.child is not None:
            self.child.dispose()


def _pump_of(widget: tkinter.Misc) -> _Pump:
    if not isinstance(widget, tkinter.Misc):
        raise ConfigurationError("a Tk widget is needed, whose end is the end of this")
    root = cast("tkinter.Tk", widget.nametowidget("."))
    pump: _Pump | None = root.__dict__.get("_reactive_auth_pump")
    if pump is None:
        pump = root.__dict__["_reactive_auth_pump"] = _Pump(root)
    return pump


def _lives_of(widget: tkinter.Misc) -> set[_Life]:
    """What ends with a widget. Bound once: Tk's ``unbind`` would take away others' bindings."""
    lives: set[_Life] | None = widget.__dict__.get("_reactive_auth_lives")
    if lives is not None:
        return lives
    mine: set[_Life] = set()

    def destroyed(event: tkinter.Event[Any]) -> None:
        if event.widget is widget:
            widget.__dict__.pop("_reactive_auth_lives", None)
            for life in tuple(mine):
                life.end()

    widget.bind("<Destroy>", destroyed, add="+")
    widget.__dict__["_reactive_auth_lives"] = mine
    return mine
