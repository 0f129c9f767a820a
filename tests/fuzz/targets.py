"""The properties, one function for each parser. Each takes any bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_plus

import httpx

from reactive_auth import (
    AuthError,
    AuthRejected,
    AuthUnavailable,
    BetterAuthClient,
    ConfigurationError,
    InvalidToken,
    NotAuthenticated,
    User,
)
from reactive_auth.client.redirect import split_redirect
from reactive_auth.verify import TokenRefused, bearer_token
from tests.verify import support as verifying
from tests.wire.support import COOKIE

from .server import MARK, SESSION, Fuzzed, as_json, play

__all__ = ["TARGETS", "Target"]

#: Larger answers are refused unread (bytes).
_LARGEST_BODY: Final = 1 << 20


@dataclass(frozen=True)
class Target:
    """``check`` raises AssertionError, or anything else, on a finding."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = field(default=())


# -- the session route ---------------------------------------------------------------------------


def usable_id(data: Any, of: str) -> str | None:
    """The id of the session or user in an answer, read as the reference has it."""
    record = data.get(of) if isinstance(data, dict) else None
    value = record.get("id") if isinstance(record, dict) else None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def expected(status: int, body: bytes) -> str | None:
    """The session id that an answer tells; "" for signed out; None where it tells nothing."""
    if status != 200 or len(body) > _LARGEST_BODY:
        return None
    good, data = as_json(body)
    if good and data is None:
        return ""
    session = usable_id(data, "session")
    return session if usable_id(data, "user") is not None else None


def check_told(here: Fuzzed, told: str | None, error: AuthError | None) -> None:
    """The client's state after one answer of the session route, asked for as SESSION."""
    state = here.client.session.value
    if told is None:
        assert isinstance(error, AuthUnavailable)
        assert here.session_id == SESSION
    elif told == "":
        assert error is None
        assert state.status == "signed_out"
    else:
        assert error is None
        assert here.session_id == told
        assert state.user is not None
    assert not state.refreshing


async def get_session(here: Fuzzed, response: Callable[[], httpx.Response]) -> AuthError | None:
    await here.client.refetch()
    assert here.session_id == SESSION
    # Twice: deferSessionRefresh has it asked for again by POST.
    here.server.instead("/get-session", response(), response())
    error = await here.attempt(here.client.refetch())
    here.server.before.clear()
    return error


def session(data: bytes) -> None:
    """The body of get-session."""

    async def scenario(here: Fuzzed) -> None:
        error = await get_session(here, lambda: httpx.Response(200, content=data))
        check_told(here, expected(200, data), error)
        state = here.client.session.value
        assert hash(state) == hash(here.client.session.value)
        repr(state)
        state._repr_html_()
        for date in (state.session and state.session.expires_at,):
            assert date is None or date.tzinfo is not None
        if state.status == "signed_in":  # the same answer again is no news
            here.server.instead("/get-session", *(httpx.Response(200, content=data),) * 2)
            await here.attempt(here.client.refetch())
            assert here.client.session.value == state
        await here.recover()

    play(scenario)


# -- cookies -------------------------------------------------------------------------------------


