"""What the tests of web toolkits share."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from playwright.sync_api import Page

from reactive_auth import AuthProvider
from reactive_auth.clock import SYSTEM_CLOCK, Clock
from reactive_auth.testing import FakeAuthClient

T = TypeVar("T")

#: How long anything may take (seconds).
PATIENCE = 10.0


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110  # there is no event for what a view shows
            await asyncio.sleep(0.005)


def until_here(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something holds on another thread."""
    tick = threading.Event()
    for _ in range(int(patience / 0.01)):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it did not come to that in time")


def ours() -> list[asyncio.Task[Any]]:
    """The tasks of this library on the running loop."""
    return [task for task in asyncio.all_tasks() if "reactive_auth" in task.get_name()]


def in_loop(scenario: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine, after which none of our tasks is left."""

    @functools.wraps(scenario)
    def test(**fixtures: Any) -> None:
        async def main() -> None:
            async with asyncio.timeout(60):
                await scenario(**fixtures)
            assert not ours()

        asyncio.run(main())

    return test


async def elsewhere(call: Callable[[], object]) -> None:
    """Call on another thread, and wait for its end without stopping the loop."""
    await asyncio.get_running_loop().run_in_executor(None, call)


@contextlib.contextmanager
def quick_collections() -> Generator[None]:
    """Toolkits collect garbage whenever a test or a page ends: spare them what was there before,
    which takes a quarter of a second each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Fakes:
    """Makes providers over scripted clients, and remembers them."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self.clients: list[FakeAuthClient] = []
        self.providers: list[AuthProvider[FakeAuthClient]] = []

    def __call__(self) -> AuthProvider[FakeAuthClient]:
        client = FakeAuthClient(self.clock)
        provider = AuthProvider(client, clock=self.clock)
        self.clients.append(client)
        self.providers.append(provider)
        return provider

    @property
    def closed(self) -> list[bool]:
        return ["closed" in repr(provider) for provider in self.providers]


class LoopThread:
    """An event loop on a thread of its own, which runs a server."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.submit(work).result(30)

    def call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self.run(call())

    def stop(self) -> None:
        self.run(_finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.loop.close()


async def _finish() -> None:
    """What asyncio.run does at its end; servers leave tasks behind."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


class Sent:
    """Everything a page was ever sent over its websockets, in order."""

    def __init__(self, page: Page) -> None:
        self.texts: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._add))

    def _add(self, payload: str | bytes) -> None:
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else payload
        self.texts.append(text)

    def __contains__(self, text: str) -> bool:
        return any(text in each for each in self.texts)

    def since(self, mark: int) -> str:
        return "\n".join(self.texts[mark:])

    def __len__(self) -> int:
        return len(self.texts)


def drive_the_example(
    page: Page, url: str, fact: Callable[[str], str], counted: str, *, enter: bool = True
) -> None:
    """The whole story of an example app: refused, signed in, rotated, an outage, signed out.

    :param fact: the selector of the element that shows this attribute of the page.
    :param counted: what the time a token is good for looks like at first.
    :param enter: whether the Enter key signs in.
    """
    from playwright.sync_api import expect

    from reactive_auth.examples.server import EMAIL, PASSWORD

    sent = Sent(page)
    page.goto(url)
    headline = page.locator(fact("headline"))
    expect(headline).to_have_text("Signed out")
    page.get_by_label("E-mail", exact=True).fill(EMAIL)
    page.get_by_label("Password", exact=True).fill("wrong horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(fact("failure"))).to_have_text("Invalid email or password")

    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(headline).to_have_text("Ada Lovelace")
    expect(page.locator(fact("failure"))).to_be_hidden()
    expect(page.locator(fact("user_email"))).to_have_text(EMAIL)
    expect(page.get_by_label("E-mail", exact=True)).to_be_hidden()
    remaining = page.locator(fact("token_remaining"))
    expect(remaining).to_have_text(re.compile(counted))
    first = remaining.inner_text().strip()
    assert re.match(counted, first)
    expect(remaining).not_to_have_text(first)  # it is counted down

    mark = len(sent)
    session = page.locator(fact("session_id"))
    before = session.inner_text()
    assert len(before.strip()) == 8
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("battery staple")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Password changed, session renewed")).to_be_visible()
    expect(session).not_to_have_text(before)
    expect(session).to_have_text(re.compile(r"^\s*\w{8}\s*$"))
    expect(headline).to_have_text("Ada Lovelace")
    assert len(sent) > mark
    for gone in ("Signed out", "Connecting", "reconnecting"):
        assert gone not in sent.since(mark)  # not for an instant

    page.get_by_role("button", name="Simulate an outage").click()
    expect(headline).to_have_text("Ada Lovelace · reconnecting…")
    expect(page.locator(fact("trouble"))).to_be_visible()
    expect(page.locator(fact("user_email"))).to_have_text(EMAIL)
    page.get_by_role("button", name="End the outage").click()
    expect(headline).to_have_text("Ada Lovelace")
    expect(page.locator(fact("trouble"))).to_be_hidden()
    assert "Signed out" not in sent.since(mark)

    page.reload()  # the sign-in is the browser's, not the page's
    expect(headline).to_have_text("Ada Lovelace")
    page.get_by_role("button", name="Sign out").click()
    expect(headline).to_have_text("Signed out")
    expect(page.get_by_label("E-mail", exact=True)).to_be_visible()
    page.get_by_label("E-mail", exact=True).fill(EMAIL)
    page.get_by_label("Password", exact=True).fill("battery staple")
    if enter:
        page.get_by_label("Password", exact=True).press("Enter")
    else:
        page.get_by_role("button", name="Sign in").click()
    expect(headline).to_have_text("Ada Lovelace")  # U5: in, out, in again
