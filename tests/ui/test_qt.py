"""Qt: the right thread, the right lifetime, the current state; PySide6 here, PyQt6 in a process
of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FunctionType
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_QUICK_BACKEND", "software")

import pytest
import qasync
import qtpy
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, QUrl
from qtpy.QtQml import QQmlComponent, QQmlEngine
from qtpy.QtWidgets import QApplication, QDialog, QLabel, QWidget
from reactivex.subject import Subject

from reactive_auth import (
    AuthProvider,
    AuthState,
    BlockingAuth,
    ConfigurationError,
    WrongThread,
    connect,
    connect_blocking,
)
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.examples.qt import Window, main
from reactive_auth.examples.qt_quick import load
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer, example_server
from reactive_auth.models import AccessToken
from reactive_auth.testing import FakeAuthClient
from reactive_auth.ui.qt import AuthModel, deliver_qt, post

# Qt only warns of what is done on the wrong thread.
pytestmark = [pytest.mark.qt_log_level_fail("WARNING"), pytest.mark.qt_log_ignore("propagateSize")]

NEW_PASSWORD = "battery staple"


# -- what the tests share --------------------------------------------------------------------


def elsewhere(call: Callable[[], object]) -> None:
    """Call on another thread, and wait for its end."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert not failures


def delete(thing: QObject) -> None:
    """Destroy a C++ object now."""
    if qtpy.PYSIDE6:
        from shiboken6 import delete
    else:
        from PyQt6.sip import delete
    delete(thing)


def turn() -> None:
    """Let Qt do what is due now, deferred deletions too."""
    for _ in range(3):
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


class Loop:
    """An event loop on a thread of its own, as an app with asyncio parts has one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def call(self, function: Callable[[], object]) -> Any:
        async def call() -> object:
            return function()

        return self.run(call())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


@contextlib.contextmanager
def fake_auth(loop: Loop, **options: Any) -> Generator[tuple[FakeAuthClient, AuthProvider[Any]]]:
    async def start() -> tuple[FakeAuthClient, AuthProvider[Any]]:
        client = FakeAuthClient(**options)
        return client, await AuthProvider(client).__aenter__()

    client, auth = loop.run(start())
    try:
        yield client, auth
    finally:
        loop.run(auth.aclose())


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    with connect_blocking(server.url, transport=server.transport) as auth:
        auth.client.sign_up_email(email=EMAIL, password=PASSWORD, name="Ada Lovelace")
    yield server
    server.close()


@pytest.fixture
def auth(server: EmbeddedServer, qapp: QApplication) -> Iterator[BlockingAuth]:
    server.faults.clear()
    with connect_blocking(server.url, transport=server.transport) as auth:
        yield auth


@pytest.fixture
def model(auth: BlockingAuth, qtbot: QtBot) -> Iterator[AuthModel]:
    """Signed out, as the server itself said."""
    model = AuthModel(auth)
    qtbot.waitUntil(lambda: model.status == "signed_out")
    yield model
    delete(model)


def signed_in(model: AuthModel, qtbot: QtBot) -> AuthModel:
    with qtbot.waitSignal(model.succeeded):
        model.signIn(EMAIL, PASSWORD)
    qtbot.waitUntil(lambda: model.hasToken and model.tokenRemaining != "–")
    return model


class Told:
    """Everything a model tells, in order."""

    def __init__(self, model: AuthModel, *names: str) -> None:
        self.values: list[object] = []
        self.threads: set[int] = set()
        for name in names:
            getattr(model, name).connect(self.hear)

    def hear(self, value: object = None) -> None:
        self.values.append(value)
        self.threads.add(threading.get_ident())


# -- which binding ---------------------------------------------------------------------------


def test_this_run_is_of_the_binding_it_says() -> None:
    assert os.environ.get("EXPECTED_QT", "PySide6") == qtpy.API_NAME
    assert type(AuthModel).__module__.partition(".")[0] in ("Shiboken", "PyQt6", "sip")


def test_everything_here_holds_with_pyqt6_too() -> None:
    this = "test_everything_here_holds_with_pyqt6_too"
    names = {"QT_API": "pyqt6", "PYTEST_QT_API": "pyqt6", "EXPECTED_QT": "PyQt6"}
    names["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # most of the time to start
    options = ["-q", "-p", "pytestqt.plugin", "-p", "no:cacheprovider", "-k", f"not {this}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, __file__],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, **names},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"(\d+) passed", run.stdout)
    here = [name for name in globals() if name.startswith("test_")]
    assert passed
    assert int(passed[1]) >= len(here) - 1
    assert "skipped" not in run.stdout


# -- the right thread ------------------------------------------------------------------------


@pytest.mark.parametrize("coalesce", [True, False])
def test_u6_values_from_any_thread_are_given_on_the_gui_thread(
    qtbot: QtBot, coalesce: bool
) -> None:
    stream: Subject[int] = Subject()
    seen: list[tuple[int, int]] = []
    shown = deliver_qt(stream, lambda n: seen.append((n, threading.get_ident())), coalesce=coalesce)
    elsewhere(lambda: stream.on_next(1))
    assert not seen  # never on the thread that emits, nor before the GUI thread is free
    qtbot.waitUntil(lambda: len(seen) == 1)
    stream.on_next(2)  # also from the GUI thread itself: in a turn of its own
    assert len(seen) == 1
    qtbot.waitUntil(lambda: len(seen) == 2)
    assert seen == [(1, threading.get_ident()), (2, threading.get_ident())]
    shown.dispose()


def test_u6_values_from_an_event_loop_on_another_thread(qtbot: QtBot, loop: Loop) -> None:
    with fake_auth(loop) as (client, auth):
        seen: list[tuple[str, int]] = []
        shown = deliver_qt(
            auth.state, lambda state: seen.append((state.status, threading.get_ident()))
        )
        assert seen == [("unknown", threading.get_ident())]  # at once: no flash of nothing
        loop.call(client.sign_in)
        qtbot.waitUntil(lambda: seen[-1][0] == "signed_in")
        assert {thread for _, thread in seen} == {threading.get_ident()}
        shown.dispose()


def test_u6_post_may_be_called_on_any_thread(qtbot: QtBot) -> None:
    seen: list[int] = []
    elsewhere(lambda: post(lambda: seen.append(threading.get_ident())))
    qtbot.waitUntil(lambda: seen == [threading.get_ident()])


def test_what_is_posted_goes_in_order_and_leaves_qt_its_turns(qtbot: QtBot) -> None:
    seen: list[object] = []

    def again() -> None:
        seen.append("again")
        if "timer" not in seen:
            post(again)

    for n in range(3):
        post(lambda n=n: seen.append(n))
    post(again)
    QTimer.singleShot(0, lambda: seen.append("timer"))
    qtbot.waitUntil(lambda: "timer" in seen)
    assert seen[:4] == [0, 1, 2, "again"]
    turn()


def test_what_is_posted_may_run_qts_loop(qtbot: QtBot) -> None:
    seen: list[int] = []

    def first() -> None:
        turn()
        seen.append(1)

    post(first)
    post(lambda: seen.append(2))
    qtbot.waitUntil(lambda: seen == [2, 1])
    turn()


def test_subscribing_on_another_thread_is_refused(qapp: QApplication) -> None:
    def subscribe() -> None:
        with pytest.raises(WrongThread):
            deliver_qt(Subject[int](), print)

    elsewhere(subscribe)


def test_arguments_that_cannot_work_fail_at_the_call(qapp: QApplication) -> None:
    nonsense: Any = "no stream"
    with pytest.raises(ConfigurationError, match="observable"):
        deliver_qt(nonsense, print)
    with pytest.raises(ConfigurationError, match="view"):
        deliver_qt(Subject[int](), nonsense)
    with pytest.raises(ConfigurationError, match="parent"):
        deliver_qt(Subject[int](), print, nonsense)
    with pytest.raises(ConfigurationError, match="AuthModel"):
        AuthModel(nonsense)


def test_without_an_application_the_error_says_what_to_do() -> None:
    script = """
