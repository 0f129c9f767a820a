"""A JupyterLab in a headless browser."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

import nbformat
from playwright.sync_api import Locator, Page

from tests.ui.browser import browser_page

_START = 60.0


class Lab:
    """One notebook, open in it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def run_cell(self, number: int) -> None:
        """Run one cell and wait until it is done."""
        cell = self.cell(number)
        cell.locator(".jp-InputArea-editor").click()
        before = cell.locator(".jp-InputPrompt").inner_text()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            "([cell, before]) => { const now = cell.querySelector('.jp-InputPrompt').innerText;"
            " return now !== before && /\\d/.test(now) }",
            arg=[cell.element_handle(), before],
            timeout=30_000,
        )

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-CodeCell").nth(number)

    def output(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-OutputArea-output")

    def restart_kernel(self) -> None:
        self.page.get_by_text("Kernel", exact=True).first.click()
        self.page.get_by_text(re.compile("^Restart Kernel…$")).click()
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()


@contextlib.contextmanager
def lab(folder: Path, cells: Sequence[str]) -> Generator[Lab]:
    """JupyterLab with a new notebook of these cells, and a page that shows it."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(notebook, folder / "it.ipynb")
    with _served(folder) as url, browser_page() as page:
        page.set_viewport_size({"width": 1280, "height": 1400})
        page.goto(f"{url}lab/tree/it.ipynb?reset")
        page.locator(".jp-CodeCell").nth(len(cells) - 1).wait_for(timeout=60_000)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for(
            state="attached", timeout=60_000
        )
        yield Lab(page)


@contextlib.contextmanager
def _served(folder: Path) -> Generator[str]:
    options = {
        "IdentityProvider.token": "",
        "ServerApp.port": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "ServerApp.root_dir": str(folder),
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())]
    # Nothing of the person who runs the tests: settings and workspaces are the tests' own.
    home = {
        name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }
    home["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    process = subprocess.Popen(
        command,
        env={**os.environ, **home, "JUPYTER_PREFER_ENV_PATH": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: SimpleQueue[str] = SimpleQueue()
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stderr or ()])
    reader.start()
    said: list[str] = []
    try:
        while True:
            try:
                said.append(lines.get(timeout=_START))
            except Empty:
                raise RuntimeError("JupyterLab did not start:\n" + "".join(said)) from None
            found = re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/", said[-1])
            if found:
                yield found.group()
                break
    finally:
        process.terminate()
        process.wait(30)
        reader.join(10)
        process.stderr.close()
