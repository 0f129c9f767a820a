"""Panel: one provider for each browser, views under the lock of the session's document."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import pickle
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import panel as pn
import param
import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from panel.io.server import get_server
from panel.io.session import generate_session
from panel.io.state import set_curdoc
from playwright.sync_api import expect
from reactivex.subject import Subject
from tornado.ioloop import IOLoop

from reactive_auth import ConfigurationError
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.examples.panel import app as example
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer
from reactive_auth.testing import FakeAuthClient
from reactive_auth.ui import panel as adapter
from reactive_auth.ui.panel import BrowserAuth, PageAuth, deliver_panel

from .browser import browser, browser_page
from .served import served
from .web import (
    Fakes,
    LoopThread,
    Sent,
    drive_the_example,
    elsewhere,
    in_loop,
    quick_collections,
    until,
    until_here,
)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quick_collections():
        yield


@contextlib.contextmanager
def server_of(app: Callable[[], Any], loop: IOLoop, **options: int) -> Generator[Any]:
    """A running Bokeh server of one app."""
    interrupt = signal.getsignal(signal.SIGINT)
    server = get_server(app, address="127.0.0.1", loop=loop, **options)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        pn.state._servers.clear()


class Visitor:
    """Opens sessions as a browser does that never gets to its websocket."""

    def __init__(self, server: Any, http: httpx.AsyncClient) -> None:
        self._server = server
        self._http = http

    async def open(self, **cookies: str) -> dict[str, str]:
        """Open a page; gives the cookie it sets, if it does."""
        contexts = self._server._tornado._applications.values()
        before = {session.id for context in contexts for session in context.sessions}
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        answer = await self._http.get("/", headers={"Cookie": header} if header else {})
        assert answer.status_code == 200
        (session,) = (s for context in contexts for s in context.sessions if s.id not in before)
        found = re.search(
            r"(reactive_auth_\w{8})=([\w-]{43});", serialize_json(session.document.to_json())
        )
        return {} if found is None else {found[1]: found[2]}

    async def leave(self) -> None:
        """Have Bokeh end all sessions, as it does some time after the websocket was closed."""
        for context in self._server._tornado._applications.values():
            await context._cleanup_sessions(-1)
            assert not context.sessions


@contextlib.asynccontextmanager
async def visited(app: Callable[[], Any]) -> AsyncGenerator[Visitor]:
    with server_of(app, IOLoop.current()) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, follow_redirects=True) as http:
            visitor = Visitor(server, http)
            yield visitor
            await visitor.leave()


# -- the right thread and lock ---------------------------------------------------------------


@pytest.mark.parametrize("coalesce", [True, False])
@in_loop
async def test_u6_values_from_any_thread_are_given_under_the_lock_of_the_document(
    coalesce: bool,
) -> None:
    stream: Subject[int] = Subject()
    seen: list[tuple[int, int, bool]] = []
    documents: list[Document] = []

    def view(n: int) -> None:
        document = documents[0]
        lock = document.session_context.session._lock
        here = pn.state.curdoc is document and lock._block._value == 0
        seen.append((n, threading.get_ident(), here))

    def app() -> Any:
        documents.append(pn.state.curdoc)
        deliver_panel(stream, view, coalesce=coalesce)
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        await elsewhere(lambda: stream.on_next(1))
        await until(lambda: len(seen) == 1)
        stream.on_next(2)  # also from the loop: in a turn of its own
        assert len(seen) == 1
        await until(lambda: len(seen) == 2)
        here = threading.get_ident()
        assert seen == [(1, here, True), (2, here, True)]


@in_loop
async def test_the_current_value_is_given_while_the_app_is_made() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    seen: list[str] = []
    panes: list[Any] = []

    def app() -> Any:
        auth = sessions.page()
        deliver_panel(auth.provider.state, lambda state: seen.append(state.status))
        assert seen == ["unknown"]  # U1: at once, and never signed_out
        panes.append(pn.pane.Str(auth.param.headline))
        return panes[-1]

    async with visited(app) as visitor:
        await visitor.open()
        assert panes[0].object == "Connecting…"
        make.clients[0].sign_in()
        await until(lambda: panes[0].object == "u1@example.com")
        assert set(seen) == {"unknown", "signed_in"}


@in_loop
async def test_a_thousand_quick_changes_end_on_the_last() -> None:
    stream: Subject[int] = Subject()
    newest: list[int] = []
    every: list[int] = []

    def app() -> Any:
        deliver_panel(stream, newest.append)
        deliver_panel(stream, every.append, coalesce=False)
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        for n in range(1000):
            stream.on_next(n)
        await until(lambda: len(every) == 1000)
        assert every == list(range(1000))
        assert newest == [999]


@in_loop
async def test_a_thousand_quick_changes_of_the_session_end_on_the_last() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    panes: list[Any] = []

    def app() -> Any:
        panes.append(pn.pane.Str(sessions.page().param.user_email))
        return panes[-1]

    async with visited(app) as visitor:
        await visitor.open()
        for n in range(1000):
            make.clients[0].sign_in("A", f"u{n}")
        await until(lambda: panes[0].object == "u999@example.com")


@in_loop
async def test_parameters_work_with_bind_rx_and_depends() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    told: list[str] = []

    class Greeter(param.Parameterized):
        auth = param.Parameter()

        @param.depends("auth.user_email", watch=True)
        def greet(self) -> None:
            told.append(self.auth.user_email)

    def app() -> Any:
        auth = sessions.page()
        here.greeter = Greeter(auth=auth)
        here.bound = pn.pane.Str(pn.bind(lambda state: state.status, auth.param.state))
        here.upper = pn.pane.Str(auth.param.user_email.rx().upper())
        return pn.Column(here.bound, here.upper)

    here = SimpleNamespace()
    async with visited(app) as visitor:
        await visitor.open()
        make.clients[0].sign_in()
        await until(lambda: told == ["u1@example.com"])
        await until(lambda: here.bound.object == "signed_in")
        await until(lambda: here.upper.object == "U1@EXAMPLE.COM")


@in_loop
async def test_an_end_is_told_under_the_lock_after_the_last_value() -> None:
    stream: Subject[int] = Subject()
    seen: list[object] = []

    def app() -> Any:
        deliver_panel(stream, seen.append, on_completed=lambda: seen.append(pn.state.curdoc))
        documents.append(pn.state.curdoc)
        return pn.Column()

    def emit() -> None:
        stream.on_next(1)
        stream.on_completed()

    documents: list[Document] = []
    async with visited(app) as visitor:
        await visitor.open()
        await elsewhere(emit)
        await until(lambda: len(seen) == 2)
        assert seen == [1, documents[0]]


@pytest.mark.parametrize("coalesce", [True, False])
@in_loop
async def test_what_a_view_raises_goes_to_panel_and_later_values_come(
    coalesce: bool,
) -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []
    raised: list[Exception] = []

    def view(n: int) -> None:
        seen.append(n)
        if n == 1:
            raise ValueError("of the view")

    def app() -> Any:
        pn.config.exception_handler = raised.append
        deliver_panel(stream, view, coalesce=coalesce)
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        stream.on_next(1)
        await until(lambda: raised)
        stream.on_next(2)
        await until(lambda: seen == [1, 2])
        assert [str(error) for error in raised] == ["of the view"]


@in_loop
async def test_without_a_handler_what_a_view_raises_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []

    def view(n: int) -> None:
        seen.append(n)
        if n == 1:
            raise ValueError("of the view")

    def app() -> Any:
        deliver_panel(stream, view)
        return pn.Column()

    with caplog.at_level(logging.ERROR):
        async with visited(app) as visitor:
            await visitor.open()
            stream.on_next(1)
            await until(lambda: "of the view" in caplog.text)
            stream.on_next(2)
            await until(lambda: seen == [1, 2])


# -- the right lifetime ----------------------------------------------------------------------


@in_loop
async def test_u8_a_value_on_its_way_to_a_session_that_is_over_is_dropped() -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []

    def app() -> Any:
        pane = pn.pane.Str("")
        deliver_panel(stream, lambda n: (seen.append(n), setattr(pane, "object", str(n))))
        return pane

    async with visited(app) as visitor:
        await visitor.open()
        await visitor.leave()
        assert not stream.observers
        stream.on_next(2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not seen


@in_loop
async def test_u8_a_value_between_the_end_of_a_document_and_its_handlers_raises_nothing() -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []

    def app() -> Any:
        documents.append(pn.state.curdoc)
        deliver_panel(stream, seen.append)
        return pn.Column()

    documents: list[Document] = []
    async with visited(app) as visitor:
        await visitor.open()
        session = documents[0].session_context.session
        destroy = session.destroy

        def destroy_and_emit() -> None:
            destroy()
            assert stream.observers  # its handlers are called only later
            stream.on_next(1)

        session.destroy = destroy_and_emit
        await visitor.leave()
        assert not stream.observers
        assert not seen


@in_loop
async def test_l11_nothing_is_given_after_dispose() -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []
    shown: list[Any] = []

    def app() -> Any:
        shown.append(deliver_panel(stream, seen.append, coalesce=False))
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        stream.on_next(1)
        shown[0].dispose()
        shown[0].dispose()
        stream.on_next(2)
        assert not stream.observers
        await elsewhere(lambda: None)
        assert not seen


@in_loop
async def test_l8_dispose_on_another_thread_returns_and_ends_it() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    seen: list[object] = []
    shown: list[Any] = []

    def app() -> Any:
        auth = sessions.page()
        shown.append(deliver_panel(auth.provider.session, seen.append))
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        await elsewhere(shown[0].dispose)
        make.clients[0].sign_in()
        await until(lambda: not make.providers[0].session.observed)
        assert len(seen) == 1


@in_loop
async def test_l3_views_that_come_and_go_leave_nothing_in_a_session_that_stays() -> None:
    stream: Subject[int] = Subject()
    gone: list[weakref.ref[Any]] = []
    documents: list[Document] = []

    class View:
        def __call__(self, n: int) -> None: ...

    def app() -> Any:
        documents.append(pn.state.curdoc)
        before = len(documents[0].session_destroyed_callbacks)
        for _ in range(300):
            view = View()
            gone.append(weakref.ref(view))
            deliver_panel(stream, view).dispose()
        assert len(documents[0].session_destroyed_callbacks) == before + 1
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        gc.collect()
        assert not [each for each in gone if each() is not None]
        assert not adapter._lives[documents[0]].disposable


@in_loop
async def test_l3_a_session_that_is_over_is_collected_and_its_provider_closed() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    pages: list[weakref.ref[Any]] = []
    documents: list[weakref.ref[Any]] = []

    def app() -> Any:
        auth = sessions.page()
        pages.append(weakref.ref(auth))
        documents.append(weakref.ref(pn.state.curdoc))
        deliver_panel(auth.provider.state, lambda state: None)
        return pn.pane.Str(auth.param.headline)

    async with visited(app) as visitor:
        await visitor.open()
        await visitor.leave()
        await until(lambda: sessions.open == 0)
        assert make.closed == [True]
        assert not make.providers[0].state.observed

        def collected() -> bool:
            gc.collect()
            return documents[0]() is None and pages[0]() is None

        await until(collected)


@in_loop
async def test_k6_a_button_may_sign_out_and_close_from_its_callback() -> None:
    server = EmbeddedServer()
    sessions = BrowserAuth(server.url, transport=server.transport)
    here = SimpleNamespace(done=[])

    def app() -> Any:
        auth = here.auth = sessions.page()

        async def leave(event: object) -> None:
            await auth.client.sign_out()
            here.done.append(auth.provider.state.value.status)
            await sessions.aclose()
            here.done.append("closed")

        here.title = pn.pane.Str(auth.param.headline)
        here.button = pn.widgets.Button(label="Leave", on_click=leave)
        here.document = pn.state.curdoc
        return pn.Column(here.title, here.button)

    async with visited(app) as visitor:
        await visitor.open()
        assert await here.auth.attempt(
            here.auth.client.sign_up_email(email=EMAIL, password=PASSWORD, name="Ada Lovelace")
        )
        await until(lambda: here.title.object == "Ada Lovelace")
        here.document.add_next_tick_callback(lambda: here.button.param.trigger("clicks"))
        await until(lambda: "closed" in here.done)
        assert here.done == ["signed_out", "closed"]
        assert sessions.open == 0
    server.close()


@in_loop
async def test_k6_a_view_may_close_everything_while_it_is_given_a_value() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    closing: list[asyncio.Task[None]] = []

    def app() -> Any:
        auth = sessions.page()

        def view(state: Any) -> None:
            if state.is_authenticated and not closing:
                auth.close()
                closing.append(asyncio.create_task(sessions.aclose()))

        deliver_panel(auth.provider.state, view)
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        make.clients[0].sign_in()
        await until(lambda: closing and closing[0].done())
        closing[0].result()
        assert make.closed == [True]
        assert sessions.open == 0


@in_loop
async def test_l1_a_session_that_is_over_leaves_no_timer() -> None:
    make = Fakes()
    sessions = BrowserAuth(make, grace=0)
    pages: list[PageAuth[FakeAuthClient]] = []

    def app() -> Any:
        pages.append(sessions.page())
        return pn.pane.Str(pages[-1].param.token_remaining)

    async with visited(app) as visitor:
        await visitor.open()
        make.clients[0].sign_in()
        await until(lambda: pages[0].token_remaining in ("14:59", "15:00"))
        assert pages[0]._second is not None
        await visitor.leave()
        assert pages[0]._second is None
        await until(lambda: sessions.open == 0)
    assert make.closed == [True]


# -- one provider for each browser -----------------------------------------------------------


@in_loop
async def test_tabs_and_reloads_of_a_browser_share_its_provider_and_others_do_not() -> None:
    make = Fakes()
    sessions = BrowserAuth(make, grace=60)
    pages: list[PageAuth[FakeAuthClient]] = []

    def app() -> Any:
        pages.append(sessions.page())
        assert sessions.page() is pages[-1]  # however often it is asked for in one session
        return pn.pane.Str(pages[-1].param.headline)

    async with visited(app) as visitor:
        cookie = await visitor.open()
        assert len(cookie) == 1
        again = await visitor.open(**cookie)
        assert not again  # it has one
        assert (len(make.providers), sessions.open) == (1, 1)
        make.clients[0].sign_in()
        await until(lambda: [page.headline for page in pages] == ["u1@example.com"] * 2)
        await visitor.leave()
        assert sessions.open == 1  # for the grace
        assert [page._second for page in pages] == [None, None]
        make.clients[0].sign_in("B", "u2")
        make.clients[0].sign_in()
        await asyncio.sleep(0)
        assert not make.providers[0].state.observed
        later = await visitor.open(**cookie)
        assert pages[2].headline == "u1@example.com"  # no flash: the first thing it shows
        other = await visitor.open()
        assert pages[3].headline == "Connecting…"
        assert other.keys() == cookie.keys()
        assert other != cookie
        assert not later
        assert pages[0].provider is pages[2].provider is not pages[3].provider
        assert sessions.open == 2
    await sessions.aclose()


@in_loop
async def test_a_script_that_runs_for_each_visitor_shares_the_pool_through_the_cache() -> None:
    make = Fakes()
    pools: list[BrowserAuth[FakeAuthClient]] = []

    def script() -> Any:
        pools.append(pn.state.as_cached("auth", BrowserAuth, source=make))
        return pn.pane.Str(pools[-1].page().param.headline)

    async with visited(script) as visitor:
        cookie = await visitor.open()
        await visitor.open(**cookie)
        assert pools[0] is pools[1]
        assert (len(make.providers), pools[0].open) == (1, 1)
    pn.state.clear_caches()
    pn.state.cache.clear()
    await until(lambda: pools[0].open == 0)


@in_loop
async def test_s9_a_cookie_that_was_not_given_out_is_not_accepted() -> None:
    make = Fakes()
    sessions = BrowserAuth(make, grace=0)

    def app() -> Any:
        sessions.page()
        return pn.Column()

    async with visited(app) as visitor:
        cookie = await visitor.open()
        (name,) = cookie
        planted = {name: "x" * 43}
        given = await visitor.open(**planted)
        assert given[name] not in (planted[name], cookie[name])
        await visitor.leave()
        await until(lambda: sessions.open == 0)
        late = await visitor.open(**cookie)  # its provider is closed
        assert late[name] != cookie[name]
        assert len(make.providers) == 3


# -- arguments -------------------------------------------------------------------------------


@in_loop
async def test_arguments_that_cannot_work_fail_at_the_call() -> None:
    nonsense: Any = "no stream"
    refused: list[str] = []

    async def coroutine(n: int) -> None: ...

    def app() -> Any:
        for call in (
            lambda: deliver_panel(nonsense, print),
            lambda: deliver_panel(Subject[int](), nonsense),
            lambda: deliver_panel(Subject[int](), coroutine),
        ):
            with pytest.raises(ConfigurationError) as raised:
                call()
            refused.append(str(raised.value))
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        assert len(refused) == 3
    with pytest.raises(ConfigurationError, match="sessions"):
        deliver_panel(Subject[int](), print)
    with pytest.raises(ConfigurationError, match="sessions"):
        BrowserAuth("https://app.example.com").page()


def test_bad_options_fail_where_browser_auth_is_made() -> None:
    with pytest.raises(ConfigurationError, match="margin"):
        BrowserAuth("https://app.example.com", margin=-1)
    with pytest.raises(ConfigurationError, match="initial_token"):
        BrowserAuth("https://app.example.com", initial_token="x")
    with pytest.raises(ConfigurationError, match="grace"):
        BrowserAuth("https://app.example.com", grace=-1)


@in_loop
async def test_asked_for_in_a_thread_the_error_says_where_to_call_it() -> None:
    sessions = BrowserAuth(Fakes())
    said: list[str] = []

    def app() -> Any:
        document = pn.state.curdoc

        def ask() -> None:
            with set_curdoc(document), pytest.raises(ConfigurationError) as raised:
                sessions.page()
            said.append(str(raised.value))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(10)
        return pn.Column()

    async with visited(app) as visitor:
        await visitor.open()
        assert "thread" in said[0]


def test_warming_up_makes_a_page_that_asks_for_nothing() -> None:
    server = EmbeddedServer()
    sessions = BrowserAuth(server.url, transport=server.transport)
    pages: list[PageAuth[Any]] = []

    def app() -> Any:
        pages.append(sessions.page())
        return pn.pane.Str(pages[-1].param.headline)

    application = pn.io.server.build_applications(app)["/"]
    session = generate_session(application)  # what `panel serve --warm` does
    assert pages[0].headline == "Connecting…"
    assert sessions.open == 0
    assert not server.requests
    pn.io.document._cleanup_doc(session.document)
    assert not sessions._pages
    server.close()


@in_loop
async def test_s2_a_page_shows_no_secret_and_cannot_be_pickled() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    pages: list[PageAuth[FakeAuthClient]] = []

    def app() -> Any:
        pages.append(sessions.page())
        return pn.pane.Str(pages[-1].param.headline)

    async with visited(app) as visitor:
        await visitor.open()
        make.clients[0].sign_in()
        await until(lambda: pages[0].has_token)
        token = make.providers[0].token.value
        assert token is not None
        assert repr(pages[0]) == str(pages[0]) == "<PageAuth signed_in>"
        assert token.value not in repr(pages[0].param.values())
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(pages[0])


@pytest.mark.parametrize("missing", ["panel", "param"])
def test_without_the_package_the_import_error_names_the_extra(missing: str) -> None:
    for module in ("reactive_auth.ui.panel", "reactive_auth.examples.panel"):
        script = f"""