def cookie_lines(data: bytes) -> list[bytes]:
    # An HTTP parser lets no other control characters through.
    return [re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", line) for line in data.split(b"\n")][:20]


def foreign(lines: list[bytes]) -> set[bytes]:
    """The ``name=value`` pairs that only came with a Domain that is another host's."""
    own: set[bytes] = set()
    others: set[bytes] = set()
    for line in lines:
        pair, *attributes = [part.strip() for part in line.split(b";")]
        domains = [
            value.strip().strip(b'"').lstrip(b".").lower()
            for name, _, value in (attribute.partition(b"=") for attribute in attributes)
            if name.strip().lower() == b"domain"
        ]
        elsewhere = domains and all(d and d not in b"auth.test" for d in domains)
        (others if elsewhere else own).add(pair)
    return {pair for pair in others - own if pair.count(b"=") == 1 and len(pair) > 8}


def cookies(data: bytes) -> None:
    """Set-Cookie lines, separated by line feeds, of three routes' answers."""
    lines = cookie_lines(data)
    headers = [(b"set-cookie", line) for line in lines]

    async def scenario(here: Fuzzed) -> None:
        await here.client.refetch()
        for path, call in (
            ("/custom", lambda: here.client.request("POST", "/custom")),
            ("/get-session", here.client.refetch),
            ("/update-user", lambda: here.client.update_user(name="U")),
        ):
            answer = json.dumps(here.server.describe(SESSION)).encode()
            here.server.instead(path, httpx.Response(200, headers=headers, content=answer))
            # A malformed cookie is no reason to refuse a good answer.
            assert await here.attempt(call()) is None
        assert here.status in ("signed_in", "signed_out")
        await here.attempt(here.auth.fetch_access_token(force_refresh=True))
        repr(here.client._jar)
        sent = [request.headers.get("cookie", "").encode() for request in here.server.log]
        for pair in foreign(lines):
            assert not any(pair in value.split(b"; ") for value in sent), "another host's cookie"
        await here.recover(anew=True)

    play(scenario)


# -- status and headers --------------------------------------------------------------------------

_ROUTES = ("/get-session", "/convex/token", "/custom", "/sign-in/email")
_BODIES = (
    b"",
    b"null",
    b"{}",
    b"<html>",
    b'{"code":"INVALID_PASSWORD","message":"no"}',
    b'{"error":"slow_down"}',
    b"[",
    b'{"session":{"id":"session-1","userId":"u1"},"user":{"id":"u1"}}',
)
#: Their meaning is the HTTP library's: cookies have a target of their own.
_NOT_HERE = frozenset({b"set-cookie", b"transfer-encoding", b"content-length"})


def read_answer(data: bytes) -> tuple[str, int, list[tuple[bytes, bytes]], bytes]:
    """Route, status, headers and body: one byte, two bytes, one byte, then header lines."""
    fixed = data[:4].ljust(4, b"\0")
    route = _ROUTES[fixed[0] % len(_ROUTES)]
    status = 100 + int.from_bytes(fixed[1:3], "big") % 500
    body = _BODIES[fixed[3] % len(_BODIES)]
    headers: list[tuple[bytes, bytes]] = []
    for line in cookie_lines(data[4:]):
        name, _, value = line.partition(b":")
        if re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) and name.lower() not in _NOT_HERE:
            headers.append((name, value.strip()))
    return route, status, headers, body


def headers(data: bytes) -> None:
    """An answer of any status, with any headers, from each kind of route."""
    route, status, lines, body = read_answer(data)
    encoded = any(name.lower() == b"content-encoding" for name, _ in lines)

    def response() -> httpx.Response:
        return httpx.Response(status, headers=lines, stream=httpx.ByteStream(body))

    async def scenario(here: Fuzzed) -> None:
        if route == "/get-session":
            error = await get_session(here, response)
            if not encoded:
                check_told(here, expected(status, body), error)
        elif route == "/convex/token":
            await here.client.refetch()
            here.server.instead(route, response())
            given = asyncio.ensure_future(here.auth.fetch_access_token(force_refresh=True))
            error = await here.attempt(given)
            assert error is None or isinstance(error, AuthUnavailable)
            if error is None:
                here.check_token(given.result())
            said_none = status in (401, 403) and isinstance(as_json(body)[1], dict)
            refused = said_none or (status in (401, 403) and not body)
            assert encoded or (here.status == "signed_out") == refused
        else:
            await here.client.refetch()
            here.server.instead(route, response())
            error = await here.attempt(here.client.request("POST", route, json={}))
            assert here.session_id == SESSION
            if not 200 <= status < 300:
                assert isinstance(error, (AuthUnavailable, AuthRejected, NotAuthenticated))
            elif not encoded:
                assert (error is None) == (not body or as_json(body)[0])
        await here.recover(asked_to_wait=b"after" in data.lower())

    play(scenario)


