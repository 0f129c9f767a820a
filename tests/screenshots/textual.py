"""The Textual example: ``python -m tests.screenshots.textual FOLDER`` (SVG, and PNG of it where
Chromium is)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Button, Input, Label

from reactive_auth import connect
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer, example_server
from reactive_auth.examples.textual import Home
from tests.ui.browser import browser_page

NEW_PASSWORD = "battery staple"
SIZE = (80, 32)


def shots(folder: Path) -> list[Path]:
    """The sign-in form with an error, signed in, password changed, reconnecting."""
    folder.mkdir(parents=True, exist_ok=True)
    with example_server() as server:
        pictures = asyncio.run(_pictures(server))
    made: list[Path] = []
    with browser_page(width=1000, height=840) as page:
        for state, svg in pictures.items():
            page.set_content(f"<body style='margin:0'>{svg}</body>")
            made.append(folder / f"textual_{state}.png")
            page.locator("svg").screenshot(path=made[-1])
    return made


async def _pictures(server: ExampleServer) -> dict[str, str]:
    app = Home(connect(server.url), server)
    pictures: dict[str, str] = {}
    async with app.run_test(size=SIZE) as pilot:

        def text(name: str) -> str:
            return str(app.query_one(f"#{name}", Label).content)

        def idle() -> bool:
            return not app.query_one("#sign-out", Button).disabled

        async def keep(state: str) -> None:
            await pilot.pause()
            pictures[state] = app.export_screenshot()

        await _until(pilot, lambda: text("headline") == "Signed out")
        app.query_one("#email", Input).value = EMAIL
        app.query_one("#password", Input).value = "wrong horse"
        await pilot.click("#sign-in")
        await _until(pilot, lambda: text("message") and idle())
        await keep("1_refused")
        app.query_one("#password", Input).value = PASSWORD
        await pilot.click("#sign-in")
        await _until(pilot, lambda: ":" in text("token") and idle())
        await keep("2_signed_in")
        app.query_one("#current", Input).value = PASSWORD
        app.query_one("#new", Input).value = NEW_PASSWORD
        await pilot.click("#change")
        await _until(pilot, lambda: text("message") and idle())
        await keep("3_password_changed")
        await pilot.click("#outage")
        await _until(pilot, lambda: "reconnecting" in text("headline") and idle())
        await keep("4_reconnecting")
    return pictures


async def _until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "in vain"
        await pilot.pause(0.005)


if __name__ == "__main__":
    for path in shots(Path(sys.argv[1])):
        print(path)
