"""Solara: in each user's own kernel, until the component is gone; a provider for each browser."""

from __future__ import annotations

import contextlib
import gc
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from reactivex.subject import Subject

from reactive_auth import ConfigurationError
from reactive_auth.embedded import EmbeddedServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Solara's own
    import solara
    import solara.server.app
    import solara.server.kernel_context as kernels
    from solara.server.starlette import app as starlette

    from reactive_auth.ui.solara import BrowserAuth, PageAuth, use_auth, use_signal

from .browser import browser
from .served import free_port, served
from .web import Fakes, LoopThread, Sent, drive_the_example, ours, until_here

pytestmark = pytest.mark.filterwarnings("ignore")  # Solara's own

PASSWORD = "correct horse"


class Stage:
    """What the page that is served shows."""

    component: Any = None
    sessions: BrowserAuth[Any]

    def __init__(self) -> None:
        self.fakes = Fakes()
        self.source: Subject[int] = Subject()
        self.pages: list[PageAuth[Any]] = []
        self.rendered: list[tuple[int, int]] = []
        self.handled = 0


_stage: Stage


@solara.component
def Served() -> None:  # noqa: N802
    """What Solara serves: it is named once for the process."""
    _stage.component()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Solara's server, on the loop of a thread."""
    port, thread = free_port(), LoopThread()
    script = solara.server.app.AppScript(f"{__name__}:Served")
    solara.server.app.apps["__default__"] = script
    server = uvicorn.Server(uvicorn.Config(starlette, port=port, log_level="error"))
    serving = thread.submit(server._serve())
    until_here(lambda: server.started)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    serving.result(20)
    thread.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


def leave(page: Page) -> None:
    """As a user closes a tab: Solara is told by the page itself."""
    page.goto("about:blank")
    page.context.close()


@contextlib.contextmanager
def staged(chromium: Browser, site: str) -> Generator[tuple[Stage, Page]]:
    global _stage
    _stage = stage = Stage()
    before = set(threading.enumerate())
    stage.sessions = BrowserAuth(stage.fakes, grace=0)

    @solara.component
    def component() -> None:
        auth = use_auth(stage.sessions)
        shown = use_signal(stage.source, 0)
        if auth not in stage.pages:
            stage.pages.append(auth)
        stage.rendered.append((shown, id(kernels.get_current_context())))
        solara.Text(str(shown), classes=["shown"])
        solara.Text(auth.headline.value, classes=["headline"])
        solara.Button("Sign out", on_click=stage.fakes.clients[-1].sign_out)

    stage.component = component
    page = chromium.new_context().new_page()
    page.goto(site)
    expect(page.locator(".shown")).to_have_text("0")
    try:
        yield stage, page
    finally:
        leave(page)
        until_here(lambda: stage.sessions.open == 0)
        assert not stage.sessions.run(_ours()).result(10)
        stage.sessions.close()
        left = set(threading.enumerate()) - before
        assert "reactive_auth-loop" not in [thread.name for thread in left]
        gc.collect()


async def _ours() -> list[Any]:
    return [task for task in ours() if not task.get_name().startswith("reactive_auth.portal")]


def sign_in(stage: Stage, session: str, user: str) -> None:
    async def call() -> None:
        stage.fakes.clients[0].sign_in(session, user)

    stage.sessions.run(call()).result(10)


def test_u6_values_from_any_thread_are_shown_in_the_users_own_kernel(
    chromium: Browser, site: str
) -> None:
    with staged(chromium, site) as (stage, page):
        stage.source.on_next(1)  # this thread, which has no kernel
        expect(page.locator(".shown")).to_have_text("1")

        async def emit() -> None:
            stage.source.on_next(2)

        stage.sessions.run(emit()).result(10)  # and a loop
        expect(page.locator(".shown")).to_have_text("2")
        assert len({kernel for _, kernel in stage.rendered}) == 1


def test_a_thousand_quick_changes_end_on_the_last(chromium: Browser, site: str) -> None:
    with staged(chromium, site) as (stage, page):
        for number in range(1, 1001):
            stage.source.on_next(number)
        expect(page.locator(".shown")).to_have_text("1000")
        assert len(stage.rendered) < 500  # of what came faster than pages are rendered, the newest

        async def storm() -> None:
            for number in range(1000):
                stage.fakes.clients[0].sign_in("A", f"user-{number}")

        stage.sessions.run(storm()).result(10)
        expect(page.locator(".headline")).to_have_text("user-999@example.com")