# -- the routes users call -----------------------------------------------------------------------

_CALLS: tuple[tuple[str, Callable[[BetterAuthClient], Awaitable[Any]]], ...] = (
    ("/list-sessions", lambda client: client.list_sessions()),
    ("/list-sessions", lambda client: client.revoke_session(SESSION)),
    ("/one-time-token/generate", lambda client: client.generate_one_time_token()),
    ("/sign-in/email", lambda client: client.sign_in_email(email="a@b", password="wrong")),
    ("/update-user", lambda client: client.update_user(name="U")),
    ("/custom", lambda client: client.request("GET", "/custom")),
)
_STATUSES = (200, 201, 400, 401, 403, 404, 422, 429, 503)


def check_result(path: str, result: Any, body: bytes) -> None:
    """What a call returned after an answer with this body and a status that says well done."""
    if path == "/list-sessions":
        _, rows = as_json(body)
        assert isinstance(rows, list)
        if result is not None:  # of revoke_session
            ids = [usable_id({"row": row}, "row") for row in rows]
            assert [session.id for session in result] == [one for one in ids if one is not None]
            assert MARK not in "".join(map(repr, result)) or MARK.encode() not in body
    elif path == "/one-time-token/generate":
        assert isinstance(result, str)
        assert result
    elif path == "/sign-in/email":
        assert result is None or (isinstance(result, User) and bool(result.id))


def routes(data: bytes) -> None:
    """The body of what other calls are answered with: a byte for the call, one for the status."""
    fixed, body = data[:2].ljust(2, b"\0"), data[2:]
    path, call = _CALLS[fixed[0] % len(_CALLS)]
    status = _STATUSES[fixed[1] % len(_STATUSES)]

    async def scenario(here: Fuzzed) -> None:
        await here.client.refetch()
        here.server.instead(path, httpx.Response(status, content=body))
        calling = asyncio.ensure_future(call(here.client))
        error = await here.attempt(calling)
        here.server.before.clear()
        if error is None:
            assert status < 300
            check_result(path, calling.result(), body)
        elif status < 300 and as_json(body)[0]:
            # A good answer of the wrong shape is no refusal, but for a session that is not listed.
            unlisted = isinstance(error, AuthRejected) and "no such session" in str(error)
            assert isinstance(error, AuthUnavailable) or unlisted
        tokens = [e.body["token"] for e in here.server.log if e.path == "/revoke-session"]
        assert all(isinstance(one, str) and one for one in tokens), "nothing was revoked"
        # None of these answers says anything of the session.
        assert here.session_id == SESSION
        assert not here.client.session.value.refreshing
        await here.recover()

    play(scenario, secret=status < 300)  # else the server's message is shown


# -- tokens --------------------------------------------------------------------------------------


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def read_token(data: bytes) -> str:
    """After an equals sign the token itself; else its segments in clear, a line each."""
    if data.startswith(b"="):
        return data[1:].decode("utf-8", "surrogatepass")
    return ".".join(encode(part) for part in data.split(b"\n"))


def token(data: bytes) -> None:
    """A token of the token route, and the same handed over as ``initial_token``."""
    try:
        value = read_token(data)
    except UnicodeDecodeError:
        return

    answer = json.dumps({"token": value}).encode()

    async def fetched(here: Fuzzed) -> None:
        await here.client.refetch()
        here.server.instead("/convex/token", httpx.Response(200, content=answer))
        error: AuthError | None = None
        try:
            # One attempt: the fetch that follows a refused token is recover()'s.
            minted = await here.auth.fetch_access_token(force_refresh=True)
            here.check_token(minted)
        except AuthUnavailable as unavailable:
            error = unavailable
            here.errors.append(error)
            assert isinstance(error, InvalidToken) or here.auth.token.value is None
        assert here.session_id == SESSION
        await here.recover()

    async def seeded(here: Fuzzed) -> None:
        await here.client.refetch()
        here.check_token(await here.auth.fetch_access_token())
        await here.recover()

    play(fetched)
    if value.strip():
        play(seeded, initial_token=value)


