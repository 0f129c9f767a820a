"""A resource server as Convex is one: a token counts while its session lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import jwt

from tests.servers.npm import NodeServer


class ResourceServer:
    """Verifies the JWT, then asks the auth server whether its session still lives."""

    def __init__(self, auth: NodeServer, keys: dict[str | None, jwt.PyJWK]) -> None:
        self.url = ""
        self.answers: Counter[int] = Counter()
        self.clients: set[asyncio.Task[None]] = set()
        self._asking = httpx.AsyncClient(base_url=auth.url)
        self._keys = keys

    async def status_for(self, header: str) -> int:
        kind, _, token = header.partition(" ")
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=["RS256"], audience="convex", leeway=5
            )
        except (jwt.PyJWTError, KeyError):
            return 401
        live = (await self._asking.get("/__test/sessions")).json()
        alive = claims["sessionId"] in {row["id"] for row in live}
        return 200 if kind == "Bearer" and alive else 401

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.clients.add(task)
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a reader that was stopped hangs up
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(": ") for line in head.split("\r\n")]
        headers = {name.lower(): value for name, _, value in lines}
        status = await self.status_for(headers.get("authorization", ""))
        self.answers[status] += 1
        body = "data" if status == 200 else "Invalid session ID"
        head = f"HTTP/1.1 {status} \r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()

    async def close(self) -> None:
        if self.clients:  # which have hung up
            await asyncio.wait(self.clients, timeout=10)
        await self._asking.aclose()


@contextlib.asynccontextmanager
async def resource_server(auth: NodeServer) -> AsyncGenerator[ResourceServer]:
    async with httpx.AsyncClient() as http:
        keys = (await http.get(f"{auth.auth_url}/convex/jwks")).json()
    resource = ResourceServer(auth, {k.key_id: k for k in jwt.PyJWKSet.from_dict(keys).keys})
    server = await asyncio.start_server(resource.serve, "127.0.0.1", 0)
    resource.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield resource
    finally:
        server.close()
        await resource.close()
