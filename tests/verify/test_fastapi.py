"""The resource server of the README: 401 for what is refused, 503 while keys cannot be had."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.npm import NodeServer

from .test_servers import sign_up

README = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text("utf-8")
(APP,) = (
    block
    for block in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    if "FastAPI" in block
)


@pytest.fixture(scope="module")
def server() -> Iterator[NodeServer]:
    with NodeServer("v16") as server:
        yield server


def app_for(server: NodeServer) -> Any:
    """A new one, which has no keys yet."""
    source = APP.replace("https://app.example.com", server.url)
    assert source != APP
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(source, "README.md", "exec"), namespace)
    return namespace["app"]


async def get(app: Any, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as http:
        return await http.get("/me", headers=headers)


def test_a_request_of_a_signed_in_user_is_served(server: NodeServer) -> None:
    async def main() -> None:
        token, _, user_id = await sign_up(server.url, "/convex/token")
        app = app_for(server)
        for scheme in ("Bearer", "bearer"):
            response = await get(app, f"{scheme} {token}")
            assert (response.status_code, response.json()) == (200, user_id)

    asyncio.run(main())


@pytest.mark.parametrize("authorization", [None, "", "Basic dTpw"])
def test_a_request_without_a_token_is_challenged_without_an_error(
    server: NodeServer, authorization: str | None
) -> None:
    response = asyncio.run(get(app_for(server), authorization))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_request_with_a_refused_token_is_told_invalid_token(server: NodeServer) -> None:
    async def main() -> None:
        convex, _, _ = await sign_up(server.url, "/convex/token")
        plain, _, _ = await sign_up(server.url, "/token")
        app = app_for(server)
        head, _, signature = convex.split(".")
        for token in (plain, "x", "x y", f"{head}.e30.{signature}", convex[:-8]):
            response = await get(app, f"Bearer {token}")
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
            assert token not in response.text + response.headers["www-authenticate"] or token == "x"

    asyncio.run(main())


def test_while_keys_cannot_be_had_the_answer_is_503_and_no_challenge(server: NodeServer) -> None:
    async def main() -> None:
        token, _, _ = await sign_up(server.url, "/convex/token")
        app = app_for(server)
        server.script("/convex/jwks", status=503, times=None)
        response = await get(app, f"Bearer {token}")
        assert response.status_code == 503
        assert "www-authenticate" not in response.headers
        assert (await get(app, None)).status_code == 401
        server.reset()

    asyncio.run(main())


def test_the_verifier_and_the_dependency_take_ten_lines() -> None:
    code = APP[APP.index("verifier = ") : APP.index("@app.get")]
    assert len([line for line in code.splitlines() if line]) <= 10
