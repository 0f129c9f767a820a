"""S2: what pytest prints of failures inside the library's calls, with variables of all frames."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from reactive_auth.embedded import EmbeddedServer

# The tests' own frames hold no secret: what they hold would be theirs.
FAILING = """
import asyncio, json, os

import pytest

from reactive_auth import AuthProvider, connect, connect_blocking
from reactive_auth.testing import FakeAuthClient, make_jwt
from reactive_auth.verify import JwksVerifier

URL = os.environ["AUTH_URL"]
DEAD = "http://127.0.0.1:9"


class Secret:
    def __getattr__(self, name):
        return f"{name}-s3cr3t-value"

    __repr__ = object.__repr__


S = Secret()


def run(function):
    def test():
        asyncio.run(function())

    return test


@run
async def test_refused_sign_in():
    async with connect(URL) as auth:
        await auth.client.sign_in_email(email="a@example.com", password=S.password)


@run
async def test_dead_server():
    async with connect(DEAD) as auth:
        await auth.client.sign_up_email(
            email="a@example.com", password=S.password, name="A", code=S.code
        )


@run
async def test_401():
    async with connect(URL) as auth:
        await auth.client.change_password(current_password=S.old, new_password=S.new)


@run
async def test_timeout():
    async with connect(URL) as auth:
        async with asyncio.timeout(0):
            await auth.client.request("POST", "/x", json={"a": S.body}, query={"token": S.query})


@run
async def test_invalid_token():
    fake = FakeAuthClient()
    async with AuthProvider(fake, timeout=0.2) as auth:
        fake.then(make_jwt({"sessionId": "another"}) + S.sig).then_hang()
        fake.sign_in()
        await auth.fetch_access_token()


@run
async def test_rejected():
    async with connect(DEAD, timeout=0.2) as auth:
        await auth.fetch_access_token(rejected=S.token)


@run
async def test_one_time_token():
    async with connect(URL) as auth:
        await auth.client.handle_redirect("https://app.test/?ott=" + S.ott)


@run
async def test_verify():
    verifier = JwksVerifier(URL + "/jwks", algorithms=["EdDSA"], issuer=URL, audience=URL)
    await verifier.verify(make_jwt({"sub": "a"}) + S.sig)


def test_configuration():
    connect(URL, cookies={"session_token": S.cookie + ";"})


def test_blocking():
    with connect_blocking(URL) as auth:
        auth.client.sign_in_email(email="a@example.com", password=S.password)


def test_blocking_future():
    with connect_blocking(URL) as auth:
        auth.client.sign_in_email.future(email="a@example.com", password=S.password).result(60)
"""


def test_s2_pytest_with_showlocals_prints_no_secret(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING, "utf-8")
    with EmbeddedServer() as server, server.serve() as url:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--showlocals", "--full-trace", "-vv"),
                *("-p", "no:cacheprovider", "--log-level=DEBUG", "-o", "addopts=", "--tb=long"),
                "test_failing.py",
            ],
            cwd=tmp_path,
            env={**_environment(), "AUTH_URL": url},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    output = run.stdout + run.stderr
    count = FAILING.count("\ndef test_") + FAILING.count("async def test_")
    assert f"{count} failed" in output, output[-3000:]
    for error in ("AuthRejected", "AuthUnavailable", "NotAuthenticated", "TimeoutError"):
        assert error in output
    assert "TokenRefused" in output
    assert "ConfigurationError" in output
    shown = [line for line in output.splitlines() if "s3cr3t" in line and "return f" not in line]
    assert not shown, "\n".join(shown[:20])


def _environment() -> dict[str, str]:
    unwanted = ("PYTEST_", "COV_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
