"""google-auth: a user's Credentials with a refresh token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import google.auth.transport.requests
import google.oauth2.credentials
import requests
from requests.adapters import HTTPAdapter

from .base import Peer, Use
from .server import PeerServer, mint

_ONE_USER = "Credentials are one user's for good; an app that switches makes others"


class _Threads(Use):
    def __init__(
        self,
        credentials: google.oauth2.credentials.Credentials,
        request: google.auth.transport.requests.Request,
    ) -> None:
        self._credentials = credentials
        self._request = request

    def token(self) -> str | None:
        headers: dict[str, str] = {}
        self._credentials.before_request(self._request, "GET", "https://api.example.com/", headers)
        return headers["authorization"].removeprefix("Bearer ")

    def force(self) -> str | None:
        self._credentials.refresh(self._request)
        return self._credentials.token  # type: ignore[no-any-return]


class _Google(Peer):
    name = "google-auth"
    distribution = "google-auth"
    imports = "google.oauth2.credentials, google.auth.transport.requests"
    path = "/oauth2/token"
    why: ClassVar[dict[str, str]] = {
        "tasks": "blocking API only",
        "read": "`before_request`, which writes the header",
        "sign-out": "has no sign-out",
        "switch": _ONE_USER,
        "fan-out": "tells nobody of changes",
        "observers": "tells nobody of changes",
        "rotate": _ONE_USER,
    }

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", HTTPAdapter(pool_maxsize=128))
            yield _Threads(
                _credentials("a", f"{server.url}/oauth2/token"),
                google.auth.transport.requests.Request(session),
            )

    async def hold(self, users: Sequence[str]) -> list[object]:
        kept: list[object] = []
        for user in users:
            credentials = _credentials(user, "https://login.example.com/oauth2/token")
            credentials.token = mint(user, 2e9)
            credentials.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=900)
            kept.append(credentials)
        return kept


def _credentials(user: str, url: str) -> google.oauth2.credentials.Credentials:
    return google.oauth2.credentials.Credentials(
        None, refresh_token=f"r.{user}", token_uri=url, client_id="id", client_secret="secret"
    )


PEER = _Google()