from reactivex.subject import Subject
from reactive_auth.ui.qt import deliver_qt, post
for call in (lambda: deliver_qt(Subject(), print), lambda: post(print)):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "ConfigurationError make the QApplication first\n" * 2


@pytest.mark.parametrize("missing", ["qtpy", "PySide6,PyQt6,PyQt5,PySide2"])
def test_without_the_package_the_import_error_names_the_extra(missing: str) -> None:
    script = f"""
import sys
sys.modules.update(dict.fromkeys({missing!r}.split(",")))
import reactive_auth.ui
import reactive_auth.ui.qt
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 'ImportError: qtpy is not installed: pip install "reactive-auth[qt]"' in run.stderr


# -- the current state -----------------------------------------------------------------------


def test_a_thousand_quick_changes_end_on_the_last(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    newest: list[int] = []
    every: list[int] = []
    shown = [
        deliver_qt(stream, newest.append),
        deliver_qt(stream, every.append, coalesce=False),
    ]
    elsewhere(lambda: [stream.on_next(n) for n in range(1000)])
    qtbot.waitUntil(lambda: len(every) == 1000)
    assert every == list(range(1000))
    qtbot.waitUntil(lambda: newest[-1:] == [999])
    assert len(newest) == 1  # the GUI thread was busy meanwhile: one repaint for all
    for each in shown:
        each.dispose()


def test_a_thousand_quick_changes_of_the_session_end_on_the_last(qtbot: QtBot, loop: Loop) -> None:
    with fake_auth(loop) as (client, auth):
        label = QLabel()
        qtbot.addWidget(label)
        deliver_qt(auth.state, lambda state: label.setText(state.user and state.user.id), label)
        loop.call(lambda: [client.sign_in("A", f"u{n}") for n in range(1000)])
        qtbot.waitUntil(lambda: label.text() == "u999")


def test_an_end_is_told_on_the_gui_thread_after_the_last_value(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    seen: list[object] = []
    deliver_qt(stream, seen.append, on_completed=lambda: seen.append(threading.get_ident()))

    def emit() -> None:
        stream.on_next(1)
        stream.on_completed()

    elsewhere(emit)
    qtbot.waitUntil(lambda: seen == [1, threading.get_ident()])


@pytest.mark.parametrize("coalesce", [True, False])
def test_what_a_view_raises_goes_to_qt_and_later_values_come(qtbot: QtBot, coalesce: bool) -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []

    def view(n: int) -> None:
        seen.append(n)
        if n == 1:
            raise ValueError("of the view")

    shown = deliver_qt(stream, view, coalesce=coalesce)
    with qtbot.captureExceptions() as raised:
        stream.on_next(1)
        stream.on_next(2) if not coalesce else None
        qtbot.waitUntil(lambda: len(raised) == 1)
    assert raised[0][0] is ValueError
    elsewhere(lambda: stream.on_next(3))
    qtbot.waitUntil(lambda: seen[-1] == 3)
    assert seen == ([1, 3] if coalesce else [1, 2, 3])
    shown.dispose()


def test_what_a_view_raises_at_its_first_value_is_the_callers_and_nothing_is_left(
    qtbot: QtBot, loop: Loop
) -> None:
    with fake_auth(loop) as (_, auth):
        parent = QObject()
        before = links()
        with pytest.raises(ZeroDivisionError):
            deliver_qt(auth.state, lambda _: 1 // 0, parent)
        turn()  # PyQt lets go a turn later
        assert links() == before
        assert not auth.state.observed
        delete(parent)


# -- the right lifetime ----------------------------------------------------------------------


def test_u8_a_value_on_its_way_to_a_destroyed_parent_is_dropped(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    label = QLabel()
    deliver_qt(stream, lambda n: label.setText(str(n)), label)
    elsewhere(lambda: stream.on_next(1))
    delete(label)  # setText would raise now, which fails the test
    turn()
    assert not stream.observers
    elsewhere(lambda: stream.on_next(2))
    turn()


def test_u8_a_child_goes_with_its_window(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    window = QWidget()
    child = QLabel(window)
    seen: list[int] = []
    deliver_qt(stream, seen.append, child)
    stream.on_next(1)
    qtbot.waitUntil(lambda: seen == [1])
    stream.on_next(2)
    window.deleteLater()
    turn()
    qtbot.waitUntil(lambda: not stream.observers)
    elsewhere(lambda: stream.on_next(3))
    turn()
    assert seen[-1] != 3


class Panel(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def show_number(self, n: int) -> None:
        self.seen.append(n)


def test_u8_a_method_goes_with_its_widget_and_keeps_it_not_alive(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    panel = Panel()
    seen = panel.seen
    deliver_qt(stream, panel.show_number)
    gc.collect()  # the subscription lives although nobody holds it
    elsewhere(lambda: stream.on_next(1))
    qtbot.waitUntil(lambda: seen == [1])
    elsewhere(lambda: stream.on_next(2))
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None
    assert not stream.observers
    turn()


def test_u8_a_method_goes_with_its_widget_whatever_the_parent(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    panel, parent = Panel(), QObject()
    deliver_qt(stream, panel.show_number, parent)
    delete(panel)
    assert not stream.observers
    other = Panel()
    deliver_qt(stream, other.show_number, parent)
    delete(parent)
    assert not stream.observers
    delete(other)


def test_u8_a_view_may_destroy_its_parent_at_the_first_value(qtbot: QtBot, loop: Loop) -> None:
    with fake_auth(loop) as (client, auth):
        window = QWidget()
        seen: list[AuthState] = []

        def view(state: AuthState) -> None:
            seen.append(state)
            delete(window)

        deliver_qt(auth.state, view, window)
        assert not auth.state.observed
        loop.call(client.sign_in)
        turn()
        assert len(seen) == 1


def test_l11_nothing_is_given_after_dispose(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []
    shown = deliver_qt(stream, seen.append, coalesce=False)
    elsewhere(lambda: [stream.on_next(n) for n in range(3)])
    shown.dispose()
    turn()
    assert not seen
    assert not stream.observers


def test_l11_a_view_may_dispose_of_itself(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []

    def view(n: int) -> None:
        seen.append(n)
        shown.dispose()

    shown = deliver_qt(stream, view, coalesce=False)
    elsewhere(lambda: [stream.on_next(n) for n in range(3)])
    turn()
    assert seen == [0]


class Finalised:
    """A view that says on which thread it went."""

    def __init__(self, threads: list[int]) -> None:
        self.threads = threads

    def __call__(self, value: object) -> None:
        pass

    def __del__(self) -> None:
        self.threads.append(threading.get_ident())


def test_l8_dispose_on_another_thread_lets_go_of_the_view_on_the_gui_thread(
    qtbot: QtBot, loop: Loop
) -> None:
    with fake_auth(loop) as (_, auth):
        threads: list[int] = []
        shown = deliver_qt(auth.state, Finalised(threads))
        elsewhere(shown.dispose)
        elsewhere(lambda: loop.call(gc.collect))
        qtbot.waitUntil(lambda: bool(threads))
        assert threads == [threading.get_ident()]


def links() -> int:
    """How many subscriptions wait for the end of an object."""
    gc.collect()
    name = f"{deliver_qt.__name__}.<locals>.end"
    functions = (each for each in gc.get_objects() if isinstance(each, FunctionType))
    return sum(each.__qualname__ == name for each in functions)


def test_l3_views_that_come_and_go_leave_nothing_behind(qtbot: QtBot) -> None:
    stream: Subject[int] = Subject()
    parent = QObject()
    threads: list[int] = []
    before = links()
    shown = deliver_qt(stream, Finalised(threads), parent)
    assert links() == before + 1
    shown.dispose()
    for _ in range(300):
        deliver_qt(stream, Finalised(threads), parent).dispose()
    turn()
    del shown
    assert links() == before
    assert len(threads) == 301
    assert not stream.observers
    delete(parent)


def test_l3_a_stream_that_ended_leaves_nothing_behind(qtbot: QtBot) -> None:
    parent = QObject()
    threads: list[int] = []
    stream: Subject[int] = Subject()
    deliver_qt(stream, Finalised(threads), parent)
    elsewhere(stream.on_completed)
    turn()
    del stream
    gc.collect()
    assert threads == [threading.get_ident()]
    delete(parent)


def test_k6_a_view_may_sign_out_close_and_wait_for_both(
    server: EmbeddedServer, qtbot: QtBot
) -> None:
    auth = connect_blocking(server.url, transport=server.transport)
    seen: list[str] = []

    def view(state: AuthState) -> None:
        seen.append(state.status)
        if state.has_token and "out" not in seen:
            auth.client.sign_out()  # blocks the GUI thread: nothing it waits for needs that one
            seen.append("out")
            auth.close()
            seen.append("closed")

    shown = deliver_qt(auth.state, view)
    auth.client.sign_in_email(email=EMAIL, password=PASSWORD)
    qtbot.waitUntil(lambda: "closed" in seen and seen[-1] == "signed_out")
    shown.dispose()


def test_l1_close_and_destroy_leave_no_thread_and_no_timer(
    server: EmbeddedServer, qtbot: QtBot
) -> None:
    before = set(threading.enumerate())
    auth = connect_blocking(server.url, transport=server.transport)
    model = AuthModel(auth)
    signed_in(model, qtbot)
    timers = model.findChildren(QTimer)
    assert [timer.isActive() for timer in timers] == [True]
    auth.close()
    qtbot.waitUntil(lambda: not timers[0].isActive())
    assert set(threading.enumerate()) <= before
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    turn()


# -- AuthModel -------------------------------------------------------------------------------


def test_u1_the_first_state_is_loading_and_never_signed_out(qtbot: QtBot, loop: Loop) -> None:
    with fake_auth(loop) as (client, auth):
        model = AuthModel(auth)
        told = Told(model, "statusChanged")
        assert (model.status, model.isLoading, model.isAuthenticated) == ("unknown", True, False)
        assert (model.headline, model.tokenRemaining) == ("Connecting…", "–")
        loop.call(client.sign_in)
        qtbot.waitUntil(lambda: model.isAuthenticated)
        assert told.values == ["signed_in"]
        delete(model)


def test_sign_up_and_sign_out_show_in_every_property(model: AuthModel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(model.succeeded) as done:
        model.signUp("eve@example.com", PASSWORD, "Eve")
    assert done.args == ["signUp"]
    qtbot.waitUntil(lambda: model.hasToken)
    assert (model.status, model.isLoading, model.isAuthenticated) == ("signed_in", False, True)
    assert (model.userName, model.userEmail, model.headline) == ("Eve", "eve@example.com", "Eve")
    assert len(model.sessionId) == 8
    assert model.trouble == ""
    with qtbot.waitSignal(model.succeeded) as done:
        model.signOut()
    assert done.args == ["signOut"]
    qtbot.waitUntil(lambda: model.status == "signed_out")
    assert (model.userName, model.userEmail, model.sessionId) == ("", "", "")
    assert (model.hasToken, model.isAuthenticated) == (False, False)
    qtbot.waitUntil(lambda: model.tokenRemaining == "–")


def test_each_change_is_told_once_with_all_properties_already_set(
    model: AuthModel, qtbot: QtBot
) -> None:
    told: list[tuple[str, object, str]] = []
    for name in ("status", "userName", "headline", "sessionId"):
        getattr(model, f"{name}Changed").connect(
            lambda value, name=name: told.append((name, value, model.userEmail))
        )
    signed_in(model, qtbot)
    assert ("status", "signed_in", EMAIL) in told
    assert ("userName", "Ada Lovelace", EMAIL) in told
    assert len({name for name, _, _ in told}) == len(told)


def test_u13_a_slot_returns_at_once_and_busy_says_that_it_goes_on(
    model: AuthModel, server: EmbeddedServer, qtbot: QtBot
) -> None:
    server.faults.hang("/sign-in/email", times=1)
    busy = Told(model, "busyChanged")
    model.signIn(EMAIL, PASSWORD)
    assert model.busy
    qtbot.waitUntil(lambda: server.requests[-1].path == "/sign-in/email")
    calls = set(model._calls)
    model.cancel()
    assert [call.cancelled() for call in calls] == [True]
    assert not model.busy
    assert busy.values == [True, False]
    assert not model.isAuthenticated


def test_u13_what_was_cancelled_is_told_no_more(
    model: AuthModel, server: EmbeddedServer, qtbot: QtBot
) -> None:
    told = Told(model, "failed", "succeeded")
    server.faults.delay("/get-session", 0.05, times=1)
    model.refetch()
    model.cancel()
    model.refetch()
    qtbot.waitUntil(lambda: told.values == ["refetch"])
    assert not model.busy


def test_a_refusal_is_a_message_for_the_user_on_the_gui_thread(
    model: AuthModel, qtbot: QtBot
) -> None:
    told = Told(model, "failed")
    with qtbot.waitSignal(model.failed):
        model.signIn(EMAIL, "wrong horse")
    assert told.values == ["Invalid email or password"]
    assert told.threads == {threading.get_ident()}
    assert not model.busy
    assert model.status == "signed_out"


def test_r6_a_password_change_shows_another_session_and_never_another_status(
    model: AuthModel, qtbot: QtBot
) -> None:
    signed_in(model, qtbot)
    before = model.sessionId
    told = Told(model, "statusChanged", "headlineChanged", "isAuthenticatedChanged")
    with qtbot.waitSignal(model.succeeded):
        model.changePassword(PASSWORD, NEW_PASSWORD)
    qtbot.waitUntil(lambda: model.sessionId != before)
    assert model.sessionId
    between = model.sessionId
    with qtbot.waitSignal(model.succeeded):
        model.changePassword(NEW_PASSWORD, PASSWORD, False)
    assert model.sessionId == between
    assert told.values == []


def test_f1_an_outage_keeps_the_user_and_is_over_when_it_is_over(
    model: AuthModel, server: EmbeddedServer, qtbot: QtBot
) -> None:
    signed_in(model, qtbot)
    server.faults.down()
    with qtbot.waitSignal(model.failed):
        model.refetch()
    qtbot.waitUntil(lambda: model.headline == "Ada Lovelace · reconnecting…")
    assert model.isAuthenticated
    assert model.trouble
    server.faults.up()
    with qtbot.waitSignal(model.succeeded):
        model.refetch()
    qtbot.waitUntil(lambda: model.headline == "Ada Lovelace" and not model.trouble)


def test_f8_signing_out_in_an_outage_is_done_here_and_told(
    model: AuthModel, server: EmbeddedServer, qtbot: QtBot
) -> None:
    signed_in(model, qtbot)
    server.faults.down()
    with qtbot.waitSignal(model.failed):
        model.signOut()
    qtbot.waitUntil(lambda: model.status == "signed_out")


def test_the_token_is_counted_down_by_a_timer_that_runs_only_with_one(
    qtbot: QtBot, loop: Loop
) -> None:
    with fake_auth(loop, lifetime=75) as (client, auth):
        model = AuthModel(auth)
        (timer,) = model.findChildren(QTimer)
        assert not timer.isActive()
        loop.call(client.sign_in)
        qtbot.waitUntil(lambda: model.tokenRemaining in ("1:15", "1:14"))
        assert timer.isActive()
        assert 0 < timer.interval() <= 1001
        told = Told(model, "tokenRemainingChanged")
        qtbot.waitUntil(lambda: len(told.values) == 1)
        assert told.values in (["1:14"], ["1:13"])
        loop.call(client.sign_out)
        qtbot.waitUntil(lambda: model.tokenRemaining == "–")
        assert not timer.isActive()
        delete(model)


def test_a_token_that_ran_out_stops_the_timer(qtbot: QtBot) -> None:
    now = datetime.now(UTC)
    token = AccessToken("t", "A", now - timedelta(minutes=1), now - timedelta(seconds=1))

    async def scenario() -> None:
        async with AuthProvider(FakeAuthClient()) as auth:
            model = AuthModel(auth)
            model._show_token(token)
            assert model.tokenRemaining == "0:00"
            assert not model.findChildren(QTimer)[0].isActive()
            delete(model)

    asyncio.run(scenario())


@pytest.mark.parametrize("right", [True, False])
def test_s2_a_password_is_never_kept(model: AuthModel, qtbot: QtBot, right: bool) -> None:
    password = " ".join(["hunter", "2" * 9])  # a string of which there is no other copy
    before = sys.getrefcount(password)
    with qtbot.waitSignal(model.succeeded if right else model.failed):
        if right:
            model.signUp("joy@example.com", password, "Joy")
        else:
            model.signIn(EMAIL, password)

    def let_go() -> bool:
        gc.collect()  # a refusal's traceback may be part of a cycle
        return sys.getrefcount(password) == before

    qtbot.waitUntil(let_go)


def test_focus_looks_at_the_session_and_u2_an_equal_answer_tells_nothing(
    model: AuthModel, server: EmbeddedServer, qapp: QApplication, qtbot: QtBot
) -> None:
    signed_in(model, qtbot)
    told = Told(model, "statusChanged", "isLoadingChanged", "isRefreshingChanged", "troubleChanged")
    asked = server.count("/get-session")
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationInactive)
    with qtbot.waitSignal(model.succeeded):  # a request later: nothing was on its way
        model.refetch()
    assert server.count("/get-session") == asked + 1
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    qtbot.waitUntil(lambda: server.count("/get-session") == asked + 2)
    with qtbot.waitSignal(model.succeeded):
        model.refetch()
    assert server.count("/get-session") == asked + 3
    assert told.values == []


def test_focus_after_close_is_no_error(
    model: AuthModel, auth: BlockingAuth, qapp: QApplication, qtbot: QtBot
) -> None:
    auth.close()
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    with qtbot.waitSignal(model.failed) as failed:
        model.refetch()
    assert failed.args == ["the provider is closed"]
    assert not model.busy


def test_closing_during_a_call_ends_it(
    model: AuthModel, auth: BlockingAuth, server: EmbeddedServer, qtbot: QtBot
) -> None:
    server.faults.hang("/sign-in/email", times=1)
    asked = server.count("/sign-in/email")
    model.signIn(EMAIL, PASSWORD)
    qtbot.waitUntil(lambda: server.count("/sign-in/email") == asked + 1)
    with qtbot.waitSignal(model.failed):
        auth.close()
    assert not model.busy


def test_u8_a_model_destroyed_during_a_call_tells_nothing(
    auth: BlockingAuth, server: EmbeddedServer, qtbot: QtBot
) -> None:
    model = AuthModel(auth)
    told = Told(model, "failed", "succeeded", "busyChanged")
    server.faults.delay("/sign-in/email", 0.02, times=1)
    model.signIn(EMAIL, PASSWORD)
    told.values.clear()
    delete(model)
    other = AuthModel(auth)
    qtbot.waitUntil(lambda: other.hasToken)
    turn()
    assert told.values == []
    delete(other)


def test_u8_a_model_that_nobody_holds_goes_on_the_gui_thread_even_during_a_call(
    auth: BlockingAuth, server: EmbeddedServer, qtbot: QtBot
) -> None:
    threads: list[int] = []
    model = AuthModel(auth)
    model.destroyed.connect(lambda: threads.append(threading.get_ident()))
    server.faults.delay("/sign-in/email", 0.02, times=1)
    model.signIn(EMAIL, PASSWORD)
    del model
    gc.collect()
    assert threads == [threading.get_ident()]
    other = AuthModel(auth)
    qtbot.waitUntil(lambda: other.hasToken)
    turn()
    delete(other)


def test_u6_a_model_is_in_no_cycle_that_another_thread_would_collect(
    auth: BlockingAuth, qtbot: QtBot
) -> None:
    model = signed_in(AuthModel(auth), qtbot)
    with qtbot.waitSignal(model.failed):
        model.signIn(EMAIL, "wrong horse")
    turn()
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_u8_who_is_told_may_destroy_the_model(model: AuthModel, qtbot: QtBot) -> None:
    auth = model._auth
    short_lived = AuthModel(auth)
    later = Told(short_lived, "headlineChanged", "changed")

    def end(_: str) -> None:
        later.values.clear()
        delete(short_lived)

    short_lived.statusChanged.connect(end)
    signed_in(model, qtbot)
    turn()
    assert later.values == []


def test_k6_a_handler_may_sign_out_again(model: AuthModel, qtbot: QtBot) -> None:
    told = Told(model, "statusChanged")
    model.hasTokenChanged.connect(lambda has: model.signOut() if has else None)
    model.signIn(EMAIL, PASSWORD)
    qtbot.waitUntil(lambda: told.values == ["signed_in", "signed_out"])


def test_a_message_box_in_a_handler_does_not_stop_the_model(model: AuthModel, qtbot: QtBot) -> None:
    box = QDialog()
    qtbot.addWidget(box)
    statuses: list[str] = []

    def ask(message: str) -> None:
        model.hasTokenChanged.connect(box.accept)
        model.signIn(EMAIL, PASSWORD)
        box.exec()
        statuses.append(model.status)

    model.failed.connect(ask)
    model.signIn(EMAIL, "wrong horse")
    qtbot.waitUntil(lambda: statuses == ["signed_in"])


def test_s9_two_users_in_one_process_never_see_each_other(
    server: EmbeddedServer, model: AuthModel, qtbot: QtBot
) -> None:
    with connect_blocking(server.url, transport=server.transport) as second:
        other = AuthModel(second)
        qtbot.waitUntil(lambda: other.status == "signed_out")
        signed_in(model, qtbot)
        with qtbot.waitSignal(other.succeeded):
            other.refetch()
        assert (other.status, other.userEmail, other.hasToken) == ("signed_out", "", False)
        delete(other)


def test_a_model_is_not_pickled(model: AuthModel) -> None:
    import pickle

    with pytest.raises(TypeError):
        pickle.dumps(model)


# -- an AuthProvider: on Qt's own loop, and on one elsewhere -----------------------------------


def test_an_asyncio_program_on_qts_loop(server: EmbeddedServer, qapp: QApplication) -> None:
    async def until(condition: Callable[[], bool]) -> None:
        met = asyncio.Event()
        timer = QTimer()
        timer.timeout.connect(lambda: met.set() if condition() else None)
        timer.start(1)
        async with asyncio.timeout(10):
            await met.wait()
        timer.stop()

    async def program() -> list[object]:
        async with connect(server.url, transport=server.transport) as auth:
            model = AuthModel(auth)
            told = Told(model, "statusChanged", "failed", "succeeded")
            await until(lambda: model.status == "signed_out")
            model.signIn(EMAIL, "wrong horse")
            await until(lambda: "Invalid email or password" in told.values)
            model.signIn(EMAIL, PASSWORD)
            await until(lambda: model.hasToken)
            before, asked = model.sessionId, server.count("/get-session")
            qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
            await until(lambda: server.count("/get-session") > asked)
            await auth.client.change_password(
                current_password=PASSWORD, new_password=PASSWORD, revoke_other_sessions=True
            )
            await until(lambda: model.sessionId != before)
            model.signOut()
            await until(lambda: "signOut" in told.values)
            assert told.threads == {threading.get_ident()}
        model.refetch()
        await until(lambda: "the client is closed" in told.values)
        qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        heard = asyncio.Event()
        asyncio.get_running_loop().call_soon_threadsafe(heard.set)
        await heard.wait()
        delete(model)
        return [value for value in told.values if "closed" not in str(value)]

    loop = qasync.QEventLoop(qapp)
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    server.faults.clear()
    try:
        told = loop.run_until_complete(program())
    finally:
        loop.close()
        del loop
        gc.collect()  # qasync leaves timers in a cycle, which no other thread may collect
    assert not errors
    refused = "Invalid email or password"
    expected = ["signed_out", refused, "signed_in", "signIn", "signed_out", "signOut"]
    assert sorted(map(str, told)) == sorted(expected)


def test_an_asyncio_program_on_a_loop_of_its_own(
    server: EmbeddedServer, qtbot: QtBot, qapp: QApplication
) -> None:
    server.faults.clear()
    loop = Loop()

    async def start() -> AuthProvider[Any]:
        return await connect(server.url, transport=server.transport).__aenter__()

    auth = loop.run(start())
    model = AuthModel(auth)
    told = Told(model, "statusChanged", "failed", "succeeded")
    signed_in(model, qtbot)
    before, asked = model.sessionId, server.count("/get-session")
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    qtbot.waitUntil(lambda: server.count("/get-session") > asked)
    with qtbot.waitSignal(model.succeeded):
        model.changePassword(PASSWORD, PASSWORD)
    qtbot.waitUntil(lambda: model.sessionId != before and model.hasToken)
    assert told.threads == {threading.get_ident()}
    loop.run(auth.aclose())
    loop.stop()
    with qtbot.waitSignal(model.failed) as failed:  # also without a loop: no exception
        model.signOut()
    assert failed.args == ["the event loop of the provider has ended"]
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    delete(model)


def test_a_client_of_ones_own_is_shown_and_says_what_it_cannot(qtbot: QtBot, loop: Loop) -> None:
    with fake_auth(loop) as (client, auth):
        model = AuthModel(auth)
        loop.call(client.sign_in)
        qtbot.waitUntil(lambda: model.userEmail == "u1@example.com")
        with qtbot.waitSignal(model.failed) as failed:
            model.signIn(EMAIL, PASSWORD)
        assert failed.args == ["the AuthClient of this program has no sign_in_email"]
        with qtbot.waitSignal(model.succeeded):
            model.refetch()
        assert client.refetches == 1
        delete(model)


def test_a_bug_is_reported_by_qt_and_the_model_is_usable_again(qtbot: QtBot, loop: Loop) -> None:
    class Broken(FakeAuthClient):
        async def refetch(self) -> None:
            raise KeyError("a bug that says hunter2")

    async def start() -> AuthProvider[Any]:
        return await AuthProvider(Broken()).__aenter__()

    auth = loop.run(start())
    model = AuthModel(auth)
    told = Told(model, "failed")
    with qtbot.captureExceptions() as raised:
        model.refetch()
        qtbot.waitUntil(lambda: len(raised) == 1)
    assert raised[0][0] is KeyError
    assert told.values == ["unexpected KeyError"]
    assert not model.busy
    loop.run(auth.aclose())
    delete(model)


def test_a_provider_that_was_not_started_says_so(qapp: QApplication, qtbot: QtBot) -> None:
    model = AuthModel(AuthProvider(FakeAuthClient()))
    with qtbot.waitSignal(model.failed) as failed:
        model.refetch()
    assert "has not been started" in failed.args[0]
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    delete(model)


# -- QML -------------------------------------------------------------------------------------

QML = b"""
import QtQml
QtObject {
    id: root
    required property QtObject auth
    property string headline: auth.headline
    property string state: auth.status + (auth.isAuthenticated ? ", " + auth.userEmail : "")
    property bool busy: auth.busy
    property string message
    property string email
    property string password
    property int signIns
    property int changes
    onSignInsChanged: auth.signIn(email, password)
    onChangesChanged: auth.changePassword(password, password)
    property var failures: Connections {
        target: auth
        function onFailed(message) { root.message = message }
    }
}
"""


def test_qml_binds_to_the_properties_and_calls_the_slots(model: AuthModel, qtbot: QtBot) -> None:
    engine = QQmlEngine()
    component = QQmlComponent(engine)
    component.setData(QML, QUrl())
    view = component.createWithInitialProperties({"auth": model})
    assert view is not None, component.errorString()
    assert view.property("headline") == "Signed out"
    view.setProperty("email", EMAIL)
    view.setProperty("password", "wrong horse")
    view.setProperty("signIns", 1)
    assert view.property("busy") is True
    qtbot.waitUntil(lambda: view.property("message") == "Invalid email or password")
    view.setProperty("password", PASSWORD)
    view.setProperty("signIns", 2)
    qtbot.waitUntil(lambda: view.property("state") == f"signed_in, {EMAIL}")
    assert view.property("headline") == "Ada Lovelace"
    qtbot.waitUntil(lambda: not view.property("busy"))
    before = model.sessionId
    view.setProperty("changes", 1)
    qtbot.waitUntil(lambda: model.sessionId != before and not view.property("busy"))
    for each in (view, component, engine):
        each.deleteLater()
        turn()


# -- the example app -------------------------------------------------------------------------


def click(qtbot: QtBot, button: QWidget) -> None:
    qtbot.waitUntil(button.isEnabled)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_example_app_from_end_to_end(qtbot: QtBot) -> None:
    with example_server() as server, connect_blocking(server.url) as auth:
        window = Window(auth, server)
        qtbot.addWidget(window)
        window.show()
        qtbot.waitUntil(lambda: window.pages.currentWidget() is window.form)
        headlines = Told(window.model, "headlineChanged")

        qtbot.keyClicks(window.email, EMAIL)
        qtbot.keyClicks(window.password, "wrong horse")
        click(qtbot, window.sign_in)
        qtbot.waitUntil(lambda: window.message.text() == "Invalid email or password")
        assert window.pages.currentWidget() is window.form

        window.password.clear()
        qtbot.keyClicks(window.password, PASSWORD)
        qtbot.keyClick(window.password, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: window.headline.text() == "Ada Lovelace")
        qtbot.waitUntil(lambda: window.token.text().startswith(("1:", "2:")))
        assert window.pages.currentWidget() is window.account
        assert window.user.text() == EMAIL
        qtbot.waitUntil(lambda: window.password.text() == "")
        assert window.message.text() == ""

        before = window.session.text()
        pages = Pages(window)
        qtbot.keyClicks(window.current, PASSWORD)
        qtbot.keyClicks(window.new, NEW_PASSWORD)
        click(qtbot, window.change)
        qtbot.waitUntil(lambda: window.message.text().startswith("Password changed"))
        assert window.session.text() not in ("", before)
        assert window.new.text() == ""
        assert pages.seen == []
        assert headlines.values == ["Ada Lovelace"]

        click(qtbot, window.outage)
        qtbot.waitUntil(lambda: "reconnecting" in window.headline.text())
        assert window.headline.text().startswith("Ada Lovelace")
        assert window.user.text() == EMAIL
        qtbot.waitUntil(lambda: window.message.text() != "")
        click(qtbot, window.outage)
        qtbot.waitUntil(lambda: window.headline.text() == "Ada Lovelace")
        qtbot.waitUntil(lambda: window.message.text() == "")
        assert pages.seen == []

        click(qtbot, window.sign_out)
        qtbot.waitUntil(lambda: window.headline.text() == "Signed out")
        assert window.pages.currentWidget() is window.form
        delete(window)


def test_the_qml_example_app_from_end_to_end(qtbot: QtBot) -> None:
    with example_server() as server, connect_blocking(server.url) as auth:
        engine = load(auth, server)
        (window,) = engine.rootObjects()
        headlines: list[str] = []

        def item(name: str) -> QObject:
            return window.findChild(QObject, name)

        def text(name: str) -> str:
            return item(name).property("text")

        def press(name: str) -> None:
            qtbot.waitUntil(lambda: item(name).property("enabled"))
            item(name).clicked.emit()

        qtbot.waitUntil(lambda: text("headline") == "Signed out")
        item("headline").textChanged.connect(lambda: headlines.append(text("headline")))
        item("email").setProperty("text", EMAIL)
        item("password").setProperty("text", "wrong horse")
        press("signIn")
        qtbot.waitUntil(lambda: text("message") == "Invalid email or password")
        item("password").setProperty("text", PASSWORD)
        press("signIn")
        qtbot.waitUntil(lambda: text("headline") == "Ada Lovelace" and text("session") != "")
        qtbot.waitUntil(lambda: text("password") == "")
        before = text("session")
        item("current").setProperty("text", PASSWORD)
        item("next").setProperty("text", NEW_PASSWORD)
        press("change")
        qtbot.waitUntil(lambda: text("message").startswith("Password changed"))
        assert text("session") not in ("", before)
        assert headlines == ["Ada Lovelace"]
        press("outage")
        qtbot.waitUntil(lambda: text("headline") == "Ada Lovelace · reconnecting…")
        press("outage")
        qtbot.waitUntil(lambda: text("headline") == "Ada Lovelace" and text("message") == "")
        press("signOut")
        qtbot.waitUntil(lambda: text("headline") == "Signed out")
        window.close()
        engine.deleteLater()
        turn()


class Pages:
    """Which pages of the example came up."""

    def __init__(self, window: Window) -> None:
        self.seen: list[int] = []
        window.pages.currentChanged.connect(self.seen.append)


def test_the_example_app_shows_an_outage_button_only_for_a_server_of_its_own(
    auth: BlockingAuth, qtbot: QtBot
) -> None:
    for server, shown in ((ExampleServer(auth.client.origin), False), (None, True)):
        with contextlib.ExitStack() as stack:
            window = Window(auth, server or stack.enter_context(example_server()))
            assert window.outage.isHidden() is not shown
            delete(window)


def test_the_example_app_ends_when_its_window_is_closed(qapp: QApplication) -> None:
    before = set(threading.enumerate())
    closed: list[bool] = []

    def close() -> None:
        windows = [each for each in qapp.topLevelWidgets() if isinstance(each, Window)]
        closed.extend(window.close() for window in windows)

    timer = QTimer()
    timer.timeout.connect(close)
    timer.start(10)
    assert main([]) == 0
    timer.stop()
    assert closed
    assert set(threading.enumerate()) <= before
