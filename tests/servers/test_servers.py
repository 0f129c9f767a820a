"""The harness runs, and reproduces the facts that the library is built on."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .npm import VERSIONS, NodeServer, Request, ServerOptions, Version, ensure_installed

PASSWORD = "correct horse battery"
COOKIE = "better-auth.session_token"


@pytest.fixture(scope="module", params=VERSIONS)
def shared(request: pytest.FixtureRequest) -> Iterator[NodeServer]:
    with NodeServer(request.param) as server:
        yield server


@pytest.fixture
def server(shared: NodeServer) -> NodeServer:
    shared.reset()
    return shared


@pytest.fixture(scope="module", params=VERSIONS)
def caching(request: pytest.FixtureRequest) -> Iterator[NodeServer]:
    with NodeServer(request.param, ServerOptions(cookie_cache=True)) as server:
        yield server


@pytest.fixture
def client(server: NodeServer) -> Iterator[httpx.Client]:
    with browser(server) as opened:
        yield opened


def browser(server: NodeServer) -> httpx.Client:
    """A client that sends the Origin a browser would send."""
    return httpx.Client(
        base_url=server.auth_url, headers={"origin": server.url}, trust_env=False, timeout=30
    )


_emails = (f"user{n}@example.com" for n in range(10_000))


def sign_up(client: httpx.Client) -> httpx.Response:
    body = {"name": "A", "email": next(_emails), "password": PASSWORD}
    response = client.post("/sign-up/email", json=body)
    assert response.status_code == 200, response.text
    return response


def session_of(client: httpx.Client, **query: str) -> Any:
    response = client.get("/get-session", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * 3))
    return decoded


async def cancel_once_held(
    server: NodeServer,
    method: str,
    path: str,
    *,
    cookies: dict[str, str] | None = None,
    after_id: int = 0,
) -> Request:
    """Send a request, cancel it while the server holds it, and return it as the server saw it."""
    async with httpx.AsyncClient(
        base_url=server.auth_url,
        headers={"origin": server.url},
        cookies=cookies,
        trust_env=False,
        timeout=30,
    ) as client:
        pending = asyncio.ensure_future(client.request(method, path))
        await server.wait_async(path, state="held", after_id=after_id)
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        [seen] = await server.wait_async(path, state="aborted", after_id=after_id)
        return seen


def cleared(response: httpx.Response) -> set[str]:
    lines = response.headers.get_list("set-cookie")
    return {line.split("=")[0] for line in lines if "Max-Age=0" in line}


# --- what the server answers ----------------------------------------------------------------


def test_sign_up_sets_cookies(server: NodeServer, client: httpx.Client) -> None:
    response = sign_up(client)
    lines = response.headers.get_list("set-cookie")
    session_cookie = next(line for line in lines if line.startswith(COOKIE + "="))
    for part in ("Max-Age=604800", "Path=/", "HttpOnly", "SameSite=Lax"):
        assert part in session_cookie
    assert "Secure" not in session_cookie
    assert ("better-auth.convex_jwt" in response.cookies) == (server.version == "v16")
    assert response.headers["set-auth-token"]
    assert set(response.json()) == {"token", "user"}
    assert session_of(client)["user"]["id"] == response.json()["user"]["id"]


def test_without_a_cookie(server: NodeServer, client: httpx.Client) -> None:
    response = client.get("/get-session")
    assert (response.status_code, response.text) == (200, "null")
    assert COOKIE not in cleared(response)
    for path in server.token_paths:
        assert client.get(path).status_code == 401


def test_tokens(server: NodeServer, client: httpx.Client) -> None:
    sign_up(client)
    session = session_of(client)["session"]
    for path in server.token_paths:
        token = claims(client.get(path).json()["token"])
        assert token["exp"] - token["iat"] == 900
        assert token["sub"] == session["userId"]
        assert token.get("sessionId") == (session["id"] if path == "/convex/token" else None)
        assert token["iss"] == server.url
        assert token["aud"] == ("convex" if path == "/convex/token" else server.url)
    algs = {"/jwks": "EdDSA"} | ({"/convex/jwks": "RS256"} if server.version == "v16" else {})
    for path, alg in algs.items():
        assert {key["alg"] for key in client.get(path).json()["keys"]} == {alg}


def test_change_password_rotates(server: NodeServer, client: httpx.Client) -> None:
    sign_up(client)
    before = session_of(client)["session"]
    old_cookie = client.cookies[COOKIE]
    body = {"currentPassword": PASSWORD, "newPassword": PASSWORD + "!"}

    response = client.post("/change-password", json=body | {"revokeOtherSessions": False})
    assert response.json()["token"] is None
    assert session_of(client)["session"]["id"] == before["id"]

    body = {"currentPassword": PASSWORD + "!", "newPassword": PASSWORD}
    response = client.post("/change-password", json=body | {"revokeOtherSessions": True})
    assert response.status_code == 200
    after = session_of(client)["session"]
    assert response.json()["token"] == after["token"] != before["token"]
    assert after["id"] != before["id"]
    assert after["userId"] == before["userId"]

    with browser(server) as stale:
        stale.cookies.set(COOKIE, old_cookie, domain="127.0.0.1")
        dead = stale.get("/get-session")
        assert (dead.status_code, dead.text) == (200, "null")
        assert COOKIE in cleared(dead)
        for path in server.token_paths:
            stale.cookies.set(COOKIE, old_cookie, domain="127.0.0.1")
            dead = stale.get(path)
            assert dead.status_code == 401
            assert COOKIE in cleared(dead)
    assert session_of(client)["session"]["id"] == after["id"]


def test_origin(server: NodeServer) -> None:
    with httpx.Client(base_url=server.auth_url, trust_env=False) as plain:
        assert sign_up(plain)
        assert session_of(plain) is not None
        refused = plain.post("/sign-out")
        assert refused.status_code == 403
        assert refused.json()["code"] == "MISSING_OR_NULL_ORIGIN"
        foreign = plain.post("/sign-out", headers={"origin": "http://elsewhere.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "INVALID_ORIGIN")
        assert session_of(plain) is not None
        good = plain.post("/sign-out", headers={"origin": server.url})
        assert good.json() == {"success": True}
        assert session_of(plain) is None


def test_bearer_needs_no_origin(server: NodeServer, client: httpx.Client) -> None:
    bearer = sign_up(client).headers["set-auth-token"]
    with httpx.Client(base_url=server.auth_url, trust_env=False) as plain:
        plain.headers["authorization"] = f"Bearer {bearer}"
        assert plain.post("/update-user", json={"name": "B"}).status_code == 200
        assert session_of(plain)["user"]["name"] == "B"


def test_one_time_token(server: NodeServer, client: httpx.Client) -> None:
    sign_up(client)
    session = session_of(client)["session"]
    token = client.get("/one-time-token/generate").json()["token"]
    with browser(server) as other:
        response = other.post("/one-time-token/verify", json={"token": token})
        assert response.status_code == 200
        assert response.json()["session"]["id"] == session["id"]
        assert session_of(other)["session"]["id"] == session["id"]
        again = other.post("/one-time-token/verify", json={"token": token})
        assert again.status_code == 400
        assert "code" not in again.json()


def test_device_code(client: httpx.Client) -> None:
    started = client.post("/device/code", json={"client_id": "c"})
    assert {"device_code", "user_code", "interval"} <= set(started.json())
    body = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": started.json()["device_code"],
        "client_id": "c",
    }
    pending = client.post("/device/token", json=body)
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")


def test_change_email_and_delete_user(client: httpx.Client) -> None:
    sign_up(client)
    email = next(_emails)
    assert client.post("/change-email", json={"newEmail": email}).status_code == 200
    assert session_of(client)["user"]["email"] == email
    assert client.post("/delete-user", json={"password": PASSWORD}).json()["success"] is True
    assert session_of(client) is None


def test_cookie_cache_hides_a_revocation_and_can_be_bypassed(caching: NodeServer) -> None:
    with browser(caching) as client:
        sign_up(client)
        session = session_of(client)["session"]
        jar = dict(client.cookies)
        assert "better-auth.session_data" in jar
        assert caching.revoke(session["id"])
        for path in caching.token_paths:
            client.cookies.clear()
            client.cookies.update(jar)
            stale = client.get(path)
            assert stale.status_code == 200, "the cache still speaks for the dead session"
            assert claims(stale.json()["token"])["sub"] == session["userId"]
            client.cookies.clear()
            client.cookies.update(jar)
            true = client.get(path, params={"disableCookieCache": "true"})
            assert true.status_code == 401
            assert COOKIE in cleared(true)
        client.cookies.clear()
        client.cookies.update(jar)
        assert session_of(client)["session"]["id"] == session["id"]
        assert session_of(client, disableCookieCache="true") is None


def test_cookie_cache_bypass_serves_a_living_session(caching: NodeServer) -> None:
    with browser(caching) as client:
        sign_up(client)
        session = session_of(client)["session"]
        for path in caching.token_paths:
            response = client.get(path, params={"disableCookieCache": "true"})
            assert response.status_code == 200
            assert claims(response.json()["token"])["sub"] == session["userId"]


@pytest.mark.parametrize("version", VERSIONS)
def test_options_reach_the_server(version: Version) -> None:
    options = ServerOptions(
        session={"expiresIn": 3600, "updateAge": 600},
        jwt_expiration_s=60,
        convex_alg="EdDSA",
        options={"advanced": {"cookiePrefix": "mine"}},
    )
    with NodeServer(version, options) as server, browser(server) as client:
        response = sign_up(client)
        assert "Max-Age=3600" in response.headers["set-cookie"]
        assert "mine.session_token" in response.cookies
        for path in server.token_paths:
            token = claims(client.get(path).json()["token"])
            assert token["exp"] - token["iat"] == 60
        session = session_of(client)["session"]
        server.set_clock(1200)  # past updateAge: the cookie is sent again, the id stays
        refreshed = client.get("/get-session")
        assert "mine.session_token" in refreshed.cookies
        assert refreshed.json()["session"]["id"] == session["id"]
        assert refreshed.json()["session"]["expiresAt"] > session["expiresAt"]
        assert server.age_session(session["id"], expires_in=-1)
        assert session_of(client) is None


# --- the control surface --------------------------------------------------------------------


def test_scripted_answers(server: NodeServer, client: httpx.Client) -> None:
    server.script("/get-session", skip=1, times=2, status=503, headers={"retry-after": "7"})
    server.script("/get-session", body={"made": "up"})
    server.script("/get-session", raw="<html>", headers={"content-type": "text/html"})
    server.script("/get-session", headers={"x-extra": "1"})
    answers = [client.get("/get-session") for _ in range(7)]
    assert [one.status_code for one in answers] == [200, 503, 503, 200, 200, 200, 200]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[3].json() == {"made": "up"}
    assert answers[4].text == "<html>"
    assert (answers[5].text, answers[5].headers["x-extra"]) == ("null", "1")
    assert "x-extra" not in answers[6].headers
    seen = server.requests("/get-session")
    assert [one.status for one in seen] == [200, 503, 503, 200, 200, 200, 200]
    assert [one.scripted for one in seen] == [False, True, True, True, True, True, False]
    server.reset()
    assert server.count() == 0


def test_hang_release_and_abort(server: NodeServer, client: httpx.Client) -> None:
    server.script("/get-session", hang=True, times=None)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.get, "/get-session")
        [held] = server.wait("/get-session", state="held")
        assert not pending.done()
        assert server.release() == 1
        assert pending.result(30).text == "null"
    aborted = asyncio.run(cancel_once_held(server, "GET", "/get-session", after_id=held.id))
    assert (aborted.aborted, aborted.done, aborted.status) == (True, False, None)
    with pytest.raises(TimeoutError):
        server.wait("/get-session", count=9, timeout=0.01)


@pytest.mark.parametrize("how", ["drop", "abort", "answer"])
def test_after_means_that_the_work_is_done(
    server: NodeServer, client: httpx.Client, how: str
) -> None:
    sign_up(client)
    complaints = server.stderr
    if how == "drop":
        server.script("/sign-out", drop=True, when="after")
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/sign-out")
    elif how == "abort":
        server.script("/sign-out", hang=True, when="after")
        jar = dict(client.cookies)
        asyncio.run(cancel_once_held(server, "POST", "/sign-out", cookies=jar))
    else:
        server.script("/sign-out", status=502, when="after")
        assert client.post("/sign-out").status_code == 502
    assert COOKIE in client.cookies
    assert session_of(client) is None
    assert server.stderr == complaints


def test_drop_before(server: NodeServer, client: httpx.Client) -> None:
    sign_up(client)
    server.script("/sign-out", drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/sign-out")
    assert session_of(client) is not None


def test_delay(server: NodeServer, client: httpx.Client) -> None:
    server.script("/get-session", delay_ms=20)
    assert client.get("/get-session").text == "null"


def test_revoke(server: NodeServer, client: httpx.Client) -> None:
    sign_up(client)
    session_id = session_of(client)["session"]["id"]
    assert session_id in {row["id"] for row in server.sessions()}
    assert server.revoke(session_id)
    assert not server.revoke(session_id)
    assert session_of(client) is None


def test_server_clock(server: NodeServer, client: httpx.Client) -> None:
    sign_up(client)
    path = server.token_paths[0]
    now = claims(client.get(path).json()["token"])["iat"]
    server.set_clock(3600)
    response = client.get(path)
    assert 3600 <= claims(response.json()["token"])["iat"] - now < 3700
    server.reset()


# --- installing and ending ------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_server_ends_with_its_test_run(version: Version) -> None:
    """A run that is killed runs no clean-up, but its end of the server's stdin closes."""
    code = (
        "import os, sys; from npm import NodeServer\n"
        f"server = NodeServer({version!r}).start()\n"
        "print(server.url, flush=True)\n"
        "sys.stdin.readline(); os._exit(9)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    with run.stdin, run.stdout:
        url = run.stdout.readline().strip()
        with httpx.Client(trust_env=False, timeout=30) as client:
            # An answer that the server never sends: the connection ends when the server does.
            script = {"path": "/get-session", "hang": True}
            assert client.post(f"{url}/__test/script", json=script).status_code == 200
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pending = pool.submit(client.get, f"{url}/api/auth/get-session")
                client.post(f"{url}/__test/wait", json={"path": "/get-session", "state": "held"})
                run.stdin.write("\n")
                run.stdin.flush()
                assert run.wait(30) == 9
                with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                    pending.result(30)


def test_missing_node_is_loud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="Node"):
        ensure_installed("v17")


