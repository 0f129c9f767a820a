"""Inputs near the real shape, where most of what is interesting lies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.wire.support import CACHE, COOKIE

from .server import MARK, SESSION
from .targets import TARGETS

__all__ = ["SHAPES"]

Bytes = SearchStrategy[bytes]

_DATES = st.sampled_from(
    [
        "2026-01-08T00:00:00.000Z",
        "2025-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999-23:59",
        "2026-02-30T00:00:00Z",
        "2026-W01-1",
        "20260101",
        "1970-01-01",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "",
    ]
)
_NUMBERS = (
    st.integers(-(10**20), 10**20)
    | st.floats()
    | st.sampled_from([0, -1, True, False, 1e308, -1e308, 10**400, 2**63, 1767225600, 1767226500])
)
_TEXT = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(["\ud800", "\0", MARK])
_SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXT | _DATES
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def dumped(data: Any) -> bytes:
    return json.dumps(data).encode()


@st.composite
def twisted(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """A JSON object with a few of its members missing, replaced, there twice or too deep."""
    parts: list[bytes] = []
    for name, value in good.items():
        fate = draw(st.sampled_from(["kept"] * 6 + ["missing", "other", "twice", "deep", "inside"]))
        key = dumped(name) + b":"
        if fate == "inside" and isinstance(value, dict):
            parts.append(key + draw(twisted(value)))
        elif fate in ("kept", "inside"):
            parts.append(key + dumped(value))
        elif fate == "other":
            parts.append(key + dumped(draw(_JSON)))
        elif fate == "twice":
            parts += [key + dumped(value), key + dumped(draw(_JSON))]
        elif fate == "deep":
            depth = draw(st.sampled_from([30, 400, 800, 900, 950, 1000, 3000]))
            parts.append(key + b"[" * depth + b"]" * depth)
    if draw(st.booleans()):
        parts.append(dumped(draw(_TEXT)) + b":" + dumped(draw(_JSON)))
    return b"{" + b",".join(draw(st.permutations(parts))) + b"}"


@st.composite
def torn(draw: st.DrawFn, source: Bytes) -> bytes:
    """Bytes with a part cut out, doubled, or with others in its place."""
    data = draw(source)
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 20)))
    middle = draw(st.sampled_from([b"", data[start:end] * 2]) | st.binary(max_size=6))
    return data[:start] + middle + data[end:]


# -- the session route ---------------------------------------------------------------------------

_SESSION: dict[str, Any] = {
    "session": {
        "id": SESSION,
        "userId": "u1",
        "token": MARK,
        "expiresAt": "2026-01-08T00:00:00.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": 1767225600000,
        "ipAddress": "",
        "userAgent": "x",
        "activeOrganizationId": None,
    },
    "user": {"id": "u1", "email": "u1@example.com", "name": "U", "emailVerified": True},
    "needsRefresh": False,
}
_BODIES = twisted(_SESSION)


@st.composite
def huge(draw: st.DrawFn) -> bytes:
    """About as large as an answer may be, and larger."""
    size = (1 << 20) + draw(st.integers(-600, 600))
    return dumped(_SESSION)[:-1] + b',"more":"' + b"x" * size + b'"}'


session = st.one_of(
    _BODIES,
    _BODIES,
    torn(_BODIES),
    _JSON.map(dumped),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32", "utf-7", "latin-1"]).map(
        lambda encoding: json.dumps(_SESSION).encode(encoding)
    ),
    st.builds(lambda space, body: space + body + space, st.sampled_from([b" \n", b"\0"]), _BODIES),
)

# -- cookies -------------------------------------------------------------------------------------

_NAMES = st.sampled_from(
    [COOKIE, COOKIE, CACHE, "better-auth.session_token", "__Host-session_token", "a", "", "$Path"]
) | st.text(max_size=4)
_VALUES = st.sampled_from(
    ["", MARK, f"{MARK}.é", f'"{MARK}; x"', f"{MARK}, b={MARK}", f'"{MARK}', "a=b=c", "%3D", " x "]
) | st.text(max_size=6)
_WHEN = st.sampled_from(
    [
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "Wednesday, 21-Oct-26 07:28:00 GMT",
        "Wed Oct 21 07:28:00 2026",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 31 Feb 2026 99:99:99 XYZ",
        "2026-10-21T07:28:00Z",
        '"Wed, 21 Oct 2026 07:28:00 GMT"',
        "0",
        "-1",
        "",
    ]
)
_AGE = st.sampled_from(["0", "-1", "60", "+60", "6e1", "1_0", '"60"', "", "٣", "9" * 20, "9" * 400])
_ATTRIBUTES = st.one_of(
    st.builds("Max-Age={}".format, _AGE | st.integers().map(str)),
    st.builds("Expires={}".format, _WHEN | st.text(max_size=8)),
    st.builds(
        "Domain={}".format,
        st.sampled_from(
            [
                "auth.test",
                ".auth.test",
                "AUTH.TEST",
                "evil.test",
                "test",
                ".",
                "",
                "auth.test.",
                "x.auth.test",
                "auth.test:443",
                '"auth.test"',
                "[::1]",
                "é.test",
            ]
        ),
    ),
    st.builds(
        "Path={}".format,
        st.sampled_from(["/", "/api", "/api/auth/", "api", "", '"/"', "/%2e%2e", "//", "/é"]),
    ),
    st.builds("{}={}".format, st.sampled_from(["Version", "Port", "SameSite", "Comment"]), _VALUES),
    st.sampled_from(
        ["Secure", "secure=no", "HttpOnly", "Discard", "Partitioned", "", "=", "Max-Age"]
    ),
    st.text(max_size=5),
)


@st.composite
def cookie_line(draw: st.DrawFn) -> bytes:
    pair = f"{draw(_NAMES)}={draw(_VALUES)}"
    line = draw(st.sampled_from(["; ", ";", " ;  "])).join(
        [pair, *draw(st.lists(_ATTRIBUTES, max_size=5))]
    )
    return line.encode(draw(st.sampled_from(["utf-8", "latin-1", "utf-16-le"])), "replace")


_LINES = st.lists(cookie_line(), min_size=1, max_size=4).map(b"\n".join)
cookies = _LINES | torn(_LINES)

# -- headers -------------------------------------------------------------------------------------

_SECONDS = st.sampled_from(
    ["0", "-5", "7", "1e308", "inf", "nan", "1_0", " 7 ", "٣", "9" * 400, "7, 8"]
)
_FIELDS = st.one_of(
    st.builds("Date: {}".format, _WHEN | st.text(max_size=8)),
    st.builds("Retry-After: {}".format, _SECONDS | _WHEN),
    st.builds("X-Retry-After: {}".format, _SECONDS | _WHEN),
    st.builds(
        "Content-Type: {}".format,
        st.sampled_from(
            ["application/json", "text/html", "application/json; charset=x", "", "é/ü"]
        ),
    ),
    st.builds("Content-Encoding: {}".format, st.sampled_from(["gzip", "deflate, br", "zstd", "é"])),
    st.builds("Location: {}".format, st.sampled_from([f"https://evil.test/{MARK}", "//evil.test"])),
    st.builds("{}: {}".format, st.sampled_from(["Set-Auth-Token", "set-auth-jwt"]), st.just(MARK)),
    st.text(max_size=10),
)
_STATUSES = st.sampled_from([200, 200, 204, 301, 308, 400, 401, 403, 404, 408, 425, 429, 500, 503])


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    status = draw(_STATUSES | st.integers(100, 599)) - 100
    fixed = bytes([draw(st.integers(0, 3)), *status.to_bytes(2, "big"), draw(st.integers(0, 7))])
    return fixed + "\n".join(draw(st.lists(_FIELDS, max_size=5))).encode("utf-8", "replace")


# -- the routes users call -----------------------------------------------------------------------

_ROWS = st.lists(twisted(_SESSION["session"]), max_size=3).map(
    lambda rows: b"[" + b",".join(rows) + b"]"
)
_REFUSALS = twisted({"code": "UNAUTHORIZED", "message": "no", "error": "slow_down"})
routes = st.builds(
    lambda call, status, body: bytes([call, status]) + body,
    st.integers(0, 5),
    st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 8]),
    st.one_of(
        _ROWS,
        _ROWS,
        twisted({"token": MARK, "user": _SESSION["user"], "status": True}),
        _REFUSALS,
        _JSON.map(dumped),
        torn(_ROWS),
        torn(_REFUSALS),
    ),
)

# -- tokens --------------------------------------------------------------------------------------

_HEADER = twisted({"alg": "RS256", "typ": "JWT", "kid": "k"})
_PAYLOAD = twisted(
    {"sub": "u1", "sessionId": SESSION, "iat": 1767225600, "exp": 1767226500, "aud": "convex"}
)
_TIMES = st.builds(
    lambda issued, expires: dumped({"sessionId": SESSION, "iat": issued, "exp": expires}),
    _SCALARS,
    _SCALARS,
)
_CLEAR = st.builds(
    lambda parts, end: b"\n".join(parts).replace(b"\n\n", b"\n") + end,
    st.tuples(_HEADER | st.sampled_from([b"{}", b"[]", b"null", b"\xff"]), _PAYLOAD | _TIMES),
    st.sampled_from([b"\n" + MARK.encode(), b"\n", b"", b"\na\nb"]),
)
_OPAQUE = st.one_of(
    st.text(st.characters(codec=None), max_size=12),
    st.sampled_from(
        [f"{MARK}", f"{MARK}==", f"a {MARK}", f"{MARK}\r\nX: y", "a.b.c", "..", "e30.e30.e30="]
    ),
).map(lambda value: b"=" + value.encode("utf-8", "surrogatepass"))
token = _CLEAR | _CLEAR | _OPAQUE | torn(_CLEAR)

# -- redirects -----------------------------------------------------------------------------------

_STARTS = st.sampled_from(
    ["https://app.test/cb", "myapp://cb", "http://[::1", "http://a]b/", "//", "", "mailto:x", "/é"]
)
_PAIRS = st.sampled_from(
    [f"ott={MARK}", "ott", "ott=", "o%74t=x", "%6Ftt=x", "ott=a%0d%0ab", "ott=+", "OTT=x", "a=b",
     "", "next=%3Fott%3Dx", "ott=%ed%a0%80", "ott=" + "x" * 513, "a;ott=x"]
)  # fmt: skip
redirect = st.builds(
    lambda start, pairs, end: f"{start}?{'&'.join(pairs)}{end}".encode(),
    _STARTS | st.text(max_size=5),
    st.lists(_PAIRS | st.text(max_size=5), max_size=4),
    st.sampled_from(["", "#", "#ott=x", "?ott=y", "#a?ott=z"]),
) | torn(st.sampled_from(TARGETS["redirect"].seeds))

# -- verification --------------------------------------------------------------------------------

_SIGNED = twisted(
    {
        "iss": "https://issuer.test",
        "aud": ["convex", "other"],
        "sub": "u1",
        "sessionId": "A",
        "iat": 1767225600,
        "nbf": 1767225600,
        "exp": 1767226500,
        "secret": MARK,
    }
)
_KEY = {"kty": "OKP", "crv": "Ed25519", "kid": "key-0", "x": "A" * 43, "alg": "EdDSA", "use": "sig"}
_RSA_KEY = {"kty": "RSA", "kid": "key-0", "n": "AQAB", "e": "AQAB", "key_ops": ["verify"]}
verify = st.one_of(
    st.builds(
        lambda scheme, value: b"\0" + scheme + value,
        st.sampled_from([b"Bearer ", b"bearer  ", b"Basic ", b"BEARER\t", b"Bearer", b""]),
        st.sampled_from([MARK.encode(), b"a.b.c", b"a b", b"\xe9", b"=", b""])
        | st.binary(max_size=9),
    ),
    _OPAQUE.map(lambda value: b"\x01" + value[1:].replace(b"\xed", b"")),
    _SIGNED.map(lambda claims: b"\x02" + claims),
    twisted({"alg": "none", "kid": "key-0", "crit": ["b64"], "b64": False, "jwk": {}}).map(
        lambda header: b"\x03" + header
    ),
    st.lists(twisted(_KEY) | twisted(_RSA_KEY), max_size=3).map(
        lambda keys: b'\x04{"keys":[' + b",".join(keys) + b"]}"
    ),
    torn(st.sampled_from(TARGETS["verify"].seeds)),
)

#: For each target what comes close to a good input.
SHAPES: dict[str, Bytes] = {
    "session": session,
    "cookies": cookies,
    "headers": headers(),
    "routes": routes,
    "token": token,
    "redirect": redirect,
    "verify": verify,
}
