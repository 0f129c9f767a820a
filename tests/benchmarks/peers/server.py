"""The endpoints that the peers talk to, in one server."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from itertools import count
from urllib.parse import parse_qsl

from reactive_auth.testing import make_jwt

from ..server import COOKIE, RotatingServer, http_answer, session_in

__all__ = ["LIFETIME", "PeerServer", "gotrue_session", "mint", "oauth_answer", "oidc_configuration"]

#: Of every token, in seconds.
LIFETIME = 900

_CONFIGURATION = "/tenant/v2.0/.well-known/openid-configuration"
_MINTING = {"/convex/token", "/token", "/oauth2/token", "/v1/oauth/token"}
_serial = count(1)


class PeerServer(RotatingServer):
    """Each answer takes ``latency`` seconds. A user is named by the session cookie, the refresh
    token (``r.a`` is user a's), the user name or the assertion.
    """

    def __init__(self, latency: float = 0.2) -> None:
        super().__init__(latency)
        #: How far this machine's clock is ahead of the server's (seconds).
        self.skew = 0.0
        #: How many token requests are answered with a 503 next.
        self.failures = 0
        self._held: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = threading.Condition()

    @property
    def now(self) -> float:
        """The server's time, which is right."""
        return time.time() - self.skew

    def hold(self, user: str) -> None:
        """Answer no refresh of this user's token until it is released."""
        self._held[user] = asyncio.Event()

    def release(self, user: str) -> None:
        """Answer them."""
        event = self._held.pop(user)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(event.set)

    def wait_for(self, path: str, requests: int) -> None:
        """Block until that many requests have come in."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.requests[path] >= requests, 30):
                raise TimeoutError(f"no request came in to {path}")

    async def start(self) -> asyncio.Server:
        self._loop = asyncio.get_running_loop()
        return await super().start()

    def _count(self, path: str) -> None:
        with self._arrived:
            super()._count(path)
            self._arrived.notify_all()

    async def _pause(self, path: str, cookies: str, body: bytes) -> None:
        user, refreshing = _who(cookies, body)
        held = self._held.get(user)
        if held is not None and path in _MINTING and refreshing:
            await held.wait()
        else:
            await asyncio.sleep(self.latency)

    def _answer(self, path: str, cookies: str, body: bytes) -> bytes:
        user, _ = _who(cookies, body)
        if path in _MINTING and self.failures:
            self.failures -= 1
            return http_answer({"message": "unavailable"}, status=503)
        if path == "/convex/token":
            if not session_in(cookies):
                return http_answer({"code": "UNAUTHORIZED"}, status=401)
            return http_answer({"token": mint(user, self.now)})
        if path == "/sign-in/email":
            cookie = f"set-cookie: {COOKIE}={user}; Path=/; HttpOnly; SameSite=Lax\r\n"
            return http_answer({"redirect": False, "token": user, "user": None}, cookie)
        if path == "/sign-out":
            clear = f"set-cookie: {COOKIE}=; Max-Age=0; Path=/\r\n"
            return http_answer({"success": True}, clear)
        if path == "/token":
            return http_answer(gotrue_session(user, self.now))
        if path == "/logout":
            return http_answer({})
        if path in ("/oauth2/token", "/v1/oauth/token"):
            return http_answer(oauth_answer(user, self.now))
        if path == _CONFIGURATION:
            return http_answer(oidc_configuration("https://login.example.com"))
        return super()._answer(path, cookies, body)


def _who(cookies: str, body: bytes) -> tuple[str, bool]:
    """Of which user the request is, and whether it refreshes a token he already has."""
    cookie = session_in(cookies)
    fields = json.loads(body) if body.startswith(b"{") else dict(parse_qsl(body.decode()))
    if "email" in fields:
        return str(fields["email"]).partition("@")[0], False
    if "refresh_token" in fields:
        return str(fields["refresh_token"]).removeprefix("r."), True
    for name in ("username", "assertion"):
        if name in fields:
            return str(fields[name]), True
    return cookie or "a", True


def mint(user: str, now: float) -> str:
    """A token of this user's session, unlike any other."""
    claims = {"sub": "u", "sessionId": user, "iat": int(now), "exp": int(now) + LIFETIME}
    return make_jwt({**claims, "n": next(_serial)})


def gotrue_session(user: str, now: float) -> dict[str, object]:
    """What GoTrue answers to a sign-in and to a refresh."""
    return {
        "access_token": mint(user, now),
        "refresh_token": f"r.{user}",
        "token_type": "bearer",
        "expires_in": LIFETIME,
        "expires_at": int(now) + LIFETIME,
        "user": {
            "id": user,
            "app_metadata": {},
            "user_metadata": {},
            "aud": "authenticated",
            "created_at": "2026-01-01T00:00:00Z",
        },
    }


def oauth_answer(user: str, now: float) -> dict[str, object]:
    """What a token endpoint answers (RFC 6749, 5.1), with Entra's ``client_info``."""
    info = make_jwt({"uid": user, "utid": "tenant"}).split(".")[1]
    identity = {"sub": user, "preferred_username": user, "iss": "i", "aud": "id"}
    times = {"iat": int(now), "exp": int(now) + LIFETIME}
    return {
        "access_token": mint(user, now),
        "refresh_token": f"r.{user}",
        "token_type": "Bearer",
        "expires_in": LIFETIME,
        "client_info": info,
        "id_token": make_jwt({**identity, **times}),
    }


def oidc_configuration(base: str) -> dict[str, str]:
    """What OpenID Connect Discovery answers."""
    return {
        "issuer": f"{base}/tenant/v2.0",
        "authorization_endpoint": f"{base}/tenant/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/token",
    }