import sys
sys.modules[{missing!r}] = None
import reactive_auth.ui
import {module}
"""
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert f'{missing} is not installed: pip install "reactive-auth[panel]"' in run.stderr


@in_loop
async def test_the_example_without_a_server_of_its_own_has_no_outage_button() -> None:
    sessions: Any = BrowserAuth(Fakes())
    buttons: list[Any] = []

    def app() -> Any:
        page = example(ExampleServer("https://app.example.com"), sessions)
        buttons.extend(page.select(pn.widgets.Button))
        return page

    async with visited(app) as visitor:
        await visitor.open()
        hidden = {button.label for button in buttons if not button.visible}
        assert hidden == {"Simulate an outage"}


# -- real browsers ---------------------------------------------------------------------------


@contextlib.contextmanager
def running(app: Callable[[], Any]) -> Generator[tuple[str, LoopThread]]:
    """The app in this process, on a loop of its own, for real browsers."""
    thread = LoopThread()
    stack = contextlib.ExitStack()

    def start() -> int:
        server = stack.enter_context(
            server_of(
                app,
                IOLoop.current(),
                check_unused_sessions_milliseconds=300,
                unused_session_lifetime_milliseconds=2000,
            )
        )
        return int(server.port)

    try:
        yield f"http://127.0.0.1:{thread.call(start)}/", thread
    finally:
        thread.call(stack.close)
        thread.stop()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.close()


def test_s9_two_users_in_one_process_share_nothing_and_closing_their_tabs_closes_all(
    server: EmbeddedServer,
) -> None:
    sessions = BrowserAuth(server.url, transport=server.transport, grace=0.2)
    pages: list[PageAuth[Any]] = []

    def app() -> Any:
        auth = sessions.page()
        pages.append(auth)
        who = pn.widgets.TextInput(label="Name")

        async def sign_up(event: object) -> None:
            await auth.attempt(
                auth.client.sign_up_email(
                    email=f"{who.value}@example.com", password=PASSWORD, name=f"{who.value} Smith"
                )
            )

        facts = [
            pn.pane.Str(getattr(auth.param, name), css_classes=[name])
            for name in ("headline", "session_id", "user_email")
        ]
        return pn.Column(*facts, who, pn.widgets.Button(label="Sign up", on_click=sign_up))

    with running(app) as (url, thread), browser() as chromium:
        tabs = [chromium.new_context().new_page() for _ in range(2)]
        sent = [Sent(tab) for tab in tabs]
        headlines = [tab.locator(".headline pre") for tab in tabs]
        for tab, headline, name in zip(tabs, headlines, ("Alice", "Bobby"), strict=True):
            tab.goto(url)
            expect(headline).to_have_text("Signed out")
            tab.get_by_label("Name").fill(name)
            tab.get_by_role("button", name="Sign up").click()
            expect(headline).to_have_text(f"{name} Smith")
        ids = [tab.locator(".session_id pre").inner_text().strip() for tab in tabs]
        assert ids[0] != ids[1]
        assert sessions.open == 2
        until_here(lambda: all(page.has_token for page in pages))
        for mine, other in ((0, 1), (1, 0)):
            name = ("Alice", "Bobby")[other]
            # Everything the server ever sent to the one browser, and what is there now.
            for text in (f"{name} Smith", f"{name}@example.com", ids[other]):
                assert text not in sent[mine]
                assert text not in tabs[mine].content()
            assert f"{('Alice', 'Bobby')[mine]} Smith" in sent[mine]
            own, theirs = pages[mine].provider, pages[other].provider
            assert own is not theirs
            assert own.client is not theirs.client
            assert own.client._jar is not theirs.client._jar
            assert own.client._jar.session_value != theirs.client._jar.session_value
            tokens = [each.token.value for each in (own, theirs)]
            assert tokens[0] is not None
            assert tokens[1] is not None
            assert tokens[0].value != tokens[1].value
            assert tokens[0].session_id.startswith(ids[mine])
            for token in tokens:
                assert token is not None
                assert token.value not in sent[mine]  # tokens stay on the server
        # One signs out: nothing changes for the other.
        thread.run(pages[0].client.sign_out())
        expect(headlines[0]).to_have_text("Signed out")
        expect(headlines[1]).to_have_text("Bobby Smith")
        # A reload, and another tab, are the same browser.
        mark = len(sent[1])
        tabs[1].reload()
        expect(headlines[1]).to_have_text("Bobby Smith")
        assert "Signed out" not in sent[1].since(mark)
        second = tabs[1].context.new_page()
        second.goto(url)
        expect(second.locator(".headline pre")).to_have_text("Bobby Smith")
        assert sessions.open == 2
        for tab in (*tabs, second):
            tab.close()
        until_here(lambda: sessions.open == 0)
        assert all("closed" in repr(page.provider) for page in pages)
        assert all(page._second is None for page in pages)
        names = thread.call(lambda: [task.get_name() for task in asyncio.all_tasks()])
        assert not [name for name in names if "reactive_auth" in name]


def test_the_example_from_sign_in_to_sign_out() -> None:
    with served("panel") as url, browser_page() as page:
        drive_the_example(page, url, lambda name: f".{name} pre", r"^[12]:\d\d$", enter=False)
