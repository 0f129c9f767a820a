"""Tk: on its thread, until the widget is destroyed."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import threading
import time
import tkinter
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from reactivex.subject import Subject

from reactive_auth import (
    AuthClosed,
    BlockingAuth,
    ConfigurationError,
    WrongThread,
    connect_blocking,
)
from reactive_auth.delivery import Delivery
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer, example_server
from reactive_auth.examples.tk import Window
from reactive_auth.signal import Signal
from reactive_auth.ui.tk import call_tk, deliver_tk, refetch_on_focus

from .display import display


@pytest.fixture(scope="module", autouse=True)
def screen() -> Iterator[None]:
    with display():
        yield


class Root(tkinter.Tk):
    """Collects what reaches Tk's own handler."""

    def __init__(self) -> None:
        super().__init__()
        self.handled: list[BaseException] = []

    def report_callback_exception(self, kind: Any, error: BaseException, trace: Any) -> None:
        self.handled.append(error)


@pytest.fixture
def root() -> Iterator[Root]:
    root = Root()
    yield root
    if exists(root):
        root.destroy()
    gc.collect()


@pytest.fixture(scope="module")
def server() -> Iterator[ExampleServer]:
    with example_server() as server:
        yield server


@pytest.fixture
def auth(server: ExampleServer) -> Iterator[BlockingAuth]:
    with connect_blocking(server.url) as auth:
        yield auth


def exists(root: tkinter.Tk) -> bool:
    try:
        return bool(root.winfo_exists())
    except tkinter.TclError:
        return False


