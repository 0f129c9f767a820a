"""NiceGUI: one provider for each browser, views in the page's own context and lifetime."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from nicegui import Client, app, ui
from nicegui.storage import Storage
from nicegui.testing import User, user_simulation
from nicegui.testing.general import nicegui_reset_globals
from playwright.sync_api import expect
from reactivex.subject import Subject

from reactive_auth import AuthClosed, ConfigurationError
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.examples.nicegui import home
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer
from reactive_auth.testing import FakeAuthClient
from reactive_auth.ui import nicegui as adapter
from reactive_auth.ui.nicegui import BrowserAuth, PageAuth, deliver_nicegui

from .browser import browser, browser_page
from .served import free_port, served
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

#: How often the simulation looks again, ten times a second.
PATIENT = 100


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quick_collections():
        yield


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "path", tmp_path)


@contextlib.asynccontextmanager
async def simulated(root: Callable[[], Any]) -> AsyncGenerator[User]:
    """The app of one page, and a user of it."""
    async with user_simulation(root) as user:
        yield user


def shown_in(client: Client) -> list[str]:
    return [e.text for e in client.elements.values() if isinstance(e, ui.label)]


# -- the right thread and context ------------------------------------------------------------


@pytest.mark.parametrize("coalesce", [True, False])
@in_loop
async def test_u6_values_from_any_thread_are_given_on_the_loop_in_the_page(coalesce: bool) -> None:
    stream: Subject[int] = Subject()
    seen: list[tuple[int, int, Client]] = []

    def page() -> None:
        deliver_nicegui(
            stream,
            lambda n: seen.append((n, threading.get_ident(), ui.context.client)),
            coalesce=coalesce,
        )

    async with simulated(page) as user:
        client = await user.open("/")
        asyncio.get_running_loop().set_debug(True)  # refuses calls that are not thread-safe
        await elsewhere(lambda: stream.on_next(1))
        asyncio.get_running_loop().set_debug(False)
        await until(lambda: len(seen) == 1)
        stream.on_next(2)  # also from the loop: in a turn of its own
        assert len(seen) == 1
        await until(lambda: len(seen) == 2)
        here = threading.get_ident()
        assert seen == [(1, here, client), (2, here, client)]


@in_loop
async def test_a_view_may_make_elements_where_it_was_given() -> None:
    stream: Subject[str] = Subject()
    cards: list[ui.card] = []

    def page() -> None:
        with ui.card() as card:
            cards.append(card)
            deliver_nicegui(stream, lambda text: ui.label(text))
            deliver_nicegui(stream, lambda text: ui.notify(f"now {text}"))

    async with simulated(page) as user:
        await user.open("/")
        await elsewhere(lambda: stream.on_next("hello"))
        await user.should_see("hello", retries=PATIENT)
        assert [child.text for child in cards[0].default_slot.children] == ["hello"]
        await until(lambda: user.notify.contains("now hello"))


@in_loop
async def test_the_current_value_is_given_while_the_page_is_built() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    seen: list[str] = []

    def page() -> None:
        auth = sessions.page()
        deliver_nicegui(auth.provider.state, lambda state: seen.append(state.status))
        assert seen == ["unknown"]  # U1: at once, and never signed_out
        ui.label().bind_text_from(auth, "headline")

    async with simulated(page) as user:
        client = await user.open("/")
        assert shown_in(client) == ["Connecting…"]
        make.clients[0].sign_in()
        await user.should_see("u1@example.com", retries=PATIENT)
        assert set(seen) == {"unknown", "signed_in"}


@in_loop
async def test_a_thousand_quick_changes_end_on_the_last() -> None:
    stream: Subject[int] = Subject()
    newest: list[int] = []
    every: list[int] = []

    def page() -> None:
        deliver_nicegui(stream, newest.append)
        deliver_nicegui(stream, every.append, coalesce=False)

    async with simulated(page) as user:
        await user.open("/")
        for n in range(1000):
            stream.on_next(n)
        await until(lambda: len(every) == 1000)
        assert every == list(range(1000))
        assert newest == [999]


@in_loop
async def test_a_thousand_quick_changes_of_the_session_end_on_the_last() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)

    def page() -> None:
        ui.label().bind_text_from(sessions.page(), "user_email")

    async with simulated(page) as user:
        client = await user.open("/")
        for n in range(1000):
            make.clients[0].sign_in("A", f"u{n}")
        await until(lambda: shown_in(client) == ["u999@example.com"])


@in_loop
async def test_an_end_is_told_in_the_page_after_the_last_value() -> None:
    stream: Subject[int] = Subject()
    seen: list[object] = []

    def page() -> None:
        deliver_nicegui(stream, seen.append, on_completed=lambda: seen.append(ui.context.client.id))

    def emit() -> None:
        stream.on_next(1)
        stream.on_completed()

    async with simulated(page) as user:
        client = await user.open("/")
        await elsewhere(emit)
        await until(lambda: len(seen) == 2)
        assert seen == [1, client.id]


@pytest.mark.parametrize("coalesce", [True, False])
@in_loop
async def test_what_a_view_raises_goes_to_nicegui_and_later_values_come(coalesce: bool) -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []
    of_app: list[Exception] = []
    of_page: list[Exception] = []

    def view(n: int) -> None:
        seen.append(n)
        if n == 1:
            raise ValueError("of the view")

    def page() -> None:
        ui.on_exception(of_page.append)
        deliver_nicegui(stream, view, coalesce=coalesce)

    async with simulated(page) as user:
        app._exception_handlers[:] = [of_app.append]
        await user.open("/")
        stream.on_next(1)
        await until(lambda: of_app)
        stream.on_next(2)
        await until(lambda: seen == [1, 2])
        assert [str(error) for error in of_app] == ["of the view"]
        assert of_page == of_app


@in_loop
async def test_a_binding_that_raises_leaves_no_other_behind() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    raised: list[Exception] = []

    def fussy(status: str) -> str:
        if status == "signed_in":
            raise ValueError("of the binding")
        return status

    def page() -> None:
        auth = sessions.page()
        ui.label().bind_text_from(auth, "status", fussy)
        ui.label().bind_text_from(auth, "headline")

    async with simulated(page) as user:
        app._exception_handlers[:] = [raised.append]
        await user.open("/")
        make.clients[0].then_hang()  # hence one state only
        make.clients[0].sign_in()
        await user.should_see("u1@example.com", retries=PATIENT)
        assert [str(error) for error in raised] == ["of the binding"]


# -- the right lifetime ----------------------------------------------------------------------


@in_loop
async def test_u8_a_value_on_its_way_to_a_page_that_is_gone_is_dropped() -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []

    def page() -> None:
        label = ui.label()
        deliver_nicegui(stream, lambda n: (seen.append(n), label.set_text(str(n))))

    async with simulated(page) as user:
        client = await user.open("/")
        stream.on_next(1)
        client.delete()
        assert not stream.observers
        stream.on_next(2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not seen


@in_loop
async def test_u8_a_view_ends_with_the_element_it_was_given_in() -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []
    cards: list[ui.card] = []

    def page() -> None:
        with ui.card() as card:
            cards.append(card)
            deliver_nicegui(stream, seen.append)

    async with simulated(page) as user:
        await user.open("/")
        stream.on_next(1)
        await until(lambda: seen == [1])
        stream.on_next(2)
        cards.pop().delete()
        gc.collect()
        await until(lambda: not stream.observers)
        assert seen == [1]


@in_loop
async def test_l11_nothing_is_given_after_dispose() -> None:
    stream: Subject[int] = Subject()
    seen: list[int] = []
    shown: list[Any] = []

    def page() -> None:
        shown.append(deliver_nicegui(stream, seen.append, coalesce=False))

    async with simulated(page) as user:
        await user.open("/")
        stream.on_next(1)
        shown[0].dispose()
        shown[0].dispose()
        stream.on_next(2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not seen
        assert not stream.observers


@in_loop
async def test_l8_dispose_on_another_thread_returns_and_ends_it() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    seen: list[object] = []
    shown: list[Any] = []

    def page() -> None:
        auth = sessions.page()
        shown.append(deliver_nicegui(auth.provider.session, seen.append))

    async with simulated(page) as user:
        await user.open("/")
        await elsewhere(shown[0].dispose)
        make.clients[0].sign_in()
        await until(lambda: not make.providers[0].session.observed)
        assert len(seen) == 1


@in_loop
async def test_l3_views_that_come_and_go_leave_nothing_in_a_page_that_stays() -> None:
    stream: Subject[int] = Subject()
    gone: list[weakref.ref[Any]] = []

    class View:
        def __call__(self, n: int) -> None: ...

    def page() -> None:
        for _ in range(300):
            view = View()
            gone.append(weakref.ref(view))
            deliver_nicegui(stream, view).dispose()

    async with simulated(page) as user:
        client = await user.open("/")
        gc.collect()
        assert not [each for each in gone if each() is not None]
        assert len(client.delete_handlers) == 1
        assert not adapter._lives[client].disposable


@in_loop
async def test_l3_a_page_that_is_gone_is_collected() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    pages: list[weakref.ref[Any]] = []

    def page() -> None:
        auth = sessions.page()
        pages.append(weakref.ref(auth))
        ui.label().bind_text_from(auth, "headline")
        deliver_nicegui(auth.provider.state, lambda state: None)

    async with simulated(page) as user:
        client = await user.open("/")
        user.client = None
        client.delete()
        await until(lambda: sessions.open == 0)
        assert make.closed == [True]
        assert not make.providers[0].state.observed
        gone = weakref.ref(client)
        del client
        await asyncio.sleep(0)

        def collected() -> bool:
            gc.collect()
            return gone() is None and pages[0]() is None

        await until(collected)


@in_loop
async def test_k6_a_button_may_sign_out_and_close_from_its_handler() -> None:
    server = EmbeddedServer()
    sessions = BrowserAuth(server.url, transport=server.transport)
    done: list[str] = []

    def page() -> None:
        auth = sessions.page()
        ui.label().bind_text_from(auth, "headline")

        async def leave() -> None:
            await auth.client.sign_out()
            done.append(auth.provider.state.value.status)
            await sessions.aclose()
            done.append("closed")

        ui.button("Leave", on_click=leave)

    async with simulated(page) as user:
        await user.open("/")
        auth = next(iter(sessions._pages.values()))
        assert await auth.attempt(
            auth.client.sign_up_email(email=EMAIL, password=PASSWORD, name="Ada Lovelace")
        )
        await user.should_see("Ada Lovelace", retries=PATIENT)
        user.find("Leave").click()
        await until(lambda: "closed" in done)
        assert done == ["signed_out", "closed"]
        assert sessions.open == 0
    server.close()


@in_loop
async def test_k6_a_view_may_close_everything_while_it_is_given_a_value() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    seen: list[str] = []
    closing: list[asyncio.Task[None]] = []

    def page() -> None:
        auth = sessions.page()

        def view(state: Any) -> None:
            seen.append(state.status)
            if state.is_authenticated and not closing:
                auth.close()
                closing.append(asyncio.create_task(sessions.aclose()))

        deliver_nicegui(auth.provider.state, view)

    async with simulated(page) as user:
        await user.open("/")
        make.clients[0].sign_in()
        await until(lambda: closing and closing[0].done())
        closing[0].result()
        assert make.closed == [True]
        assert sessions.open == 0


@in_loop
async def test_l1_shutting_the_app_down_closes_every_provider_and_stops_the_timers() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    pages: list[PageAuth[FakeAuthClient]] = []

    def page() -> None:
        pages.append(sessions.page())
        ui.label().bind_text_from(pages[-1], "token_remaining")

    async with simulated(page) as user:
        client = await user.open("/")
        make.clients[0].sign_in()
        await until(lambda: shown_in(client) in (["14:59"], ["15:00"]))
        assert pages[0]._second is not None
    assert make.closed == [True]
    assert sessions.open == 0
    assert pages[0]._second is None


# -- one provider for each browser -----------------------------------------------------------


@in_loop
async def test_tabs_and_reloads_of_a_browser_share_its_provider_and_others_do_not() -> None:
    make = Fakes()
    sessions = BrowserAuth(make, grace=60)
    pages: list[PageAuth[FakeAuthClient]] = []

    def page() -> None:
        pages.append(sessions.page())
        assert sessions.page() is pages[-1]  # however often it is asked for in one page
        ui.label().bind_text_from(pages[-1], "headline")

    async with simulated(page) as user:
        one = await user.open("/")
        tab = User(user.http_client)
        two = await tab.open("/")
        assert (len(make.providers), sessions.open) == (1, 1)
        make.clients[0].sign_in()
        await until(lambda: shown_in(one) == shown_in(two) == ["u1@example.com"])
        one.delete()
        assert pages[0]._second is None
        make.clients[0].sign_in("B", "u2")
        await until(lambda: shown_in(two) == ["u2@example.com"])
        assert pages[0].user_email == "u1@example.com"  # nobody looks at it any more
        make.clients[0].sign_in()
        await until(lambda: shown_in(two) == ["u1@example.com"])
        assert sessions.open == 1
        two.delete()
        assert sessions.open == 1  # for the grace
        three = await user.open("/")
        assert shown_in(three) == ["u1@example.com"]  # no flash: the first thing it shows
        user.http_client.cookies.clear()
        other = await User(user.http_client).open("/")
        assert shown_in(other) == ["Connecting…"]
        assert (len(make.providers), sessions.open) == (2, 2)
        assert pages[0].provider is pages[2].provider is not pages[3].provider


@in_loop
async def test_a_page_survives_a_short_disconnect() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)

    def page() -> None:
        ui.label().bind_text_from(sessions.page(), "headline")

    async with simulated(page) as user:
        client = await user.open("/")
        socket = next(iter(client._socket_to_document_id))
        document = client._socket_to_document_id[socket]
        client.handle_disconnect(socket)
        make.clients[0].sign_in()  # meanwhile
        await client.handle_handshake("another", "tab", None, document, None)
        await until(lambda: shown_in(client) == ["u1@example.com"])
        assert make.closed == [False]


@in_loop
async def test_coming_back_to_the_tab_looks_at_the_session() -> None:
    server = EmbeddedServer()
    sessions = BrowserAuth(server.url, transport=server.transport)

    def page() -> None:
        ui.label().bind_text_from(sessions.page(), "headline")

    async with simulated(page) as user:
        client = await user.open("/")
        auth = next(iter(sessions._pages.values()))
        await auth.client.sign_up_email(email=EMAIL, password=PASSWORD, name="Ada Lovelace")
        await user.should_see("Ada Lovelace", retries=PATIENT)
        session = auth.state.session
        assert session is not None
        await elsewhere(lambda: server.revoke(session.id))
        assert shown_in(client) == ["Ada Lovelace"]
        listener = next(
            each
            for each in client.layout._event_listeners.values()
            if each.type == "reactive_auth_visible"
        )
        auth.client._refetching._last_focus = float("-inf")  # not again within five seconds
        client.handle_event({"id": client.layout.id, "listener_id": listener.id, "args": []})
        await user.should_see("Signed out", retries=PATIENT)
    server.close()


# -- arguments -------------------------------------------------------------------------------


@in_loop
async def test_arguments_that_cannot_work_fail_at_the_call() -> None:
    nonsense: Any = "no stream"
    refused: list[str] = []

    async def coroutine(n: int) -> None: ...

    def page() -> None:
        for call in (
            lambda: deliver_nicegui(nonsense, print),
            lambda: deliver_nicegui(Subject[int](), nonsense),
            lambda: deliver_nicegui(Subject[int](), coroutine),
        ):
            with pytest.raises(ConfigurationError) as raised:
                call()
            refused.append(str(raised.value))

    async with simulated(page) as user:
        client = await user.open("/")
        assert len(refused) == 3
        client.delete()
    with pytest.raises(ConfigurationError, match="page function"):
        deliver_nicegui(Subject[int](), print)
    with pytest.raises(ConfigurationError, match="page function"):
        BrowserAuth("https://app.example.com").page()


def test_bad_options_fail_where_browser_auth_is_made() -> None:
    with pytest.raises(ConfigurationError, match="margin"):
        BrowserAuth("https://app.example.com", margin=-1)
    with pytest.raises(ConfigurationError, match="cookies"):
        BrowserAuth("https://app.example.com", cookies={"a": "b"})
    with pytest.raises(ConfigurationError, match="grace"):
        BrowserAuth("https://app.example.com", grace=-1)


@in_loop
async def test_without_a_storage_secret_the_error_says_what_to_do() -> None:
    sessions = BrowserAuth(Fakes())
    said: list[str] = []

    def page() -> None:
        client = ui.context.client
        client.request.scope.pop("session")
        with pytest.raises(ConfigurationError) as raised:
            sessions.page()
        said.append(str(raised.value))
        client.request.scope["session"] = {}

    async with simulated(page) as user:
        with contextlib.suppress(Exception):
            await user.open("/")
        assert "storage_secret" in said[0]


@in_loop
async def test_a_page_closed_while_it_was_built_gets_no_provider() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    stream: Subject[int] = Subject()
    raised: list[object] = []

    def page() -> None:
        pass

    async with simulated(page) as user:
        client = await user.open("/")
        client.delete()
        with client:
            with pytest.raises(AuthClosed):
                sessions.page()
            deliver_nicegui(stream, raised.append)
        assert not make.providers
        assert not stream.observers
        assert not raised


@in_loop
async def test_s2_a_page_shows_no_secret_and_cannot_be_pickled() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    pages: list[PageAuth[FakeAuthClient]] = []

    async with simulated(lambda: pages.append(sessions.page())) as user:
        await user.open("/")
        make.clients[0].sign_in()
        await until(lambda: pages[0].has_token)
        token = make.providers[0].token.value
        assert token is not None
        assert repr(pages[0]) == "<PageAuth signed_in>"
        bound = {name: getattr(pages[0], name) for name in dir(type(pages[0])) if name[0] != "_"}
        assert token.value not in repr(bound)
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(pages[0])


def test_without_the_package_the_import_error_names_the_extra() -> None:
    for module in ("reactive_auth.ui.nicegui", "reactive_auth.examples.nicegui"):
        script = f"""
