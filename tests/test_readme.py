"""Every code block of the README does what it says."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from reactive_auth.embedded import EmbeddedServer
from tests.convex_bridge.deployment import deployed
from tests.ui.display import display

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [code.strip() for language, code in BLOCKS if language == "sh"]
SERVERS = [code for code in PYTHON if "FastAPI" in code]  # run by tests/verify/test_fastapi.py
#: Programs that run until somebody closes a window: how somebody comes, looks and closes it.
VISITORS = {
    "PySide6": """
import os
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from PySide6 import QtCore, QtWidgets
run = QtWidgets.QApplication.exec
def visit(*_):
    timer = QtCore.QTimer()
    def look():
        labels = [w.text() for w in QtWidgets.QApplication.topLevelWidgets()
                  if isinstance(w, QtWidgets.QLabel)]
        if labels == ["Signed out"]:
            print("seen: Signed out")
            QtWidgets.QApplication.quit()
    timer.timeout.connect(look)
    timer.start(50)
    return run()
QtWidgets.QApplication.exec = visit
""",
    "tkinter": """
import tkinter
def visit(window):
    while not any(getattr(w, "cget", str)("text") == "Signed out"
                  for w in window.winfo_children()):
        window.update()
    print("seen: Signed out")
    window.destroy()
tkinter.Tk.mainloop = visit
""",
    "textual": """
import asyncio
from textual.app import App
def visit(app):
    async def look():
        async with app.run_test() as pilot:
            while str(app.query_one("#who").content) != "Signed out":
                await pilot.pause(0.02)
            print("seen: Signed out")
    asyncio.run(look())
App.run = visit
""",
    "nicegui": """
import asyncio, httpx, socket
from nicegui import app, ui
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
run = ui.run
async def look():
    async with httpx.AsyncClient() as http:
        page = (await http.get(f"http://127.0.0.1:{port}/")).text
    if "Sign in" in page:
        print("seen: Sign in", flush=True)
    app.shutdown()
app.on_startup(lambda: asyncio.get_running_loop().call_later(0.5, asyncio.ensure_future, look()))
ui.run = lambda **options: run(port=port, show=False, reload=False, **options)
""",
}
VISITED = {
    name: code
    for name in VISITORS
    for code in PYTHON
    if f"from {name}" in code or f"import {name}" in code
}
PROGRAMS = [
    code
    for code in PYTHON
    if "def test_" not in code and code not in SERVERS and code not in VISITED.values()
]
TESTS = [code for code in PYTHON if "def test_" in code]


def test_every_block_is_of_a_kind_that_is_executed() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh", "text"}
    assert len(PROGRAMS) == 7
    assert len(VISITED) == len(VISITORS)
    assert len(SERVERS) == 1
    assert len(TESTS) == 1
    assert len(SHELL) == 2


class Api(BaseHTTPRequestHandler):
    """Anybody's API."""

    def do_GET(self) -> None:
        signed = self.headers.get("authorization", "").startswith("Bearer ey")
        self.send_response(200 if self.path == "/me" and signed else 401)
        self.end_headers()
        self.wfile.write(b'{"name": "Sue"}')

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def api() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("code", PROGRAMS, ids=lambda code: code.splitlines()[0])
def test_a_program_of_the_readme_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer())
        url, api_url = stack.enter_context(server.serve()), stack.enter_context(api())
        source = code.replace("https://app.example.com", url)
        source = source.replace("https://api.example.com", api_url)
        if "convex" in code:
            deployment = stack.enter_context(deployed())
            source = source.replace("https://happy-animal-123.convex.cloud", deployment.url)
        assert source != code
        compiled = compile(source, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        namespace: dict[str, Any] = {"__name__": "readme"}
        outcome = eval(compiled, namespace)
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)
    assert capsys.readouterr().out


@pytest.mark.parametrize("toolkit", VISITORS)
def test_a_program_with_a_view_shows_what_it_says(toolkit: str, tmp_path: Path) -> None:
    with EmbeddedServer() as server, server.serve() as url, display():
        program = tmp_path / "app.py"
        source = VISITED[toolkit].replace("https://app.example.com", url)
        program.write_text(VISITORS[toolkit] + source, "utf-8")
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "NICEGUI"))}
        run = subprocess.run(
            [sys.executable, str(program)],
            capture_output=True,
            encoding="utf-8",
            env={**ours, "PYTHONIOENCODING": "utf-8"},
            timeout=60,
            check=False,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "seen: Sign" in run.stdout


def test_the_test_of_the_readme_passes(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text("import asyncio\n\n\n" + TESTS[0], "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_the_demo_command_of_the_readme_succeeds() -> None:
    install, _, demo = SHELL[0].partition(" && ")
    assert shlex.split(install)[:4] == ["python", "-m", "pip", "install"]
    run = subprocess.run(
        [sys.executable, *shlex.split(demo)[1:], "--plain"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Everything held." in run.stdout


def test_ci_runs_the_readmes_test_command() -> None:
    assert SHELL[1].endswith("&& python -m pytest")
    assert "README.md" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_files_the_readme_points_at_exist() -> None:
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", README):
        assert (ROOT / "reactive_auth" / name).exists(), name
