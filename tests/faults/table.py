"""The faults, one row each: what goes wrong, and by which error a user sees it.

``says`` is looked for in the error's text. ``routes`` are those that it can hit. ``script`` does
the same to a real Better Auth server (see tests/servers/npm.py).
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal

from reactive_auth import AuthUnavailable
from reactive_auth.errors import AuthTimeout, InvalidToken, TokenMismatch

from .raw_server import JSON, SECRET, Act, Talk, http

__all__ = ["FAULTS", "VERDICTS", "Fault", "Verdict"]

SESSION, TOKEN = "/get-session", "/convex/token"
HTML = "Content-Type: text/html"

#: On which level it hits: an answer, the connection's first bytes, TLS, the port, the name.
Level = Literal["answer", "greeting", "tls", "port", "name"]


@dataclass(frozen=True)
class Fault:
    name: str
    says: str
    act: Act | None = None
    level: Level = "answer"
    tls: str = ""
    hangs: bool = False
    raises: type[AuthUnavailable] = AuthUnavailable
    retry_after: float = 0.0
    routes: tuple[str, ...] = (SESSION, TOKEN)
    script: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


@dataclass(frozen=True)
class Verdict:
    """An answer that does say that the session is gone, to a request for one of the routes."""

    name: str
    route: str
    status: int
    body: bytes
    headers: tuple[str, ...] = field(default=(JSON,))

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


# -- how a socket answers --------------------------------------------------------------------


def sends(data: bytes, *, cut: bool = False) -> Act:
    """These bytes; then a reset, if it is to be cut."""

    async def act(talk: Talk) -> None:
        await talk.send(data.replace(b"{elsewhere}", talk.server.elsewhere.encode()))
        if cut:
            talk.reset()

    return act


def ends(data: bytes) -> Act:
    """These bytes, and the connection is closed in the regular way."""

    async def act(talk: Talk) -> None:
        await talk.send(data)
        await talk.end()

    return act


async def nothing(talk: Talk) -> None:
    await talk.keep_waiting()


async def drips(talk: Talk) -> None:
    """A byte whenever time moves on, so that no wait for the next byte is ever long."""
    await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while await talk.keep_waiting(talk.server.tick):
        await talk.send(b" ")


async def goes_on(talk: Talk) -> None:
    """A body without end, as fast as it is taken."""
    await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not talk.closed:
        await talk.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")


def mints(**claims: object) -> Act:
    """A token, but with these claims."""

    async def act(talk: Talk) -> None:
        token = talk.server.mint("session-1", **claims)
        await talk.send(talk.server.reply(200, {"token": token}))

    return act


async def limits_until_a_date(talk: Talk) -> None:
    until = formatdate(talk.server.clock.server() + 20, usegmt=True)
    await talk.send(http(429, b"{}", JSON, talk.server.date(), f"Retry-After: {until}"))


# -- the rows --------------------------------------------------------------------------------


def answer(
    name: str, status: int, body: str, *headers: str, says: str, real: bool = True, **more: Any
) -> Fault:
    """A complete answer, which the real server can be told to give as well."""
    pairs = dict(line.split(": ", 1) for line in headers)
    script = {"status": status, "raw": body, "headers": pairs} if real else None
    act = sends(http(status, body.encode(), *headers))
    return Fault(name, says, act, script=script, **more)


def down(status: int) -> Fault:
    body = f'{{"message":"{SECRET}"}}'
    return answer(str(status), status, body, JSON, says=f"the server answered {status}")


def cut(name: str, data: bytes) -> Fault:
    return Fault(name, "no answer", sends(data, cut=True))


def malformed(what: str, text: str) -> Fault:
    return Fault(f"malformed {what}", "no answer", ends(text.encode()))


_LIMITED = "limits the rate"
_NO_JSON = "the answer is no JSON"
_PAGE = f"<html><title>{SECRET}</title></html>"
_WRONG = "answer (is no object|has no token)"
_TRUNCATED = f'{{"token":"{SECRET}","session":{{"id":"session-1","userId":"u1"'


def _faults() -> list[Fault]:
    return [
        # -- no connection
        Fault("connection refused", "no answer", level="port"),
        Fault("name not found", "no answer", level="name"),
        # -- no answer
        Fault("reset before the answer", "no answer", sends(b"", cut=True), script={"drop": True}),
        Fault(
            "reset after the work was done",
            "no answer",
            sends(b"", cut=True),
            script={"drop": True, "when": "after"},
        ),
        Fault("closed before the answer", "no answer", ends(b"")),
        Fault(
            "black hole",
            "did not answer in time|no answer within",
            nothing,
            hangs=True,
            raises=AuthTimeout,
            script={"hang": True},
        ),
        # -- half an answer
        cut("reset inside the headers", b"HTTP/1.1 200 OK\r\nSet-Cookie: " + SECRET.encode()),
        cut("reset inside the body", http(200, f'{{"{SECRET}'.encode(), JSON, length=500)),
        Fault("closed inside the body", "no answer", ends(http(200, b'{"', JSON, length=500))),
        Fault(
            "slow drip",
            "did not answer in time|no answer within",
            drips,
            hangs=True,
            raises=AuthTimeout,
        ),
        # -- no HTTP
        Fault("another protocol", "no answer", ends(b"SSH-2.0-" + SECRET.encode() + b"\r\n")),
        malformed("status line", f"HTTP/1.1 two hundred {SECRET}\r\n\r\n"),
        malformed("header line", f"HTTP/1.1 200 X\r\nSet-Cookie {SECRET}\r\n\r\n"),
        malformed("chunk", f"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n"),
        # -- the server says that it cannot
        *map(down, (500, 502, 503, 504)),
        answer("408", 408, "", says="the server answered 408"),
        answer("429", 429, '{"message":"x"}', JSON, says=_LIMITED),
        answer(
            "429 with Retry-After",
            429,
            "{}",
            JSON,
            "Retry-After: 20",
            says=_LIMITED,
            retry_after=20,
        ),
        Fault("429 with Retry-After date", _LIMITED, limits_until_a_date, retry_after=20),
        answer(
            "429 with X-Retry-After",
            429,
            '{"message":"x"}',
            JSON,
            "X-Retry-After: 20",
            says=_LIMITED,
            retry_after=20,
        ),
        answer(
            "503 with Retry-After",
            503,
            _PAGE,
            HTML,
            "Retry-After: 20",
            says="the server answered 503",
            retry_after=20,
        ),
        answer("429 with Retry-After nonsense", 429, "", "Retry-After: soon", says=_LIMITED),
        # -- something in between answers
        answer("200 with a page", 200, _PAGE, HTML, says=_NO_JSON),
        answer("502 with a page", 502, _PAGE, HTML, says="the server answered 502"),
        answer("403 with a page", 403, _PAGE, HTML, says="answered 403"),
        answer("401 with a page", 401, _PAGE, HTML, says="answered 401"),
        answer(
            "redirect to another origin",
            302,
            "",
            "Location: {elsewhere}/api/auth/get-session?token=" + SECRET,
            says="redirects",
        ),
        answer(
            "redirect on the origin",
            307,
            "",
            "Location: /api/auth/get-session/?token=" + SECRET,
            says="redirects",
        ),
        # -- the wrong answer
        answer("200 and nothing", 200, "", says="no JSON|no token"),
        answer("204", 204, "", says="answered 204|no token"),
        answer("truncated JSON", 200, _TRUNCATED, JSON, says=_NO_JSON),
        answer("an array", 200, f'["{SECRET}"]', JSON, says=_WRONG),
        answer("a number", 200, "7", JSON, says=_WRONG),
        answer("a string", 200, f'"{SECRET}"', JSON, says=_WRONG),
        answer("false", 200, "false", JSON, says=_WRONG),
        answer("an empty object", 200, "{}", JSON, says="has no (id|token)"),
        answer("nested without end", 200, "[" * 100_000, JSON, says=_NO_JSON),
        answer(
            "a session without id",
            200,
            f'{{"session":{{"token":"{SECRET}"}},"user":{{"id":"u1"}}}}',
            JSON,
            says="has no id",
            routes=(SESSION,),
        ),
        answer(
            "a session of null",
            200,
            '{"session":null,"user":null}',
            JSON,
            says="has no id",
            routes=(SESSION,),
        ),
        answer("null for a token", 200, "null", JSON, says="has no token", routes=(TOKEN,)),
        answer(
            "a token of null", 200, '{"token":null}', JSON, says="has no token", routes=(TOKEN,)
        ),
        Fault(
            "a token of another session",
            "contradicts the current session",
            mints(sessionId="session-0"),
            raises=TokenMismatch,
            routes=(TOKEN,),
        ),
        Fault(
            "a token that never lived",
            "shorter than a second",
            mints(exp=0),
            raises=InvalidToken,
            routes=(TOKEN,),
        ),
        Fault("broken gzip", "no answer", _gzip()),
        Fault("compressed twice", "is compressed as it may not be", _twice()),
        compressed("br"),
        compressed("zstd"),
        answer("huge body", 200, " " * (2 << 20), JSON, says="too large", real=False),
        Fault("endless body", "too large", goes_on),
        # -- TLS
        Fault(
            "self-signed certificate", "CERTIFICATE_VERIFY_FAILED", level="tls", tls="self_signed"
        ),
        Fault(
            "certificate of another host",
            "CERTIFICATE_VERIFY_FAILED",
            level="tls",
            tls="wrong_host",
        ),
        Fault("expired certificate", "CERTIFICATE_VERIFY_FAILED", level="tls", tls="expired"),
        Fault(
            "plain HTTP on the https port",
            "no answer",
            ends(http(400, SECRET.encode())),
            level="greeting",
        ),
        Fault("reset in the handshake", "no answer", sends(b"", cut=True), level="greeting"),
        Fault(
            "silence in the handshake",
            "did not answer in time|no answer within",
            nothing,
            level="greeting",
            hangs=True,
            raises=AuthTimeout,
        ),
    ]


def compressed(encoding: str) -> Fault:
    act = sends(http(200, b"x", JSON, f"Content-Encoding: {encoding}"))
    return Fault(f"compressed by {encoding}", "is compressed as it may not be", act)


def _twice() -> Act:
    # A kilobyte of it is a megabyte, and that a gigabyte.
    body = gzip.compress(gzip.compress(b" " * (1 << 22)))
    return sends(http(200, body, JSON, "Content-Encoding: gzip, gzip"))


def _gzip() -> Act:
    return sends(http(200, b"\x1f\x8b\x00" + SECRET.encode(), JSON, "Content-Encoding: gzip"))


FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _faults()}

VERDICTS: tuple[Verdict, ...] = (
    Verdict("get-session null", SESSION, 200, b"null"),
    Verdict("token 401", TOKEN, 401, b'{"code":"UNAUTHORIZED"}'),
    Verdict("token 401 empty", TOKEN, 401, b"", ()),
    Verdict("token 403", TOKEN, 403, b'{"message":"x"}'),
)
