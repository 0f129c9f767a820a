"""The cookies of one sign-in with one origin.

A jar is replaced, not emptied, when the user signs out: a response to an earlier request then
has no jar any more that it could write to (HAZARDS F9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.cookiejar import Cookie
from typing import NoReturn

import httpx

from ..errors import ConfigurationError

__all__ = ["Jar"]

#: A character for each byte: a cookie goes back as it came, whatever it is encoded in.
_BYTES = "iso-8859-1"
#: http.cookiejar raises on such attributes, warns, and drops every cookie of the answer.
_LONG_AGE = r"(?i)(;\s*max-age\s*=\s*[+-]?\d{9})[\d_]+"
_UNREADABLE = r"(?i);\s*(?:expires\s*=[^;]*\d{40}[^;]*|max-age\s*(?=;|$))"


class Jar:
    """Cookies that are sent to one origin only; redirects are never followed."""

    def __init__(self, session_cookie: str = "session_token") -> None:
        self._cookies = httpx.Cookies()
        self._session_cookie = session_cookie
        #: Whether an own request is under way that may change the session of this jar.
        self.held = False

    def give(self, origin: str, cookies: Mapping[str, str]) -> None:
        """Start from given cookies. Raises ConfigurationError for names or values that are none."""
        url = httpx.URL(origin)
        lines: list[tuple[str, str]] = []
        for name, value in cookies.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise ConfigurationError("cookies map names to values, both strings")
            if (
                not name
                or not name.isascii()
                or any(not c.isprintable() or c in ' ;,="' for c in name)
            ):
                raise ConfigurationError("a cookie has a malformed name")
            if not value.isascii() or any(not c.isprintable() or c in " ;," for c in value):
                raise ConfigurationError(f"the cookie {name} has a malformed value")
            secure = "; Secure" if name.startswith(("__Secure-", "__Host-")) else ""
            lines.append(("set-cookie", f"{name}={value}; Path=/{secure}"))
        self._cookies.extract_cookies(
            httpx.Response(200, headers=lines, request=httpx.Request("GET", url))
        )

    @property
    def session_value(self) -> str | None:
        """The session cookie's value, whose change is a change of session. A secret."""
        for cookie in self._cookies.jar:
            if self._is_session(cookie):
                return cookie.value
        return None

    def attach(self, request: httpx.Request) -> bool:
        """Add the Cookie header; whether there was any cookie to send."""
        request.headers.encoding = _BYTES
        self._cookies.set_cookie_header(request)
        return "cookie" in request.headers

    def absorb(self, response: httpx.Response) -> bool:
        """Take over the cookies of a response; whether the session cookie's value changed."""
        before = self.session_value
        kept_cache = {c.value for c in self._cookies.jar if _is_cache(c)}
        response.headers.encoding = _BYTES
        lines = [
            (b"set-cookie", _readable(line).encode(_BYTES))
            for line in response.headers.get_list("set-cookie")
        ]
        if lines:
            readable = httpx.Response(200, headers=lines, request=response.request)
            readable.headers.encoding = _BYTES
            self._cookies.extract_cookies(readable)
        for cookie in self._cookies.jar:
            if self._is_session(cookie):
                # When it ends is the server's to say. This machine's clock may be wrong or jump,
                # and without the cookie the answer would be, truthfully, "no session" (HAZARDS C3).
                cookie.expires = None
        moved = self.session_value != before
        if moved:
            # A cached session that was not renewed along is the old session's, and a server
            # with cookieCache would go on minting tokens for it.
            for cookie in list(self._cookies.jar):
                if _is_cache(cookie) and cookie.value in kept_cache:
                    self._cookies.jar.clear(cookie.domain, cookie.path, cookie.name)
        return moved

    def unsendable(self, origin: str) -> bool:
        """Whether the session cookie is Secure and the origin is plain http."""
        return origin.startswith("http:") and any(
            self._is_session(cookie) and cookie.secure for cookie in self._cookies.jar
        )

    def _is_session(self, cookie: Cookie) -> bool:
        return cookie.name.endswith(self._session_cookie)

    def __repr__(self) -> str:
        return f"<Jar of {sum(1 for _ in self._cookies.jar)} cookies>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cookie jar holds secrets and cannot be pickled or copied")


def _readable(line: str) -> str:
    return re.sub(_UNREADABLE, "", re.sub(_LONG_AGE, r"\1", line))


def _is_cache(cookie: Cookie) -> bool:
    """A large cached session is spread over session_data.0, session_data.1, …"""
    return "session_data" in cookie.name
