"""What the pictures of the web toolkits share: the states of the example, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from reactive_auth.examples.server import EMAIL, PASSWORD
from tests.ui.browser import browser_page
from tests.ui.served import served

__all__ = ["shoot"]


def shoot(toolkit: str, folder: Path, fact: Callable[[str], str]) -> list[Path]:
    """Take them as ``<toolkit>-<state>.png``; ``fact`` gives the selector of an attribute."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: list[Path] = []
    with served(toolkit) as url, browser_page(width=640, height=660) as page:

        def take(state: str) -> None:
            page.mouse.move(0, 0)
            page.wait_for_function(
                "document.getAnimations().every((each) => each.playState !== 'running')"
            )
            taken.append(folder / f"{toolkit}-{state}.png")
            page.screenshot(path=taken[-1])

        headline = page.locator(fact("headline"))
        sign_in = page.get_by_role("button", name="Sign in")
        outage = page.get_by_role("button", name="Simulate an outage")
        page.goto(url)
        page.get_by_label("E-mail", exact=True).fill(EMAIL)
        page.get_by_label("Password", exact=True).fill("wrong horse")
        sign_in.click()
        expect(page.locator(fact("failure"))).to_be_visible()
        expect(sign_in).to_be_enabled()
        take("sign-in")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        sign_in.click()
        expect(headline).to_have_text("Ada Lovelace")
        expect(page.locator(fact("token_remaining"))).to_contain_text(":")
        expect(outage).to_be_enabled()
        take("signed-in")
        outage.click()
        expect(headline).to_contain_text("reconnecting")
        expect(page.get_by_role("button", name="End the outage")).to_be_enabled()
        take("reconnecting")
    return taken
