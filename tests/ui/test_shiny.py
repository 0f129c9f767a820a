"""Shiny: under its lock, on its loop, until the session ends; one provider for each browser."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from reactivex.subject import Subject
from shiny import App, reactive, render, ui
from shiny.session import get_current_session

from reactive_auth import ConfigurationError
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.ui.shiny import BrowserAuth, PageAuth, deliver_shiny

from .browser import browser
from .served import free_port, served
from .web import Fakes, LoopThread, Sent, drive_the_example, ours, until_here

PASSWORD = "correct horse"


@contextlib.contextmanager
def running(app: App) -> Generator[tuple[str, LoopThread]]:
    """The app, served on the loop of a thread."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="error", ws="websockets-sansio")
    server, thread = uvicorn.Server(config), LoopThread()
    serving = thread.submit(server._serve())
    try:
        until_here(lambda: server.started)
        yield f"http://127.0.0.1:{port}/", thread
    finally:
        server.should_exit = True
        serving.result(20)
        thread.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running_browser:
        yield running_browser


class Stage:
    """An app whose one page delivers a subject and shows what the view was given."""

    def __init__(self) -> None:
        self.fakes = Fakes()
        self.sessions = BrowserAuth(self.fakes, grace=0)
        self.source: Subject[int] = Subject()
        self.given: list[tuple[int, int, bool, bool]] = []
        self.failing: set[int] = set()
        self.pages: list[PageAuth[Any]] = []
        self.views: list[Any] = []
        self.shiny: list[Any] = []

    def app(self) -> App:
        page = ui.page_fluid(
            ui.output_text("shown"),
            ui.output_text("headline"),
            ui.input_action_button("out", "Sign out"),
        )

        def serve(input: Any, output: Any, session: Any) -> None:  # noqa: A002
            auth = self.sessions.page()
            assert self.sessions.page() is auth
            self.pages.append(auth)
            self.shiny.append(session)
            shown = reactive.Value(0)

            def view(value: int) -> None:
                here = get_current_session()
                inside = here is not None and here.root_scope() is session.root_scope()
                locked = reactive.lock().locked()
                self.given.append((value, threading.get_ident(), inside, locked))
                if value in self.failing:
                    raise ValueError("a view's own mistake")
                shown.set(value)

            self.views.append(deliver_shiny(self.source, view))

            @render.text
            def headline() -> str:
                return str(auth.headline())

            @output(id="shown")
            @render.text
            def _() -> str:
                return str(shown())

            @reactive.effect
            @reactive.event(input.out)
            def _() -> None:
                self.fakes.clients[-1].sign_out()  # re-entrant: within the flush

        return App(page, serve)


@contextlib.contextmanager
def staged(chromium: Browser) -> Generator[tuple[Stage, Page, LoopThread]]:
    stage = Stage()
    with running(stage.app()) as (url, thread):
        page = chromium.new_context().new_page()
        page.goto(url)
        expect(page.locator("#shown")).to_have_text("0")
        try:
            yield stage, page, thread
        finally:
            page.context.close()
            until_here(lambda: stage.sessions.open == 0)
            assert not thread.call(ours)


def test_u6_values_from_any_thread_are_given_on_the_loop_under_the_lock(chromium: Browser) -> None:
    with staged(chromium) as (stage, page, thread):
        stage.source.on_next(1)  # this thread
        expect(page.locator("#shown")).to_have_text("1")
        thread.call(lambda: stage.source.on_next(2))  # and the loop's
        expect(page.locator("#shown")).to_have_text("2")
        loops = thread.call(threading.get_ident)
        assert stage.given == [(1, loops, True, True), (2, loops, True, True)]


def test_a_thousand_quick_changes_end_on_the_last(chromium: Browser) -> None:
    with staged(chromium) as (stage, page, thread):
        for number in range(1, 1001):
            stage.source.on_next(number)
        expect(page.locator("#shown")).to_have_text("1000")
        client = stage.fakes.clients[0]

        def storm() -> None:
            for number in range(1000):
                client.sign_in("A", f"user-{number}")

        thread.call(storm)
        expect(page.locator("#headline")).to_have_text("user-999@example.com")


def test_what_a_view_raises_reaches_the_loops_handler_and_later_values_come(
    chromium: Browser,
) -> None:
    with staged(chromium) as (stage, page, thread):
        handled: list[Any] = []
        thread.loop.set_exception_handler(lambda _, context: handled.append(context["exception"]))
        stage.failing.add(1)
        stage.source.on_next(1)
        until_here(lambda: handled)
        stage.source.on_next(2)
        expect(page.locator("#shown")).to_have_text("2")
        assert [str(error) for error in handled] == ["a view's own mistake"]
        thread.loop.set_exception_handler(None)


def test_u8_l11_after_the_session_and_after_dispose_nothing_is_given(chromium: Browser) -> None:
    with staged(chromium) as (stage, page, thread):
        stage.views[0].dispose()
        stage.source.on_next(1)
        other = page.context.new_page()
        other.goto(page.url)
        expect(other.locator("#shown")).to_have_text("0")
        stage.source.on_next(2)
        expect(other.locator("#shown")).to_have_text("2")

        def end() -> None:  # a value is on its way when the session ends
            stage.source.on_next(3)
            closing.append(asyncio.ensure_future(stage.shiny[1].close()))

        closing: list[Any] = []
        thread.call(end)
        until_here(lambda: closing[0].done())
        stage.source.on_next(4)
        thread.run(asyncio.sleep(0))
        assert [value for value, *_ in stage.given] == [2]
        assert not stage.source.observers