def until(root: tkinter.Tk, condition: Callable[[], object], patience: float = 10.0) -> None:
    """Turn Tk's loop until something holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "in vain"
        root.update()
        root.tk.call("after", 1)


def signal() -> Signal[int]:
    return Signal(0, Delivery())


def timers(root: tkinter.Tk) -> tuple[str, ...]:
    return root.tk.splitlist(root.tk.call("after", "info"))


def test_u6_the_view_is_called_on_tks_thread_whichever_thread_emits(root: Root) -> None:
    source, threads, shown = signal(), set[int](), list[int]()

    def view(value: int) -> None:
        threads.add(threading.get_ident())
        shown.append(value)

    deliver_tk(source, view, root)
    assert shown == [0], "at once"
    for number in range(1, 4):
        thread = threading.Thread(target=source.set, args=(number,))
        thread.start()
        until(root, lambda number=number: shown[-1] == number)
        thread.join()
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("coalesce", [True, False])
def test_a_thousand_quick_changes_end_on_the_last_value(root: Root, coalesce: bool) -> None:
    source, shown = signal(), list[int]()
    deliver_tk(source, shown.append, root, coalesce=coalesce)

    def storm() -> None:
        for number in range(1, 1001):
            source.set(number)

    thread = threading.Thread(target=storm)
    thread.start()
    until(root, lambda: shown[-1] == 1000)
    thread.join()
    assert coalesce or shown == list(range(1001))


def test_u8_l11_a_value_on_its_way_to_a_destroyed_widget_is_dropped(root: Root) -> None:
    source, shown = signal(), list[int]()
    frame = tkinter.Frame(root)
    label = tkinter.Label(frame)
    deliver_tk(source, shown.append, frame)
    source.set(1)
    label.destroy()  # a child's end is not the widget's
    until(root, lambda: shown[-1] == 1)
    source.set(2)
    frame.destroy()
    assert not source.observed
    source.set(3)
    for _ in range(5):
        root.update()
        root.tk.call("after", 10)
    assert shown == [0, 1]
    assert root.handled == []


def test_u8_a_view_may_destroy_its_widget_at_the_first_value_and_at_a_later_one(root: Root) -> None:
    source = signal()
    first, later = tkinter.Frame(root), tkinter.Frame(root)
    deliver_tk(source, lambda value: first.destroy(), first)
    deliver_tk(source, lambda value: later.destroy() if value else None, later)
    assert len(source._observers) == 1
    source.set(1)
    until(root, lambda: not source.observed)
    assert root.handled == []


def test_u8_a_destroyed_widget_is_refused(root: Root) -> None:
    source, frame = signal(), tkinter.Frame(root)
    for widget in (frame, root):
        deliver_tk(source, lambda value: None, widget)
        widget.destroy()
        with pytest.raises(tkinter.TclError):
            deliver_tk(source, lambda value: None, widget)
    assert not source.observed


def test_l2_with_the_last_subscription_the_timer_ends(root: Root) -> None:
    source, before = signal(), timers(root)
    life = deliver_tk(source, print, root)
    another = deliver_tk(source, print, tkinter.Frame(root))
    assert len(timers(root)) == len(before) + 1, "one for each root"
    another.dispose()
    life.dispose()
    until(root, lambda: timers(root) == before)
    deliver_tk(source, lambda value: None, root).dispose()
    source.complete()


def test_l3_many_subscriptions_leave_nothing_on_the_widget(root: Root) -> None:
    source = signal()
    for _ in range(200):
        deliver_tk(source, lambda value: None, root).dispose()
    assert not root._reactive_auth_lives  # type: ignore[attr-defined]
    assert root.bind("<Destroy>").count("destroyed") <= 2
    assert not source.observed


def test_what_a_view_raises_reaches_tks_handler_and_later_values_come(root: Root) -> None:
    source, shown = signal(), list[int]()

    def view(value: int) -> None:
        if value == 1:
            raise ValueError("a view's own mistake")
        shown.append(value)

    deliver_tk(source, view, root)
    source.set(1)
    until(root, lambda: root.handled)
    source.set(2)
    until(root, lambda: shown == [0, 2])
    assert [str(error) for error in root.handled] == ["a view's own mistake"]


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("disposed", "here"),
        ("disposed", "elsewhere"),
        ("done", "here"),
        ("done", "elsewhere"),
        ("destroyed", "here"),
    ],
)
def test_u7_what_the_view_holds_is_finalised_on_tks_thread(
    root: Root, how: str, where: str
) -> None:
    source, finalised = Subject[int](), list[int]()
    future = Future[int]()

    class Canary:
        def __call__(self, value: int) -> None:
            pass

    canary = Canary()
    weakref.finalize(canary, lambda: finalised.append(threading.get_ident()))
    frame = tkinter.Frame(root)
    if how == "done":
        kept = [call_tk(frame, future, canary), future]
    else:
        kept = [deliver_tk(source, canary, frame), source]
    life = kept[0]
    del canary

    def end() -> None:
        if how == "done":
            future.set_result(1)
        elif how == "disposed":
            life.dispose()

    if how == "destroyed":
        frame.destroy()
    elif where == "here":
        end()
    else:
        thread = threading.Thread(target=end)
        thread.start()
        thread.join()
        assert finalised == []
    until(root, lambda: finalised)
    assert finalised == [threading.get_ident()]
    assert kept, "the subscription itself may still be held anywhere"


def test_u7_a_destroyed_window_waits_for_no_garbage_collection() -> None:
    # That may run on any thread, and Tcl aborts the process when it is finalised on another one.
    source, window = signal(), Root()
    deliver_tk(source, lambda value: None, window)
    call_tk(window, Future[int]())
    tkinter.Frame(window)
    gone = weakref.ref(window)
    gc.disable()
    try:
        window.destroy()
        del window
        assert gone() is None
    finally:
        gc.enable()


def test_the_end_of_a_stream_ends_the_subscription_after_its_last_value(root: Root) -> None:
    source, shown, before = Subject[int](), list[object](), timers(root)
    deliver_tk(source, shown.append, root)
    deliver_tk(source, print, root, on_completed=lambda: shown.append("completed")).dispose()
    deliver_tk(source, lambda value: None, root, on_completed=lambda: shown.append("completed"))
    threading.Thread(target=lambda: (source.on_next(1), source.on_completed())).start()
    until(root, lambda: timers(root) == before)
    assert shown == [1, "completed"]


def test_a_futures_outcome_comes_on_tks_thread_and_none_after_the_end(root: Root) -> None:
    outcomes: list[object] = []
    frame = tkinter.Frame(root)
    good, bad, late, unhandled = (Future[int]() for _ in range(4))

    def seen(value: object) -> None:
        outcomes.append((threading.get_ident(), str(value)))

    call_tk(root, good, seen)
    call_tk(root, bad, seen, seen)
    call_tk(frame, late, seen, seen)
    call_tk(root, unhandled)
    frame.destroy()
    assert not late.cancelled(), "what was asked for goes on"

    def settle() -> None:
        late.set_result(3)
        good.set_result(1)
        bad.set_exception(OSError("refused"))
        unhandled.set_exception(OSError("nobody listens"))

    threading.Thread(target=settle).start()
    until(root, lambda: len(outcomes) == 2 and root.handled)
    here = threading.get_ident()
    assert outcomes == [(here, "1"), (here, "refused")]
    assert [str(error) for error in root.handled] == ["nobody listens"]


def test_u13_a_call_is_cancelled_by_disposing_and_ended_by_closing_the_provider(
    root: Root, auth: BlockingAuth
) -> None:
    outcomes: list[object] = []
    given_up, closed = Future[int](), Future[int]()
    call_tk(root, given_up, outcomes.append, outcomes.append).dispose()
    assert given_up.cancelled()
    call_tk(root, closed, outcomes.append, outcomes.append)
    late = Future[int]()
    call = call_tk(root, late, outcomes.append, outcomes.append)
    late.set_result(1)
    thread = threading.Thread(target=call.dispose)  # with the outcome on its way
    thread.start()
    thread.join()
    closed.cancel()  # as the private loop does when it ends
    until(root, lambda: outcomes)
    assert [type(outcome) for outcome in outcomes] == [AuthClosed]
    auth.close()
    refetch_on_focus(root, auth)
    root.event_generate("<FocusIn>")
    root.update()
    assert root.handled == []


def test_while_a_view_shows_a_dialog_the_other_views_follow(root: Root) -> None:
    source, shown = signal(), list[int]()
    answered = tkinter.BooleanVar(root)

    def ask(value: int) -> None:
        if value == 1:
            root.wait_variable(answered)  # as every modal dialog does: a loop within the loop

    deliver_tk(source, ask, root)
    deliver_tk(source, shown.append, root)
    deliver_tk(source, lambda value: answered.set(True) if value == 2 else None, root)
    root.after(100, source.set, 2)
    source.set(1)
    until(root, lambda: shown == [0, 1, 2] and answered.get())
    assert root.handled == []


def test_k6_a_button_may_sign_out_and_the_window_close_while_a_value_is_shown(
    root: Root, auth: BlockingAuth
) -> None:
    auth.client.sign_in_email(email=EMAIL, password=PASSWORD)
    shown: list[str] = []

    def view(state: Any) -> None:
        shown.append(state.status)
        if state.status == "signed_out":
            root.destroy()  # from within

    deliver_tk(auth.state, view, root)
    button = tkinter.Button(root, command=lambda: auth.client.sign_out())  # re-entrant, blocking
    button.invoke()
    end = time.monotonic() + 10
    while exists(root) and time.monotonic() < end:
        root.update()
    assert (shown[0], shown[-1]) == ("signed_in", "signed_out")
    assert not auth.state.observed


def test_closing_the_provider_while_values_are_on_their_way_harms_nothing(root: Root) -> None:
    server = EmbeddedServer()
    with server.serve() as url, connect_blocking(url) as auth:
        shown: list[str] = []
        deliver_tk(auth.state, lambda state: shown.append(state.status), root)
        auth.client.sign_up_email(email="x@example.com", password=PASSWORD, name="X")
        before = threading.active_count()
        auth.close()
        assert threading.active_count() == before - 2
        until(root, lambda: not timers(root))
    server.close()
    assert root.handled == []


def test_u7_another_thread_is_refused_and_so_is_what_is_no_widget(root: Root) -> None:
    source = signal()
    deliver_tk(source, lambda value: None, root)
    caught: list[Exception] = []

    def elsewhere() -> None:
        try:
            deliver_tk(source, print, root)
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [type(error) for error in caught] == [WrongThread]
    bad: list[Callable[[], object]] = [
        lambda: deliver_tk(source, print, "window"),  # type: ignore[arg-type]
        lambda: deliver_tk(None, print, root),  # type: ignore[arg-type]
        lambda: deliver_tk(source, None, root),  # type: ignore[arg-type]
        lambda: call_tk(root, "future"),  # type: ignore[arg-type]
    ]
    for call in bad:
        with pytest.raises(ConfigurationError):
            call()
    assert len(root._reactive_auth_lives) == 1  # type: ignore[attr-defined]


def test_coming_back_to_the_window_looks_at_the_session(root: Root, auth: BlockingAuth) -> None:
    asked: list[bool] = []
    auth.client.focus = lambda: asked.append(True)  # type: ignore[method-assign]
    entry = tkinter.Entry(root)
    entry.pack()
    refetch_on_focus(root, auth)
    root.update()
    entry.event_generate("<FocusIn>")
    root.update()
    asked.clear()
    root.event_generate("<FocusIn>")
    until(root, lambda: asked)


def test_without_tkinter_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['tkinter'] = None; import reactive_auth.ui.tk"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "python3-tk" in run.stderr


def test_the_app_shows_errors_rotation_outage_and_sign_out(
    root: Root, auth: BlockingAuth, server: ExampleServer
) -> None:
    window = Window(root, auth, server)
    headlines: list[str] = []
    deliver_tk(auth.state, lambda _: headlines.append(window.headline.cget("text")), root)

    def message() -> str:
        return str(window.message.cget("text"))

    def headline() -> str:
        return str(window.headline.cget("text"))

    until(root, lambda: headline() == "Signed out" and window.form.winfo_ismapped())
    window.email.insert(0, EMAIL)
    window.password.insert(0, "wrong horse")
    window.sign_in.invoke()
    until(root, lambda: "password" in message().lower())
    window.password.delete(0, "end")
    window.password.insert(0, PASSWORD)
    window.sign_in.invoke()
    until(root, lambda: headline() == "Ada Lovelace" and window.account.winfo_ismapped())
    until(root, lambda: re.fullmatch(r"1:\d\d", window.token.cget("text")))
    first = window.session.cget("text")
    headlines.clear()
    window.current.insert(0, PASSWORD)
    window.new.insert(0, PASSWORD)
    window.change.invoke()
    until(root, lambda: window.session.cget("text") != first)
    until(root, lambda: message() == "Password changed, session renewed")
    assert set(headlines) <= {"Ada Lovelace"}, "no flicker"
    assert window.current.get() == ""
    window.outage.invoke()
    until(root, lambda: headline() == "Ada Lovelace · reconnecting…")
    assert window.account.winfo_ismapped()
    until(root, lambda: not window.outage.instate(["disabled"]))
    window.outage.invoke()
    until(root, lambda: headline() == "Ada Lovelace")
    until(root, lambda: not window.sign_out.instate(["disabled"]))
    window.sign_out.invoke()
    until(root, lambda: headline() == "Signed out" and window.form.winfo_ismapped())
    assert root.handled == []
