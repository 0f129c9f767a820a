"""msal: a ConfidentialClientApplication, whose authority is the local server."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import msal
import requests
from requests.adapters import HTTPAdapter

from .base import Peer, Rotor, Use, owner
from .server import PeerServer, oauth_answer, oidc_configuration

SCOPES = ["api"]
_AUTHORITY = "https://login.example.com"


class _Plain(HTTPAdapter):
    """msal takes https addresses only, of hosts without a port; all lead to the local server."""

    def __init__(self, url: str) -> None:
        super().__init__(pool_maxsize=128)
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        request.url = self._url + request.path_url
        return super().send(request, *args, **options)


class _InProcess:
    """An http_client as msal wants it, answering itself."""

    def get(self, url: str, **options: Any) -> Any:
        if url.endswith("openid-configuration"):
            return _Answer(200, oidc_configuration(_AUTHORITY))
        return _Answer(404, {})

    def post(self, url: str, data: Any = None, **options: Any) -> Any:
        fields = data if isinstance(data, dict) else dict(parse_qsl(data))
        return _Answer(200, oauth_answer(str(fields["username"]), time.time()))

    def close(self) -> None:
        pass


class _Answer:
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, status: int, data: object) -> None:
        self.status_code = status
        self.text = json.dumps(data)

    def raise_for_status(self) -> None:
        pass


class _Threads(Use):
    def __init__(self, app: msal.ConfidentialClientApplication) -> None:
        self._app = app
        self._account = self._sign_in("a")

    def _sign_in(self, user: str) -> dict[str, Any]:
        answer = self._app.acquire_token_by_username_password(user, "p", SCOPES)
        assert "access_token" in answer, answer
        return next(
            found for found in self._app.get_accounts() if found["home_account_id"] == _home(user)
        )

    def expire(self) -> None:
        cache = self._app.token_cache
        for token in list(cache.search(cache.CredentialType.ACCESS_TOKEN)):
            cache.remove_at(token)

    def token(self) -> str | None:
        answer = self._app.acquire_token_silent(SCOPES, self._account)
        return answer and answer["access_token"]

    def force(self) -> str | None:
        answer = self._app.acquire_token_silent(SCOPES, self._account, force_refresh=True)
        return answer and answer["access_token"]

    def sign_out(self) -> None:
        self._app.remove_account(self._account)

    def switch(self, user: str) -> None:
        before, self._account = self._account, self._sign_in(user)
        self._app.remove_account(before)

    def signed_in(self) -> bool:
        return bool(self._app.get_accounts())

    def holds(self, user: str) -> bool:
        cache = self._app.token_cache
        found = cache.search(
            cache.CredentialType.ACCESS_TOKEN, query={"home_account_id": _home(user)}
        )
        return any(owner(token["secret"]) == user for token in found)


class _Rotor(Rotor):
    def __init__(self, app: msal.ConfidentialClientApplication) -> None:
        self._app = app

    def rotate(self, number: int) -> str | None:
        for account in self._app.get_accounts():
            self._app.remove_account(account)
        self._app.acquire_token_by_username_password(f"s{number}", "p", SCOPES)
        answer = self._app.acquire_token_silent(SCOPES, self._app.get_accounts()[0])
        return answer and answer["access_token"]


class _Msal(Peer):
    name = "msal"
    distribution = "msal"
    imports = "msal"
    path = "/oauth2/token"
    why: ClassVar[dict[str, str]] = {
        "tasks": "blocking API only",
        "read": "`acquire_token_silent`: a search in its token cache",
        "sign-out": "`remove_account`; the answer that comes later puts the tokens back, and the "
        "account object still leads to them",
        "failure": "answers from the 503 it remembers, for 5 s, and asks nobody",
        "fan-out": "tells nobody of changes",
        "observers": "tells nobody of changes",
        "rotate": "`remove_account`, sign-in by password, `acquire_token_silent`; the request "
        "answered in the process",
        "hold": "one application for each user, HTTP client and discovery shared",
    }

    @contextlib.contextmanager
    def threads(self, server: PeerServer) -> Iterator[Use]:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("https://", _Plain(server.url))
            use = _Threads(_app(f"{_AUTHORITY}/tenant", session))
            use.expire()
            yield use

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        yield _Rotor(_app(f"{_AUTHORITY}/tenant", _InProcess()))

    async def hold(self, users: Sequence[str]) -> list[object]:
        http, cache = _InProcess(), {}
        kept: list[object] = []
        for user in users:
            app = _app(f"{_AUTHORITY}/tenant", http, http_cache=cache)
            app.acquire_token_by_username_password(user, "p", SCOPES)
            kept.append(app)
        return kept


def _app(authority: str, http: Any, **options: Any) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        "client",
        client_credential="secret",
        authority=authority,
        instance_discovery=False,
        http_client=http,
        **options,
    )


def _home(user: str) -> str:
    return f"{user}.tenant"


PEER = _Msal()