def test_k6_a_button_may_sign_out_and_the_provider_close_while_it_is_shown(
    chromium: Browser,
) -> None:
    with staged(chromium) as (stage, page, thread):
        thread.call(lambda: stage.fakes.clients[0].sign_in("A", "ada"))
        expect(page.locator("#headline")).to_have_text("ada@example.com")
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("#headline")).to_have_text("Signed out")
        thread.call(lambda: stage.fakes.clients[0].sign_in("B", "bob"))
        thread.run(stage.fakes.providers[0].aclose())
        stage.source.on_next(5)
        expect(page.locator("#shown")).to_have_text("5")


def test_one_users_slow_sign_in_holds_up_nobody_else(chromium: Browser) -> None:
    with staged(chromium) as (stage, page, thread):
        slow = asyncio.Event()
        other = chromium.new_context().new_page()
        other.goto(page.url)
        expect(other.locator("#shown")).to_have_text("0")
        task = thread.call(lambda: stage.pages[0].start(slow.wait()))
        until_here(lambda: stage.pages[0]._now["busy"])
        stage.source.on_next(7)
        expect(other.locator("#shown")).to_have_text("7")
        thread.call(slow.set)
        until_here(task.done)
        assert task.result() is True
        other.context.close()


def test_s9_two_users_in_one_process_share_nothing_and_closing_their_tabs_closes_all(
    chromium: Browser,
) -> None:
    server = EmbeddedServer()
    sessions = BrowserAuth(server.url, transport=server.transport, grace=0.2)
    pages: list[PageAuth[Any]] = []

    def serve(input: Any, output: Any, session: Any) -> None:  # noqa: A002
        auth = sessions.page()
        pages.append(auth)
        for name in ("headline", "session_id", "user_email"):
            output(render.text(getattr(auth, name).get), id=name)

        @reactive.effect
        @reactive.event(input.sign_up)
        def _() -> None:
            name = input.who()
            auth.start(
                auth.client.sign_up_email(
                    email=f"{name}@example.com", password=PASSWORD, name=f"{name} Smith"
                )
            )

    page = ui.page_fluid(
        *(ui.output_text(name) for name in ("headline", "session_id", "user_email")),
        ui.input_text("who", "Name"),
        ui.input_action_button("sign_up", "Sign up"),
    )
    with running(App(page, serve)) as (url, thread):
        tabs = [chromium.new_context().new_page() for _ in range(2)]
        sent = [Sent(tab) for tab in tabs]
        names = ("Alice", "Bobby")
        for tab, name in zip(tabs, names, strict=True):
            tab.goto(url)
            expect(tab.locator("#headline")).to_have_text("Signed out")
            tab.get_by_label("Name").fill(name)
            tab.get_by_role("button", name="Sign up").click()
            expect(tab.locator("#headline")).to_have_text(f"{name} Smith")
        ids = [tab.locator("#session_id").inner_text() for tab in tabs]
        assert sessions.open == 2
        until_here(lambda: all(page.provider.token.value for page in pages))
        for mine, other in ((0, 1), (1, 0)):
            for text in (f"{names[other]} Smith", f"{names[other]}@example.com", ids[other]):
                assert text not in sent[mine]
                assert text not in tabs[mine].content()
            own, theirs = pages[mine].provider, pages[other].provider
            assert own.client._jar.session_value != theirs.client._jar.session_value
            token, others = own.token.value, theirs.token.value
            assert token is not None
            assert others is not None
            assert token.value != others.value
            assert token.value not in sent[mine]  # tokens stay on the server
        mark = len(sent[1])
        tabs[1].reload()
        expect(tabs[1].locator("#headline")).to_have_text("Bobby Smith")
        assert "Signed out" not in sent[1].since(mark)
        assert sessions.open == 2
        # A cookie that was not given out is not accepted.
        (cookie,) = tabs[0].context.cookies()
        third = chromium.new_context()
        third.add_cookies([{"name": cookie["name"], "value": "x" * 43, "url": url}])
        planted = third.new_page()
        planted.goto(url)
        expect(planted.locator("#headline")).to_have_text("Signed out")
        assert third.cookies()[0]["value"] != "x" * 43
        for context in (tabs[0].context, tabs[1].context, third):
            context.close()
        until_here(lambda: sessions.open == 0)
        assert all(page.provider.closed for page in pages)
        assert not thread.call(ours)
    server.close()


def test_outside_of_a_session_it_is_a_clear_error() -> None:
    for call in (
        lambda: deliver_shiny(Subject(), print),
        lambda: deliver_shiny(Subject(), None),  # type: ignore[arg-type]
        lambda: BrowserAuth(Fakes()).page(),
        lambda: BrowserAuth("not a url"),
        lambda: BrowserAuth("https://a.example.com", cookies={"a": "b"}),
    ):
        # On a thread of its own: the browser's driver runs a loop on this one.
        with ThreadPoolExecutor(1) as thread, pytest.raises(ConfigurationError):
            thread.submit(call).result(10)


def test_without_the_package_the_import_error_names_the_extra() -> None:
    code = "import sys; sys.modules['shiny'] = None; import reactive_auth.ui.shiny"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "reactive-auth[shiny]" in run.stderr


def test_the_example_from_sign_in_to_sign_out(chromium: Browser) -> None:
    with served("shiny") as url:
        page = chromium.new_context().new_page()
        drive_the_example(page, url, lambda name: f"#{name}", r"^[12]:\d\d$", enter=False)
        page.context.close()