import sys
sys.modules["nicegui"] = None
import reactive_auth.ui
import {module}
"""
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert 'nicegui is not installed: pip install "reactive-auth[nicegui]"' in run.stderr


# -- the example, simulated ------------------------------------------------------------------


@in_loop
async def test_the_example_without_a_server_of_its_own_has_no_outage_button() -> None:
    make = Fakes()
    sessions = BrowserAuth(make)
    theirs = ExampleServer("https://app.example.com")
    async with simulated(lambda: home(theirs, sessions)) as user:  # type: ignore[arg-type]
        await user.open("/")
        make.clients[0].sign_out()
        await user.should_see("https://app.example.com", retries=PATIENT)
        make.clients[0].sign_in()
        await user.should_see("Sign out", retries=PATIENT)
        await user.should_not_see("Simulate an outage")


# -- real browsers ---------------------------------------------------------------------------


@contextlib.contextmanager
def running(root: Callable[[], None]) -> Generator[tuple[str, LoopThread]]:
    """The app in this process, on a loop of its own, for real browsers."""
    port = free_port()
    with nicegui_reset_globals():
        thread = LoopThread()
        host = FastAPI()
        ui.run_with(
            host,
            root=root,
            storage_secret="a secret of the tests",
            reconnect_timeout=0.2,
            show_welcome_message=False,
        )
        config = uvicorn.Config(host, port=port, log_level="error", ws="websockets-sansio")
        server = uvicorn.Server(config)
        serving = thread.submit(server.serve())
        try:
            until_here(lambda: server.started or serving.done())
            yield f"http://127.0.0.1:{port}/", thread
        finally:
            server.should_exit = True
            serving.result(20)
            thread.stop()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.close()


def test_s9_two_users_in_one_process_share_nothing_and_closing_their_tabs_closes_all(
    server: EmbeddedServer,
) -> None:
    sessions = BrowserAuth(server.url, transport=server.transport, grace=1.0)
    pages: list[PageAuth[Any]] = []

    def page() -> None:
        auth = sessions.page()
        pages.append(auth)
        for name in ("headline", "session_id", "user_email"):
            ui.label().bind_text_from(auth, name).props(f"data-name={name}")
        who = ui.input("Name")

        async def sign_up() -> None:
            await auth.attempt(
                auth.client.sign_up_email(
                    email=f"{who.value}@example.com", password=PASSWORD, name=f"{who.value} Smith"
                )
            )

        ui.button("Sign up", on_click=sign_up)

    with running(page) as (url, thread), browser() as chromium:
        before = thread.call(lambda: {t.get_name() for t in asyncio.all_tasks()})
        tabs = [chromium.new_context().new_page() for _ in range(2)]
        sent = [Sent(tab) for tab in tabs]
        for tab, name in zip(tabs, ("Alice", "Bobby"), strict=True):
            tab.goto(url)
            expect(tab.locator("[data-name=headline]")).to_have_text("Signed out")
            tab.get_by_label("Name").fill(name)
            tab.get_by_role("button", name="Sign up").click()
            expect(tab.locator("[data-name=headline]")).to_have_text(f"{name} Smith")
        ids = [tab.locator("[data-name=session_id]").inner_text() for tab in tabs]
        assert ids[0] != ids[1]
        assert sessions.open == 2
        until_here(lambda: all(page.has_token for page in pages))
        for mine, other in ((0, 1), (1, 0)):
            name = ("Alice", "Bobby")[other]
            own = pages[mine].provider
            # Everything the server ever sent to the one browser, and what is there now.
            for text in (f"{name} Smith", f"{name}@example.com", ids[other]):
                assert text not in sent[mine]
                assert text not in tabs[mine].content()
            assert f"{('Alice', 'Bobby')[mine]} Smith" in sent[mine]
            theirs = pages[other].provider
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
        expect(tabs[0].locator("[data-name=headline]")).to_have_text("Signed out")
        expect(tabs[1].locator("[data-name=headline]")).to_have_text("Bobby Smith")
        # A reload, and another tab, are the same browser.
        mark = len(sent[1])
        tabs[1].reload()
        expect(tabs[1].locator("[data-name=headline]")).to_have_text("Bobby Smith")
        assert "Signed out" not in sent[1].since(mark)
        second = tabs[1].context.new_page()
        second.goto(url)
        expect(second.locator("[data-name=headline]")).to_have_text("Bobby Smith")
        assert sessions.open == 2
        for tab in (*tabs, second):
            tab.close()
        until_here(lambda: sessions.open == 0)
        assert all("closed" in repr(page.provider) for page in pages)

        def left() -> set[str]:
            names = thread.call(lambda: {t.get_name() for t in asyncio.all_tasks()})
            return {name for name in names - before if "reactive_auth" in name}

        assert not left()
        assert all(page._second is None for page in pages)
        late = second.context.new_page()  # the cookie is still there, the sign-in is not
        late.goto(url)
        expect(late.locator("[data-name=headline]")).to_have_text("Signed out")


def test_the_example_from_sign_in_to_sign_out() -> None:
    with served("nicegui") as url, browser_page() as page:
        drive_the_example(page, url, lambda name: f"[data-name={name}]", r"^[12]:\d\d$")
