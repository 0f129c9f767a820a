"""Tokens of real servers, verified with the keys they publish, over sockets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from reactive_auth import AuthUnavailable, connect
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.verify import JwksVerifier, TokenRefused
from tests.servers.npm import NodeServer, ServerOptions

PASSWORD = "correct-horse-battery"
_users = itertools.count(1)


@pytest.fixture(scope="module")
def v16() -> Iterator[NodeServer]:
    with NodeServer("v16") as server:
        yield server


@pytest.fixture(scope="module")
def v16_eddsa() -> Iterator[NodeServer]:
    with NodeServer("v16", ServerOptions(convex_alg="EdDSA")) as server:
        yield server


@pytest.fixture(scope="module")
def v17() -> Iterator[NodeServer]:
    with NodeServer("v17") as server:
        yield server


async def sign_up(url: str, token_path: str) -> tuple[str, str, str]:
    """A token, and the ids of its session and user."""
    async with connect(url, token_path=token_path) as auth:
        email = f"verify-{next(_users)}@example.com"
        await auth.client.sign_up_email(email=email, password=PASSWORD, name="V")
        token = await auth.fetch_access_token()
        session = auth.session.value.session
        assert token is not None
        assert session is not None
        return token, session.id, str(session.user_id)


#: Server, token route, key route, algorithm, audience (None: the server's URL).
ROUTES = [
    ("v16", "/convex/token", "/convex/jwks", "RS256", "convex"),
    ("v16", "/token", "/jwks", "EdDSA", None),
    ("v16_eddsa", "/convex/token", "/convex/jwks", "EdDSA", "convex"),
    ("v17", "/token", "/jwks", "EdDSA", None),
]


@pytest.mark.parametrize(("name", "route", "keys", "algorithm", "audience"), ROUTES)
def test_the_tokens_of_a_real_server_are_accepted_for_their_audience_and_user(
    name: str,
    route: str,
    keys: str,
    algorithm: str,
    audience: str | None,
    request: pytest.FixtureRequest,
) -> None:
    server: NodeServer = request.getfixturevalue(name)
    has_session = route == "/convex/token"

    async def main() -> None:
        token, session_id, user_id = await sign_up(server.url, route)
        options: dict[str, Any] = {
            "algorithms": [algorithm],
            "issuer": server.url,
            "audience": audience or server.url,
        }
        server.reset()
        async with JwksVerifier(server.auth_url + keys, **options) as verifier:
            calls = [verifier.verify(token, subject=user_id) for _ in range(100)]
            for verified in await asyncio.gather(*calls):
                assert verified.subject == user_id
                assert verified.session_id == (session_id if has_session else None)
                assert verified.issued_at is not None
                assert (verified.expires_at - verified.issued_at).total_seconds() == 900
            assert server.count(keys) == 1
            if has_session:
                await verifier.verify(token, session_id=session_id)
            for binding in ({"session_id": "another"}, {"subject": "another"}):
                with pytest.raises(TokenRefused):
                    await verifier.verify(token, **binding)
            with pytest.raises(TokenRefused):
                await verifier.verify(token[:-6] + "AAAAAA")
        for wrong in (
            {"issuer": "https://elsewhere.example.com"},
            {"audience": "elsewhere"},
            {"algorithms": ["ES256", "EdDSA" if algorithm == "RS256" else "RS256"]},
        ):
            async with JwksVerifier(server.auth_url + keys, **(options | wrong)) as verifier:
                with pytest.raises(TokenRefused):
                    await verifier.verify(token)

    asyncio.run(main())


def test_the_tokens_of_one_route_are_refused_by_the_keys_of_the_other(v16: NodeServer) -> None:
    async def main() -> None:
        token, _, _ = await sign_up(v16.url, "/token")
        async with JwksVerifier(
            v16.auth_url + "/convex/jwks",
            algorithms=["RS256", "EdDSA"],
            issuer=v16.url,
            audience=["convex", v16.url],
        ) as verifier:
            with pytest.raises(TokenRefused) as caught:
                await verifier.verify(token)
            assert caught.value.reason == "key"

    asyncio.run(main())


def test_s7_a_token_of_a_revoked_session_is_refused_where_the_server_can_be_asked(
    v16: NodeServer,
) -> None:
    async def is_live(session_id: str) -> bool:
        return session_id in {row["id"] for row in v16.sessions()}

    async def main() -> None:
        token, session_id, _ = await sign_up(v16.url, "/convex/token")
        async with JwksVerifier(
            v16.auth_url + "/convex/jwks",
            algorithms=["RS256"],
            issuer=v16.url,
            audience="convex",
            is_live=is_live,
        ) as verifier:
            await verifier.verify(token)
            v16.revoke(session_id)
            with pytest.raises(TokenRefused) as caught:
                await verifier.verify(token)
            assert caught.value.reason == "session"

    asyncio.run(main())


def test_s8_an_outage_of_a_real_server_is_unavailable_and_passes(v16: NodeServer) -> None:
    async def main() -> None:
        token, _, _ = await sign_up(v16.url, "/convex/token")
        for trouble in ({"status": 503}, {"raw": "<html>"}, {"drop": True}, {"hang": True}):
            v16.reset()
            v16.script("/convex/jwks", **trouble)
            async with JwksVerifier(
                v16.auth_url + "/convex/jwks",
                algorithms=["RS256"],
                issuer=v16.url,
                audience="convex",
                timeout=0.5 if "hang" in trouble else 10,
            ) as verifier:
                with pytest.raises(AuthUnavailable):
                    await verifier.verify(token)
                await verifier.refresh()
                await verifier.verify(token)
        v16.reset()

    asyncio.run(main())


def test_no_connection_is_left_open_between_fetches(v16: NodeServer) -> None:
    def connections() -> set[object]:
        found = psutil.Process().net_connections("tcp")
        return {one.laddr for one in found if one.status == psutil.CONN_ESTABLISHED}

    async def main() -> None:
        token, _, _ = await sign_up(v16.url, "/convex/token")
        before = connections()
        async with JwksVerifier(
            v16.auth_url + "/convex/jwks", algorithms=["RS256"], issuer=v16.url, audience="convex"
        ) as verifier:
            await verifier.verify(token)
            assert connections() <= before

    asyncio.run(main())


def test_the_embedded_server_publishes_the_keys_of_its_tokens() -> None:
    server = EmbeddedServer()

    async def main(url: str) -> None:
        token, session_id, _ = await sign_up(url, "/convex/token")
        async with JwksVerifier(
            url + "/api/auth/convex/jwks",
            algorithms=["EdDSA"],
            issuer=url,
            audience="convex",
        ) as verifier:
            verified = await verifier.verify(token, session_id=session_id)
            assert verified.session_id == session_id

    try:
        with server.serve() as url:
            asyncio.run(main(url))
    finally:
        server.close()