# -- redirects -----------------------------------------------------------------------------------


def redirect(data: bytes) -> None:
    """The URL of a hand-off."""
    url = data.decode("utf-8", "replace")

    async def scenario(here: Fuzzed) -> None:
        await here.client.refetch()
        try:
            clean, found = split_redirect(url)
        except (ConfigurationError, AuthRejected) as error:
            here.errors.append(error)
            failed = await here.attempt(here.client.handle_redirect(url))
            assert type(failed) is type(here.errors[0])
            assert here.server.count("/one-time-token/verify") == 0
            assert here.session_id == SESSION
            return
        query = clean.partition("#")[0].partition("?")[2]
        names = [unquote_plus(pair.partition("=")[0]) for pair in query.split("&")]
        assert "ott" not in names
        assert split_redirect(clean) == (clean, None)
        assert (found is None) == (clean == url)
        assert await here.client.handle_redirect(url) == clean
        sent = [e.body for e in here.server.log if e.path == "/one-time-token/verify"]
        assert sent == ([] if found is None else [{"token": found}])
        assert here.session_id == (SESSION if found is None else "session-2")
        await here.recover()

    play(scenario)


# -- verification --------------------------------------------------------------------------------


def verify(data: bytes) -> None:
    """An Authorization header, a token as it is, signed claims, a signed header, or a key set."""
    kind, rest = (data[0] % 5 if data else 0), data[1:]

    async def scenario(w: verifying.World) -> None:
        good = w.issuer.mint()
        if kind == 0:
            await refused(w, bearer(rest.decode("latin-1")))
        elif kind == 1:
            await refused(w, rest.decode("utf-8", "replace"))
        elif kind == 2:
            await judged(w, sign(w, b'{"alg":"EdDSA","kid":"key-0"}', rest))
        elif kind == 3:
            await refused(w, sign(w, rest, b"{}"))
        else:
            w.issuer.answers = [httpx.Response(200, content=rest)]
            await judged(w, good)
            w.issuer.answers = []
            await asyncio.sleep(4000)
        assert (await w.verifier.verify(w.issuer.mint())).subject == "u1"

    verifying.play(scenario)


def bearer(header: str) -> str:
    try:
        return bearer_token(header)
    except TokenRefused as error:
        keeps_quiet(error)
        return ""


def keeps_quiet(error: AuthError) -> None:
    assert MARK not in str(error) + repr(error) + str(getattr(error, "challenge", ""))


def sign(w: verifying.World, header: bytes, payload: bytes) -> str:
    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(w.issuer.signing['key-0'].sign(signed.encode()))}"


async def judged(w: verifying.World, value: str) -> None:
    """Whatever is accepted says all that was asked for, of now."""
    try:
        verified = await w.verifier.verify(value)
    except (TokenRefused, AuthUnavailable) as error:
        keeps_quiet(error)
        return
    claims: Mapping[str, Any] = verified.claims
    now = w.clock.wall()
    assert claims["iss"] == verifying.URL
    audience = claims["aud"]
    assert verifying.AUDIENCE in (audience if isinstance(audience, list) else [audience])
    assert isinstance(verified.subject, str)
    assert verified.subject == claims["sub"]
    assert verified.expires_at.timestamp() > now - 31
    assert verified.issued_at is None or verified.issued_at.timestamp() < now + 31
    assert verified.session_id is None or verified.session_id == claims["sessionId"]


async def refused(w: verifying.World, value: str) -> None:
    """Nothing that the issuer did not sign, whatever it looks like, is accepted."""
    try:
        await w.verifier.verify(value)
    except (TokenRefused, AuthUnavailable) as error:
        keeps_quiet(error)
    else:
        raise AssertionError("a token that nobody made was accepted")


