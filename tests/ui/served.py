"""An example app of a web toolkit in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

__all__ = ["free_port", "served", "serving"]

_ROOT = Path(__file__).resolve().parents[2]
_START = 30.0
_STOP = 10.0
_OUR_FRAME = re.compile(r'File ".*\breactive_auth\b')


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(toolkit: str, arguments: Sequence[str] = ()) -> Generator[str]:
    """Run ``python -m reactive_auth.examples.<toolkit>`` until it answers; gives its URL.

    Afterwards it is interrupted, as Ctrl-C does, and has to end in time and without a
    traceback of ours.
    """
    port = free_port()
    command = [sys.executable, "-m", f"reactive_auth.examples.{toolkit}", "--port", str(port)]
    with serving([*command, *arguments], f"http://127.0.0.1:{port}/") as url:
        yield url


@contextlib.contextmanager
def serving(command: Sequence[str], url: str) -> Generator[str]:
    """Run a command until it answers at the URL, and interrupt it afterwards."""
    group = subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            creationflags=group,
        )

        def said() -> str:
            output.seek(0)
            return output.read()

        try:
            _wait_for(url, process, said)
            yield url
            process.send_signal(
                signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT
            )
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                raise AssertionError(
                    f"{command[2]} did not end when interrupted:\n{said()}"
                ) from None
            # What a toolkit logs of a browser that closed its socket is its own affair.
            assert not _OUR_FRAME.search(said()), said()
            assert process.returncode == 0 or sys.platform == "win32", said()
        finally:
            process.kill()
            process.wait(_STOP)


def _environment() -> dict[str, str]:
    # Toolkits look into it to find out whether they are being tested; and no window may open.
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "NICEGUI"))}
    return {**ours, "BROWSER": "true"}


def _wait_for(url: str, process: subprocess.Popen[bytes], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the app ended:\n{said()}"
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    raise AssertionError(f"the app does not answer at {url}:\n{said()}")