def test_u8_l11_a_value_on_its_way_to_a_page_that_is_gone_is_dropped(
    chromium: Browser, site: str, caplog: pytest.LogCaptureFixture
) -> None:
    with staged(chromium, site) as (stage, page), caplog.at_level(logging.ERROR):
        other = chromium.new_context().new_page()
        other.goto(site)
        expect(other.locator(".shown")).to_have_text("0")
        assert stage.sessions.open == 2
        leave(other)
        until_here(lambda: stage.sessions.open == 1)
        assert len(stage.source.observers) == 1
        stage.source.on_next(5)
        expect(page.locator(".shown")).to_have_text("5")
        assert not [record for record in caplog.records if "a view raised" in record.message]


def test_k6_a_button_may_sign_out_and_the_provider_close_while_it_is_shown(
    chromium: Browser, site: str
) -> None:
    with staged(chromium, site) as (stage, page):
        sign_in(stage, "A", "ada")
        expect(page.locator(".headline")).to_have_text("ada@example.com")
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator(".headline")).to_have_text("Signed out")
        sign_in(stage, "B", "bob")
        stage.sessions.run(stage.fakes.providers[0].aclose()).result(10)
        stage.source.on_next(7)
        expect(page.locator(".shown")).to_have_text("7")


def test_s9_two_users_in_one_process_share_nothing_and_closing_their_tabs_closes_all(
    chromium: Browser, site: str
) -> None:
    global _stage
    server = EmbeddedServer()
    sessions = BrowserAuth(server.url, transport=server.transport, grace=3)
    pages: list[PageAuth[Any]] = []
    _stage = stage = Stage()

    @solara.component
    def component() -> None:
        auth = use_auth(sessions)
        who, set_who = solara.use_state("")
        if auth not in pages:
            pages.append(auth)

        def sign_up() -> None:
            auth.start(
                auth.client.sign_up_email(
                    email=f"{who}@example.com", password=PASSWORD, name=f"{who} Smith"
                )
            )

        for name in ("headline", "session_id", "user_email"):
            solara.Text(getattr(auth, name).value, classes=[name])
        solara.InputText("Name", value=who, on_value=set_who, continuous_update=True)
        solara.Button("Sign up", on_click=sign_up)

    stage.component = component
    tabs = [chromium.new_context().new_page() for _ in range(2)]
    sent = [Sent(tab) for tab in tabs]
    names = ("Alice", "Bobby")
    for tab, name in zip(tabs, names, strict=True):
        tab.goto(site)
        expect(tab.locator(".headline")).to_have_text("Signed out")
        tab.get_by_label("Name").fill(name)
        tab.get_by_role("button", name="Sign up").click()
        expect(tab.locator(".headline")).to_have_text(f"{name} Smith")
    ids = [tab.locator(".session_id").inner_text() for tab in tabs]
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
    tabs[1].reload()
    expect(tabs[1].locator(".headline")).to_have_text("Bobby Smith")
    assert sessions.open == 2
    for tab in tabs:
        leave(tab)
    until_here(lambda: sessions.open == 0)
    assert all(page.provider.closed for page in pages)
    sessions.close()
    server.close()


def test_outside_of_a_kernel_it_is_a_clear_error() -> None:
    for call in (
        lambda: BrowserAuth(Fakes()).page(),
        lambda: BrowserAuth("not a url"),
        lambda: BrowserAuth("https://a.example.com", cookies={"a": "b"}),
        lambda: use_signal("no stream"),  # type: ignore[arg-type]
    ):
        # On a thread of its own: the browser's driver runs a loop on this one.
        with ThreadPoolExecutor(1) as thread, pytest.raises(ConfigurationError):
            thread.submit(call).result(10)


def test_without_the_package_the_import_error_names_the_extra() -> None:
    code = "import sys; sys.modules['solara'] = None; import reactive_auth.ui.solara"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "reactive-auth[solara]" in run.stderr


def test_the_example_from_sign_in_to_sign_out(chromium: Browser) -> None:
    with served("solara") as url:
        page = chromium.new_context().new_page()
        drive_the_example(page, url, lambda name: f".ra-{name}", r"^[12]:\d\d$", enter=False)
        page.context.close()
