"""The card in a real marimo, which runs a notebook as an app: every visitor in one process."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from reactive_auth import AuthProvider, BetterAuthClient, connect
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.jupyter import card
from reactive_auth.jupyter import connect as connect_here
from tests.ui.browser import browser
from tests.ui.served import free_port, serving

PASSWORD = "s3cr3t of the form"
NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    from reactive_auth.jupyter import connect

    auth = connect("{url}")
    return (auth,)


@app.cell
def _(auth):
    auth
    return


@app.cell
def _(auth):
    auth.session
    return
"""


async def _sign_up(url: str, *names: str) -> None:
    async with connect(url) as auth:
        for name in names:
            await auth.client.sign_up_email(
                email=f"{name.lower()}@example.com", password=PASSWORD, name=name
            )


def _sign_in(page: Page, name: str) -> None:
    page.get_by_placeholder("E-mail").fill(f"{name.lower()}@example.com")
    page.get_by_placeholder("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".headline")).to_have_text(name)


def test_s9_u9_visitors_of_a_marimo_app_have_a_card_each_and_share_nothing(tmp_path: Path) -> None:
    port = free_port()
    with EmbeddedServer() as server, server.serve() as url:
        asyncio.run(_sign_up(url, "Ada", "Bob"))
        notebook = tmp_path / "app.py"
        notebook.write_text(NOTEBOOK.format(url=url), "utf-8")
        command = [sys.executable, "-m", "marimo", "--yes", "run", str(notebook), "--headless"]
        command += ["--no-token", "--port", str(port)]
        with serving(command, f"http://127.0.0.1:{port}/") as app, browser() as running:
            ada, bob = (running.new_context().new_page() for _ in range(2))
            for page in (ada, bob):
                page.goto(app)
                expect(page.locator(".headline")).to_have_text("Signed out", timeout=60_000)
            _sign_in(ada, "Ada")
            expect(bob.locator(".headline")).to_have_text("Signed out")
            _sign_in(bob, "Bob")
            expect(ada.locator(".headline")).to_have_text("Ada")
            assert len(set(server.sessions())) == 4  # two were made by signing up

            ada.get_by_role("button", name="Sign out").click()
            expect(ada.locator(".headline")).to_have_text("Signed out")
            expect(bob.locator(".headline")).to_have_text("Bob")
            for session in server.sessions():
                server.revoke(session)
            bob.get_by_role("button", name="Refresh token").click()
            expect(bob.locator(".headline")).to_have_text("Signed out")


def test_s9_each_event_loop_has_a_provider_of_its_own() -> None:
    made: list[AuthProvider[BetterAuthClient]] = []
    together = threading.Barrier(2, timeout=10)

    async def visit() -> None:
        auth = connect_here("https://app.example.com")
        assert connect_here("https://app.example.com") is auth
        made.append(auth)
        together.wait()
        await auth.aclose()

    visitors = [threading.Thread(target=asyncio.run, args=(visit(),)) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(10)
    assert len(made) == len(set(made)) == 2


def test_what_marimo_is_given_is_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with connect("https://app.example.com") as auth:
            assert auth._display_() is card(auth)
            assert auth.session._display_() is card(auth.session)
            monkeypatch.setattr("reactive_auth.display.find_spec", lambda name: None)
            assert "unknown" in auth._display_().text

    asyncio.run(main())
