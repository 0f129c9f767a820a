"""Textual: on the app's event loop, until the widget is removed; a provider as old as the app."""

from __future__ import annotations

import asyncio
import functools
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from reactivex.subject import Subject
from textual import events, on
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, ContentSwitcher, Input, Label

from reactive_auth import (
    AuthClosed,
    AuthProvider,
    AuthState,
    ConfigurationError,
    WrongThread,
    connect,
    connect_blocking,
)
from reactive_auth.delivery import Delivery
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer, example_server
from reactive_auth.examples.textual import Home
from reactive_auth.signal import Signal
from reactive_auth.testing import FakeAuthClient
from reactive_auth.ui.textual import AuthApp, deliver_textual
from reactive_auth.ui.words import headline


@pytest.fixture(scope="module")
def server() -> Iterator[ExampleServer]:
    with example_server() as server:
        yield server


def signal() -> Signal[int]:
    return Signal(0, Delivery())


def plainly(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A coroutine as a test that leaves no task and no thread behind."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        before = threading.active_count()

        async def main() -> None:
            await test(*args, **kwargs)
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, others

        asyncio.run(main())
        assert threading.active_count() == before

    return run


async def until(pilot: Pilot[Any], condition: Callable[[], object], patience: float = 10.0) -> None:
    """Let the app go on until something holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "in vain"
        await pilot.pause(0.005)


class Plain(App[None]):
    """Some app, with a box that has a label."""

    def compose(self) -> ComposeResult:
        with Widget(id="box"):
            yield Label(id="label")

    @property
    def box(self) -> Widget:
        return self.query_one("#box")


# -- deliver_textual ---------------------------------------------------------------------------


@plainly
async def test_u6_the_view_is_called_on_the_apps_thread_whichever_thread_emits() -> None:
    source, shown, threads = signal(), list[int](), set[int]()
    app = Plain()
    async with app.run_test() as pilot:

        def view(value: int) -> None:
            shown.append(value)
            threads.add(threading.get_ident())
            assert app.box.app is app, "in the widget's own context"
            app.query_one(Label).update(str(value))

        call_next = app.box.call_next

        def recorded(*args: Any) -> None:
            threads.add(threading.get_ident())  # no call of Textual off its thread
            call_next(*args)

        app.box.call_next = recorded  # type: ignore[method-assign]
        deliver_textual(source, view, app.box)
        assert shown == [0], "at once"
        for number in (1, 2):
            thread = threading.Thread(target=source.set, args=(number,))
            thread.start()
            await until(pilot, lambda number=number: shown[-1] == number)
            thread.join()
        source.set(3)
        assert shown[-1] == 2, "not in the emitting call"
        await until(pilot, lambda: shown[-1] == 3)
        assert str(app.query_one(Label).content) == "3"
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("coalesce", [True, False])
@plainly
async def test_a_thousand_quick_changes_end_on_the_last_value(coalesce: bool) -> None:
    source, shown = signal(), list[int]()
    app = Plain()
    async with app.run_test() as pilot:
        deliver_textual(source, shown.append, app.box, coalesce=coalesce)
        thread = threading.Thread(target=lambda: [source.set(each) for each in range(1, 1001)])
        thread.start()
        await until(pilot, lambda: shown[-1] == 1000)
        thread.join()
    assert coalesce or shown == list(range(1001))


@plainly
async def test_u8_l11_a_value_on_its_way_to_a_removed_widget_is_dropped() -> None:
    source, shown = signal(), list[int]()
    app = Plain()
    async with app.run_test() as pilot:
        box = app.box
        deliver_textual(source, shown.append, box)
        await app.query_one(Label).remove()  # a child's end is not the widget's
        source.set(1)
        await until(pilot, lambda: shown[-1] == 1)
        removed = box.remove()
        thread = threading.Thread(target=source.set, args=(2,))
        thread.start()
        await removed
        thread.join()
        assert not source.observed
        count = len(shown)
        source.set(3)
        await pilot.pause()
        assert len(shown) == count


@plainly
async def test_l11_after_dispose_nothing_is_given() -> None:
    source, shown = signal(), list[int]()
    app = Plain()
    async with app.run_test() as pilot:
        here = deliver_textual(source, shown.append, app.box)
        source.set(1)
        here.dispose()
        elsewhere = deliver_textual(source, shown.append, app.box)
        thread = threading.Thread(target=elsewhere.dispose)
        thread.start()
        thread.join()
        source.set(2)
        await pilot.pause()
        assert shown == [0, 1]
        assert not source.observed


@plainly
async def test_l3_many_subscriptions_leave_nothing_with_the_widget() -> None:
    source, app = signal(), Plain()
    async with app.run_test() as pilot:
        before = len(app.box.task._callbacks or ())  # type: ignore[attr-defined]
        for _ in range(100):
            deliver_textual(source, print, app.box).dispose()
        thread = threading.Thread(target=deliver_textual(source, print, app.box).dispose)
        thread.start()
        thread.join()
        await pilot.pause()
        assert len(app.box.task._callbacks or ()) == before  # type: ignore[attr-defined]
        assert not source.observed


@plainly
async def test_u8_a_screen_that_is_popped_ends_its_subscriptions() -> None:
    source, shown = signal(), list[int]()
    app = Plain()
    async with app.run_test() as pilot:
        screen: Screen[None] = Screen()
        await app.push_screen(screen)
        deliver_textual(source, shown.append, screen)
        deliver_textual(source, shown.append, app.box)
        await app.pop_screen()
        source.set(1)
        await until(pilot, lambda: shown == [0, 0, 1])  # that below it goes on
        assert len(source._observers) == 1


@plainly
async def test_u8_a_view_may_remove_its_widget_or_exit_the_app() -> None:
    source, shown = signal(), list[int]()
    app = Plain()
    async with app.run_test() as pilot:

        def view(value: int) -> None:
            shown.append(value)
            if value == 1:
                app.box.remove()

        deliver_textual(source, view, app.box)
        source.set(1)
        await until(pilot, lambda: not source.observed)

        def leave(value: int) -> None:
            if value == 2:
                app.exit()
                source.set(3)

        deliver_textual(source, leave, app.screen)
        deliver_textual(source, shown.append, app.screen)
        source.set(2)
        await until(pilot, lambda: app._exit)
    assert not source.observed
    assert 3 not in shown


@plainly
async def test_what_a_view_raises_reaches_textuals_handler_which_ends_the_app() -> None:
    source, app = signal(), Plain()

    def view(value: int) -> None:
        if value:
            raise ValueError("a view's own mistake")

    async def run() -> None:
        async with app.run_test() as pilot:
            deliver_textual(source, view, app.box)
            source.set(1)
            await until(pilot, lambda: app._exception)

    with pytest.raises(ValueError, match="own mistake"):
        await run()
    assert not source.observed


@plainly
async def test_the_end_of_a_stream_is_told_after_its_last_value() -> None:
    source, shown = Subject[int](), list[object]()
    app = Plain()
    async with app.run_test() as pilot:
        before = len(app.box.task._callbacks or ())  # type: ignore[attr-defined]
        deliver_textual(
            source, shown.append, app.box, on_completed=lambda: shown.append("completed")
        )
        threading.Thread(target=lambda: (source.on_next(1), source.on_completed())).start()
        await until(pilot, lambda: shown == [1, "completed"])
        await pilot.pause()
        assert len(app.box.task._callbacks or ()) == before  # type: ignore[attr-defined]


@plainly
async def test_u6_another_thread_is_refused_and_so_is_what_can_never_work() -> None:
    source, app = signal(), Plain()

    async def coroutine(value: int) -> None: ...

    async with app.run_test():
        for call in (deliver_textual, lambda *args: asyncio.run(as_coroutine(*args))):
            with pytest.raises(WrongThread):
                await asyncio.to_thread(call, source, print, app.box)
        bad: list[tuple[Any, Any, Any]] = [
            (source, print, app),
            (source, print, Label()),
            (None, print, app.box),
            (source, None, app.box),
            (source, coroutine, app.box),
        ]
        before = len(app.box.task._callbacks or ())  # type: ignore[attr-defined]
        for arguments in bad:
            with pytest.raises(ConfigurationError):
                deliver_textual(*arguments)
        await asyncio.sleep(0)
        assert len(app.box.task._callbacks or ()) == before  # type: ignore[attr-defined]


async def as_coroutine(*args: Any) -> None:
    deliver_textual(*args)


@plainly
async def test_the_streams_of_a_blocking_auth_are_shown_and_its_end_harms_nothing(
    server: ExampleServer,
) -> None:
    shown: list[str] = []
    app = Plain()
    async with app.run_test() as pilot:
        with connect_blocking(server.url) as auth:
            deliver_textual(auth.state, lambda state: shown.append(state.status), app.box)
            future = auth.client.sign_in_email.future(email=EMAIL, password=PASSWORD)
            await asyncio.wrap_future(future)
            await until(pilot, lambda: shown[-1] == "signed_in")
        await pilot.pause()
    assert shown[-1] == "signed_in"


# -- AuthApp -----------------------------------------------------------------------------------


class Account(Label):
    """A widget that follows by data binding."""

    auth_state: reactive[AuthState | None] = reactive(None)

    def watch_auth_state(self, state: AuthState | None) -> None:
        self.update("" if state is None else headline(state))


class Small(AuthApp[FakeAuthClient]):
    """The app of the documentation, on a client under the test's control."""

    def __init__(self) -> None:
        self.fake = FakeAuthClient()
        super().__init__(AuthProvider(self.fake))
        self.watched: list[str] = []
        self.tokens: list[bool] = []
        self.composed_with = ""

    def compose(self) -> ComposeResult:
        self.composed_with = self.auth_state.status
        yield Label(id="who", markup=False)
        yield Account().data_bind(Small.auth_state)
        yield Button("Sign out", id="out")

    def watch_auth_state(self, state: AuthState) -> None:
        self.watched.append(state.status)
        self.query_one("#who", Label).update(headline(state))

    def watch_auth_token(self) -> None:
        self.tokens.append(self.auth_token is not None)

    @on(Button.Pressed, "#out")
    async def out(self) -> None:
        self.fake.sign_out()  # re-entrant: in the midst of a handler
        await self.auth.fetch_access_token()

    def text(self, selector: str) -> str:
        return str(self.query_one(selector, Label).content)


@plainly
async def test_an_app_shows_the_state_by_its_watchers_and_by_data_binding() -> None:
    app = Small()
    async with app.run_test() as pilot:
        assert (app.composed_with, app.watched) == ("unknown", ["unknown"]), "U1, and once"
        assert app.text("Account") == "Connecting…"
        app.fake.sign_in("A", "ada")
        await until(pilot, lambda: app.tokens == [True])
        assert app.text("#who") == app.text("Account") == "ada@example.com"
        told = len(app.watched)
        app.fake.sign_in("A", "ada")
        await pilot.pause()
        assert len(app.watched) == told, "U2"
        assert app.watched[-1] == "signed_in"
        assert "signed_out" not in app.watched


@plainly
async def test_u1_a_session_known_from_the_start_is_the_first_thing_shown() -> None:
    app = Small()
    app.fake.sign_in("A", "ada")
    async with app.run_test():
        assert app.watched[0] == "signed_in"
        assert app.text("#who") == "ada@example.com"


@plainly
async def test_k6_a_handler_may_end_the_session_and_wait_for_it() -> None:
    app = Small()
    async with app.run_test() as pilot:
        app.fake.sign_in("A", "ada")
        await until(pilot, lambda: app.tokens == [True])
        await pilot.click("#out")
        await until(pilot, lambda: app.text("#who") == "Signed out")
        assert app.tokens == [True, False]


@plainly
async def test_l1_the_provider_ends_with_the_app_however_that_ends() -> None:
    class Broken(Small):
        def watch_auth_state(self, state: AuthState) -> None:
            if state.is_authenticated:
                raise ValueError("a view's own mistake")

    class Stillborn(Small):
        def on_mount(self) -> None:
            raise ValueError("a view's own mistake")

    async def run(app: Small) -> None:
        async with app.run_test() as pilot:
            app.fake.sign_in("A", "ada")
            await until(pilot, lambda: app._exception or app.tokens)
            app.exit()

    for app in (Small(), Broken(), Stillborn()):
        if type(app) is Small:
            await run(app)
        else:
            with pytest.raises(ValueError, match="own mistake"):
                await run(app)
        assert not app.auth.state.observed
        assert not app.auth.token.observed
        with pytest.raises(AuthClosed):
            await app.auth.fetch_access_token()
        app.post_message(events.AppFocus())


@plainly
async def test_l11_the_end_of_the_app_is_shown_to_no_watcher() -> None:
    app = Small()
    async with app.run_test() as pilot:
        app.fake.sign_in("A", "ada")
        await until(pilot, lambda: app.tokens == [True])
        seen = list(app.watched)
        app.exit()
        app.fake.sign_out()
    assert app.watched == seen
    assert app.tokens == [True]


@plainly
async def test_coming_back_to_the_terminal_looks_at_the_session_and_needs_no_such_client() -> None:
    app = Small()
    async with app.run_test() as pilot:
        app.post_message(events.AppFocus())
        await pilot.pause()
        asked: list[bool] = []
        app.fake.focus = lambda: asked.append(True)  # type: ignore[attr-defined]
        app.post_message(events.AppFocus())
        await until(pilot, lambda: asked == [True])

        def closed() -> None:
            asked.clear()
            raise AuthClosed("the client is closed")

        app.fake.focus = closed  # type: ignore[attr-defined]
        app.post_message(events.AppFocus())
        await until(pilot, lambda: not asked)


def test_l1_the_process_ends_with_the_app(server: ExampleServer) -> None:
    # As users run it: on a loop of its own, with eager tasks where Python has them.
    code = """
        import sys, threading
        from textual.widgets import Label
        from reactive_auth import connect
        from reactive_auth.ui.textual import AuthApp, deliver_textual

        class Who(Label):
            def on_mount(self):
                deliver_textual(self.app.auth.state, lambda state: self.update(state.status), self)

        class Tiny(AuthApp):
            def compose(self):
                yield Who()

            def watch_auth_state(self, state):
                if state.status == "signed_out":
                    self.call_later(self.finish)

            def finish(self):
                if str(self.query_one(Who).content) == "signed_out":
                    self.exit("as it should")
                else:
                    self.call_later(self.finish)

        print(Tiny(connect(sys.argv[1])).run(headless=True), threading.active_count())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), server.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert run.stdout.strip().endswith("as it should 1"), run.stdout + run.stderr
    assert run.returncode == 0


def test_an_app_needs_a_provider() -> None:
    with pytest.raises(ConfigurationError, match="connect"):
        AuthApp("https://app.example.com")  # type: ignore[arg-type]


def test_without_textual_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['textual'] = None; import reactive_auth.ui.textual"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "reactive-auth[textual]" in run.stderr


# -- the example -------------------------------------------------------------------------------


@plainly
async def test_the_app_shows_errors_rotation_outage_and_sign_out(server: ExampleServer) -> None:
    app = Home(connect(server.url), server)
    async with app.run_test(size=(80, 40)) as pilot:
        headlines: list[str] = []

        def text(name: str) -> str:
            return str(app.query_one(f"#{name}", Label).content)

        def page() -> str | None:
            return app.query_one(ContentSwitcher).current

        def fill(**values: str) -> None:
            for name, value in values.items():
                app.query_one(f"#{name}", Input).value = value

        async def click(name: str) -> None:
            await until(pilot, lambda: not app.query_one(f"#{name}", Button).disabled)
            await pilot.click(f"#{name}")

        app.watch(app, "auth_state", lambda state: headlines.append(text("headline")))
        await until(pilot, lambda: text("headline") == "Signed out" and page() == "form")
        fill(email=EMAIL, password="wrong horse")
        await click("sign-in")
        await until(pilot, lambda: "password" in text("message").lower())
        assert page() == "form"
        fill(password=PASSWORD)
        await click("sign-in")
        await until(pilot, lambda: text("headline") == "Ada Lovelace" and page() == "account")
        await until(pilot, lambda: re.fullmatch(r"1:\d\d", text("token")))
        assert text("user") == EMAIL
        first = text("session")
        headlines.clear()
        fill(current=PASSWORD, new=PASSWORD)
        await click("change")
        await until(pilot, lambda: text("message") == "Password changed, session renewed")
        assert text("session") != first
        assert set(headlines) <= {"Ada Lovelace"}, "no flicker"
        assert app.query_one("#current", Input).value == ""
        await click("outage")
        await until(pilot, lambda: text("headline") == "Ada Lovelace · reconnecting…")
        assert page() == "account"
        assert text("message")
        await click("outage")
        await until(pilot, lambda: text("headline") == "Ada Lovelace")
        await click("sign-out")
        await until(pilot, lambda: text("headline") == "Signed out" and page() == "form")
        assert app.query_one("#password", Input).value == ""


@plainly
async def test_a_name_is_no_markup_and_another_server_has_no_outage_button(
    server: ExampleServer,
) -> None:
    provider = AuthProvider(FakeAuthClient())
    app = Home(provider, ExampleServer(server.url))  # type: ignore[arg-type]
    async with app.run_test(size=(80, 40)) as pilot:
        provider.client.sign_in("A", "[/nobody]")
        await until(pilot, lambda: "[/nobody]" in str(app.query_one("#headline", Label).content))
        assert not app.query("#outage")
