"""What the fuzzer found, and stays found; and that it finds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from reactive_auth import AuthUnavailable, BetterAuthClient, ConfigurationError, InvalidToken
from reactive_auth.client import answers
from reactive_auth.extras import require
from tests.wire.support import COOKIE, URL

from . import __main__ as program
from .server import MARK, Fuzzed, play
from .targets import TARGETS

#: Each with what broke.
FINDINGS = {
    "an exception of another tree at every later request": ("cookies", b"a=\xc3\xa9"),
    "all cookies of the answer dropped": ("cookies", b"a=b; Max-Age=" + b"9" * 400),
    "all cookies dropped, by a year": ("cookies", b"a=b; Expires=01 Jan " + b"9" * 5000),
    "all cookies dropped, by no value": ("cookies", b"a=b; Max-Age; Secure"),
    "a header added by a token": ("token", b"=opaque\r\nX-Injected: 1"),
    "a token that no header takes": ("token", b"=\xc3\xa9"),
    "no sessions, by an answer that is no list": ("routes", b'\0\0{"id":"session-1"}'),
    "an answer that is no list taken for a refusal": ("routes", b"\x01\0{}"),
    "a list without tokens, one of which was sent": ("routes", b'\x01\0[{"id":"session-1"}]'),
    "a one-time token that is empty": ("routes", b'\x02\0{"token":""}'),
}


@pytest.mark.parametrize("finding", list(FINDINGS))
def test_what_was_found_is_mended(finding: str) -> None:
    name, data = FINDINGS[finding]
    TARGETS[name].check(data)


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"caf\xe9", b"\xff\xfe"])
def test_a_cookie_goes_back_as_the_bytes_that_came(value: bytes) -> None:
    async def scenario(here: Fuzzed) -> None:
        headers = [(b"set-cookie", b"theme=" + value + b"; Path=/")]
        here.server.instead("/custom", httpx.Response(200, headers=headers))
        await here.client.request("POST", "/custom")
        await here.client.refetch()
        raw = dict(here.server.log[-1].headers.raw)
        assert b"theme=" + value in raw[b"Cookie"].split(b"; ")

    play(scenario)


@pytest.mark.parametrize(
    "broken", [b"Max-Age=" + b"9" * 400, b"Expires=01 Jan " + b"9" * 5000, b"Max-Age"]
)
def test_a_malformed_cookie_does_not_take_the_session_cookie_with_it(broken: bytes) -> None:
    async def scenario(here: Fuzzed) -> None:
        await here.client.refetch()
        headers = [
            (b"set-cookie", b"a=b; " + broken),
            (b"set-cookie", COOKIE.encode() + b"=new; Path=/; Secure"),
        ]
        here.server.live["new"] = "session-9"
        here.server.instead("/custom", httpx.Response(200, headers=headers))
        await here.client.request("POST", "/custom")
        assert here.session_id == "session-9"

    play(scenario)


def test_a_deletion_by_an_overlong_negative_age_deletes() -> None:
    async def scenario(here: Fuzzed) -> None:
        await here.client.refetch()
        line = COOKIE.encode() + b"=x; Path=/; Secure; Max-Age=-" + b"9" * 400
        here.server.instead("/custom", httpx.Response(200, headers=[(b"set-cookie", line)]))
        await here.client.request("POST", "/custom")
        assert here.status == "signed_out"

    play(scenario)


def test_a_given_cookie_with_a_name_that_is_not_ascii_is_refused_at_the_call() -> None:
    with pytest.raises(ConfigurationError):
        BetterAuthClient(URL, cookies={"é": "x"})


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a b", "é", "a\0", "\ud800", "a\n"])
def test_a_token_that_no_request_could_carry_is_refused(value: str) -> None:
    async def scenario(here: Fuzzed) -> None:
        await here.client.refetch()
        here.client.fetch_token = lambda session: answer(value)  # type: ignore[method-assign]
        with pytest.raises(AuthUnavailable) as raised:
            await here.auth.fetch_access_token()
        assert isinstance(here.auth.state.value.error, InvalidToken)
        assert value not in str(raised.value)

    async def answer(token: str) -> str:
        await asyncio.sleep(1)
        return token

    play(scenario)


# -- the fuzzer itself ---------------------------------------------------------------------------


def test_a_target_reports_a_parser_that_believes_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactive_auth.client.keeper.read_session", _gullible)
    with pytest.raises(AssertionError):
        TARGETS["session"].check(b"<html>")


def test_a_target_reports_an_exception_of_another_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactive_auth.client.keeper.read_session", _clumsy)
    with pytest.raises(KeyError):
        TARGETS["session"].check(b"{}")


def test_a_target_reports_a_secret_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactive_auth.client.answers.read_user", _talkative)
    with pytest.raises(AssertionError, match="shows a secret"):
        TARGETS["session"].check(b'{"session":{"id":"A"},"user":{"id":null}}')


def _gullible(answer: object, offset: object) -> object:
    return answers.SessionState.signed_out()


def _clumsy(answer: object, offset: object) -> object:
    raise KeyError("session")


def _talkative(data: dict[str, object]) -> object:
    if data["id"] is None:
        raise answers.AuthUnavailable(f"no id: {MARK}")
    return answers.User(id="u1")


def test_an_input_is_repeated_without_atheris(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "redirect-crash"
    file.write_bytes(TARGETS["redirect"].seeds[0])
    assert program.main(["--replay", str(file), "redirect"]) == 0
    assert capsys.readouterr().out == "no finding\n"


def test_without_atheris_the_message_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit) as raised:
        program.main(["redirect"])
    assert raised.value.code == 2
    assert "reactive-auth[fuzz]" in capsys.readouterr().err
    with pytest.raises(ImportError, match=r"reactive-auth\[fuzz\]"):
        require("atheris", extra="fuzz")


@pytest.mark.parametrize(("crashes", "status"), [(True, 1), (False, 0)])
def test_a_finding_is_printed_with_its_input_and_fails_the_run(
    crashes: bool,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", sys)  # it is not started here
    monkeypatch.setattr(program.subprocess, "run", _run(tmp_path, crashes))
    assert program.main(["--findings", str(tmp_path), "--seconds", "1", "redirect"]) == status
    shown = capsys.readouterr().out
    assert f"redirect | 12 | 40 | 30 | {crashes:d}" in shown
    assert ("--replay" in shown) == crashes
    assert ("ValueError: broken" in shown) == crashes


def _run(findings: Path, crashes: bool) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        log = "#2\tINITED cov: 5 ft: 10 corp: 1/1b\n#12\tNEW    cov: 9 ft: 40 corp: 2/2b\n"
        if crashes:
            (findings / "redirect-crash-1").write_bytes(b"x")
            log += " === Uncaught Python exception: ===\nValueError: broken\n"
        return subprocess.CompletedProcess(command, 77 if crashes else 0, stdout=log)

    return run
