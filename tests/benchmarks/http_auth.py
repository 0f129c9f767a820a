"""Requests a second through the auth, compared with a fixed header and with the peers."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable

import google.auth.transport.requests
import google.oauth2.credentials
import httpx
import httpx2
import httpx_auth
import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its deprecations are its own
    from authlib.integrations.httpx_client import AsyncOAuth2Client

from reactive_auth import bearer_auth, connect, connect_blocking

from .server import COOKIE, RotatingServer, serve
from .table import Table, alone, medians

#: Requests a round, one after the other.
REQUESTS = 150
PATH = "/api/auth/get-session"


def run(table: Table) -> None:
    with serve(RotatingServer()) as server:
        asyncio.run(_async(table, server.url))
        asyncio.run(_blocking(table, server.url))


async def _async(table: Table, url: str) -> None:
    fixed = {"authorization": "Bearer " + "x" * 300}
    oauth2 = {"access_token": "x" * 300, "token_type": "Bearer", "expires_at": time.time() + 900}
    async with connect(url, cookies={COOKIE: "a"}) as auth:
        await auth.fetch_access_token()
        clients = {
            "httpx, fixed header": httpx.AsyncClient(base_url=url, headers=fixed),
            "ours on httpx": httpx.AsyncClient(base_url=url, auth=bearer_auth(auth)),
            "httpx2, fixed header": httpx2.AsyncClient(base_url=url, headers=fixed),
            "ours on httpx2": httpx2.AsyncClient(base_url=url, auth=bearer_auth(auth)),
            "authlib": AsyncOAuth2Client(base_url=url, token=oauth2),
            "httpx-auth": httpx.AsyncClient(base_url=url, auth=_client_credentials(url)),
        }

        def calls(client: httpx.AsyncClient) -> Callable[[], object]:
            async def get() -> None:
                for _ in range(REQUESTS):
                    assert (await client.get(PATH)).status_code == 200

            return get

        rounds = {name: calls(client) for name, client in clients.items()}
        bare = rounds.pop("httpx, fixed header")
        each, ratios = await medians(bare, *rounds.values())
        table.add("requests/s: httpx, fixed header", round(REQUESTS / each[0]))
        for name, seconds, ratio in zip(rounds, each[1:], ratios, strict=True):
            goal = "≥ 0.95" if name == "ours on httpx" else ""
            table.add(f"  {name} / httpx, fixed header", ratio, goal)
            table.add("    requests/s", round(REQUESTS / seconds))
        _, ratios = await medians(rounds["httpx2, fixed header"], rounds["ours on httpx2"])
        table.add("  ours on httpx2 / httpx2, fixed header", ratios[0])
        for client in clients.values():
            await client.aclose()


async def _blocking(table: Table, url: str) -> None:
    token = "x" * 300
    with connect_blocking(url, cookies={COOKIE: "a"}) as auth:
        auth.fetch_access_token()
        google_session = google.auth.transport.requests.AuthorizedSession(
            google.oauth2.credentials.Credentials(token)
        )
        with (
            httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}) as bare,
            httpx.Client(base_url=url, auth=bearer_auth(auth)) as ours,
            requests.Session() as plain,
            google_session as authorized,
        ):
            plain.headers["authorization"] = f"Bearer {token}"
            plain.trust_env = authorized.trust_env = False

            def calls(client: httpx.Client | requests.Session) -> Callable[[], object]:
                target = PATH if isinstance(client, httpx.Client) else url + PATH

                def get() -> None:
                    for _ in range(REQUESTS):
                        assert client.get(target).status_code == 200

                return get

            each, ratios = await medians(calls(bare), calls(ours))
            table.add("blocking: ours / httpx.Client, fixed header", ratios[0])
            table.add("    requests/s", round(REQUESTS / each[1]))
            each, ratios = await medians(calls(plain), calls(authorized))
            table.add("blocking: google-auth / requests, fixed header", ratios[0])
            table.add("    requests/s", round(REQUESTS / each[1]))


def _client_credentials(url: str) -> httpx_auth.OAuth2ClientCredentials:
    return httpx_auth.OAuth2ClientCredentials(
        f"{url}/api/auth/oauth2/token", client_id="id", client_secret="secret"
    )


if __name__ == "__main__":
    alone(run)
