"""A real Chromium for the end-to-end tests of web toolkits, without a window."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator

from playwright.sync_api import Browser, Page, expect, sync_playwright

__all__ = ["browser", "browser_page", "chromium"]

#: How long a page may take to show what is waited for (milliseconds).
PATIENCE = 15_000

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The browser's path: ``CHROMIUM`` in the environment, or whichever is installed."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise RuntimeError(
            "these tests need a Chromium: install one (apt-get install chromium, say) "
            "or name it in the environment variable CHROMIUM"
        )
    return found


@contextlib.contextmanager
def browser() -> Generator[Browser]:
    """A browser; each ``new_context()`` of it is another user with cookies of its own."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=list(_ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def browser_page(*, width: int = 900, height: int = 700) -> Generator[Page]:
    """A page of a browser of its own."""
    with browser() as running:
        page = running.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        yield page
