"""The command line as a person uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from reactive_auth.client import BetterAuthClient
from reactive_auth.embedded import EmbeddedServer

PASSWORD = "correct-horse-battery"


def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = ["-c", code, *arguments] if code else ["-m", "reactive_auth", *arguments]
    return subprocess.run(
        [sys.executable, "-W", "error", *program],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=False,
    )


def test_the_demo_fails_with_an_exit_status_where_something_does_not_hold() -> None:
    outcome = run("demo", "--plain", "--url", "http://127.0.0.1:9")
    assert outcome.returncode == 1
    assert "did not hold" in outcome.stdout
    assert "Traceback" not in outcome.stderr


def test_a_url_that_is_not_safe_is_one_line_and_no_traceback() -> None:
    outcome = run("demo", "--url", "http://app.example.com")
    assert outcome.returncode == 1
    assert "plain http" in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("module", ["rich", "better_auth"])
def test_without_its_extra_the_demo_names_it(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from reactive_auth.cli import main\n"
        "sys.exit(main(['demo']))"
    )
    outcome = run(code=code)
    assert outcome.returncode == 1
    assert 'pip install "reactive-auth[demo]"' in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("arguments", [[], ["demo", "--nonsense"], ["watch"], ["--help"]])
def test_wrong_words_and_help_show_the_usage(arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.returncode == (0 if "--help" in arguments else 2)
    assert "usage: reactive-auth" in outcome.stdout + outcome.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is POSIX")
def test_watch_asks_for_the_password_follows_and_ends_cleanly_on_ctrl_c() -> None:
    import asyncio
    import pty

    server = EmbeddedServer()
    with server.serve() as url:

        async def sign_up() -> None:
            async with BetterAuthClient(url) as client:
                await client.sign_up_email(email="w@example.com", password=PASSWORD, name="W")

        asyncio.run(sign_up())
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "reactive_auth", "watch", url],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown = b""

        def read_until(text: bytes) -> None:
            nonlocal shown
            while text not in shown:
                shown += os.read(ours, 65_536)

        try:
            read_until(b"Email:")
            os.write(ours, b"w@example.com\n")
            read_until(b"Password:")
            os.write(ours, PASSWORD.encode() + b"\n")
            read_until(b"signed in, with a token")
            process.send_signal(signal.SIGINT)
            read_until(b"signed out")
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            os.close(ours)
    assert PASSWORD.encode() not in shown
    assert b"Traceback" not in shown
    assert server.count("/sign-out") == 1
    server.close()