# -- all of them ---------------------------------------------------------------------------------

_SESSION = {
    "session": {
        "id": SESSION,
        "userId": "u1",
        "token": MARK,
        "expiresAt": "2026-01-08T00:00:00.000Z",
        "createdAt": 1767225600000,
    },
    "user": {"id": "u1", "email": "u1@example.com", "name": "U", "emailVerified": True},
    "needsRefresh": False,
}
_FLAGS = b"; Path=/; HttpOnly; Secure; SameSite=Lax"
_NAME, _MARK = COOKIE.encode(), MARK.encode()
_CLAIMS = b'{"sub":"u1","sessionId":"session-1","iat":1767225600,"exp":1767226500}'
_GOOD = (
    b'{"iss":"https://issuer.test","aud":"convex","sub":"u1","sessionId":"A",'
    b'"iat":1767225600,"exp":1767226500,"nbf":1767225600,"secret":"' + _MARK + b'"}'
)

TARGETS: Mapping[str, Target] = {
    "session": Target(
        session,
        (
            json.dumps(_SESSION).encode(),
            b"null",
            b'{"session":null,"user":null}',
            b'{"session":{"id":1,"expiresAt":1e999},"user":{"id":2}}',
            b'{"session":{"id":"\\ud800","expiresAt":NaN},"user":{"id":"u"},"needsRefresh":true}',
        ),
        (
            b'"session"',
            b'"user"',
            b'"id"',
            b'"expiresAt"',
            b'"needsRefresh"',
            b"null",
            b"true",
            b"NaN",
            b"-Infinity",
            b"1e400",
            b'"\\udfff"',
            b"[[[[[[[[",
            b'"0001-01-01T00:00:00+23:59"',
            b'"9999-12-31T23:59:59-23:59"',
            b"\xef\xbb\xbf",
            b"\xff\xfe",
        ),
    ),
    "cookies": Target(
        cookies,
        (
            _NAME + b"=" + _MARK + b"; Max-Age=604800" + _FLAGS,
            _NAME + b"=; Max-Age=0" + _FLAGS + b"\n__Host-x=" + _MARK + b"; Secure; Domain=a.test",
            b"a=" + _MARK + b"; Domain=evil.test; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
            b"a=b; Max-Age=" + b"9" * 400 + b"\nc=d; Expires=Fri, 01 Jan 10000 00:00:00 GMT",
            b'b="x y, z"; Path="/api"; Max-Age=-1; Version=1; Port="80"; Comment=x',
            _NAME + b"=\xe9\xff; Domain=auth.test; Expires=0",
        ),
        (
            b"; Max-Age=",
            b"; Expires=",
            b"; Domain=",
            b"; Path=/api/auth",
            b"; Secure",
            b"; Port=",
            b"; Version=1",
            b"; Discard",
            b"99999999999999999999",
            b"__Host-",
            b"__Secure-",
            _NAME,
            b"Thu, 01 Jan 1970 00:00:00 GMT",
            b"better-auth.session_data",
            b"auth.test",
        ),
    ),
    "headers": Target(
        headers,
        (
            b"\0\0\x64\x07Date: Thu, 01 Jan 2026 00:00:00 GMT\nContent-Type: application/json",
            b"\0\x01\x47\x00Retry-After: 120\nX-Retry-After: 7\nDate: garbage",
            b"\x01\x01\x2d\x02WWW-Authenticate: Bearer " + _MARK,
            b"\x02\x01\x8f\x03Retry-After: Thu, 01 Jan 2026 01:00:00 +2500\nX-Secret: " + _MARK,
            b"\x03\x00\xca\x00Location: https://evil.test/" + _MARK,
            b"\x01\x01\x47\x00Retry-After: nan\nContent-Encoding: gzip",
        ),
        (
            b"Date: ",
            b"Retry-After: ",
            b"X-Retry-After: ",
            b"Location: https://evil.test/",
            b"Content-Type: text/html; charset=utf-7",
            b"Content-Encoding: deflate",
            b"inf",
            b"-1",
            b"1e308",
            b"Mon, 31 Dec 9999 23:59:59 -2359",
            b"Mon, 01 Jan 0001 00:00:00 +2359",
        ),
    ),
    "routes": Target(
        routes,
        (
            b"\0\0[" + json.dumps(_SESSION["session"]).encode() + b',{"id":7},{"id":""},5,null]',
            b'\0\0{"id":"session-1"}',
            b"\x01\x00[" + json.dumps(_SESSION["session"]).encode() + b"]",
            b'\x01\x00[{"id":"session-1","token":["' + _MARK + b'"]}]',
            b'\x02\x00{"token":""}',
            b'\x03\x00{"user":{"id":true,"email":"' + _MARK + b'"},"token":"x"}',
            b'\x03\x03{"code":"UNAUTHORIZED","message":["no"]}',
            b"\x04\x02{}",
            b'\x05\x06[{"code":1}]',
        ),
        (
            b'"id"',
            b'"token"',
            b'"user"',
            b'"code"',
            b'"message"',
            b'"error"',
            b'"UNAUTHORIZED"',
            b'"SESSION_NOT_FOUND"',
            b'"session-1"',
            b"null",
            b"[[[[[[[[",
        ),
    ),
    "token": Target(
        token,
        (
            b'{"alg":"none","typ":"JWT"}\n' + _CLAIMS + b"\n",
            b'{"alg":"RS256","kid":"a"}\n{"sub":"u2","exp":1e308,"iat":-1e308}\n' + _MARK,
            b'{"alg":"none"}\n{"exp":NaN,"iat":Infinity}\n',
            b'[]\n{"exp":"x"}\n',
            b"=" + _MARK,
            b"=opaque\r\nX-Injected: 1",
            b"=ey.J.=",
            b"=\xc3\xa9\xed\xa0\x80",
        ),
        (
            b'"alg"',
            b'"exp"',
            b'"iat"',
            b'"sessionId"',
            b'"sub"',
            b"NaN",
            b"-Infinity",
            b"1e309",
            b"\n",
            b"{}",
            b"null",
            b'"b64":false',
            b'"crit":["b64"]',
            b"[[[[[[[[",
        ),
    ),
    "redirect": Target(
        redirect,
        (
            b"https://app.test/cb?next=%2F&ott=" + _MARK + b"#top",
            b"myapp://cb?ott=a&ott=b",
            b"https://app.test/?o%74t=" + _MARK + b"%0a",
            b"http://[::1/?ott=x",
            b"?ott=&x",
        ),
        (b"ott=", b"%6ftt=", b"?", b"#", b"&", b";", b"%00", b"%ff", b"http://", b"[", b"]", b"@"),
    ),
    "verify": Target(
        verify,
        (
            b"\0Bearer " + _MARK + b".a.b",
            b"\x01" + _MARK + b".e30.e30",
            b"\x02" + _GOOD,
            b'\x03{"alg":"none","kid":"key-0","x":"' + _MARK + b'"}',
            b'\x04{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key-0","x":"AAAA","alg":"EdDSA"}]}',
        ),
        (
            b'"iss"',
            b'"aud"',
            b'"exp"',
            b'"nbf"',
            b'"iat"',
            b'"sub"',
            b'"sessionId"',
            b'"alg"',
            b'"EdDSA"',
            b'"HS256"',
            b'"kid"',
            b'"crit"',
            b'"b64"',
            b'"jwk"',
            b'"keys"',
            b'"kty"',
            b'"RSA"',
            b'"n"',
            b'"e"',
            b'"EC"',
            b'"P-256"',
            b"NaN",
            b"1e400",
            b"[[[[[[",
            b"Bearer ",
        ),
    ),
}