def test_a_server_that_cannot_start_is_loud() -> None:
    broken = NodeServer("v17", ServerOptions(options={"baseURL": "nonsense"}))
    try:
        with pytest.raises(RuntimeError, match="did not start"):
            broken.start()
        assert not broken.running
    finally:
        broken.stop()


def test_install_runs_once_between_processes(tmp_path: Path) -> None:
    """Racing processes wait for one install; a changed package.json installs again."""
    folder = tmp_path / "v17"
    folder.mkdir()
    package = {"name": "empty", "version": "0.0.0", "private": True}
    (folder / "package.json").write_text(json.dumps(package))
    code = (
        "import sys, pathlib, npm; real = npm.subprocess.run\n"
        "def run(*a, **k): print('install'); return real(*a, **k)\n"
        "npm.subprocess.run = run; npm.ensure_installed('v17', root=pathlib.Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]

    def race() -> int:
        runs = [
            subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        outputs = [run.communicate(timeout=300)[0] for run in runs]
        assert [run.returncode for run in runs] == [0, 0, 0]
        return sum(output.count("install") for output in outputs)

    assert race() == 1
    assert race() == 0
    (folder / "package.json").write_text(json.dumps(package | {"description": "changed"}))
    assert race() == 1
    shutil.rmtree(folder)
