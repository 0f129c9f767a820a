"""A network that can be made slow or cut: what the demo does to its requests."""

from __future__ import annotations

import anyio
import httpx

__all__ = ["Network"]


class Network(httpx.AsyncBaseTransport):
    """Passes requests on, after a delay for token routes if ``slow``, or not at all if ``down``."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.down = False
        self.slow = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.slow and request.url.path.endswith("/token"):
            await anyio.sleep(self.slow)
        if self.down:
            raise httpx.ConnectError("the network is down", request=request)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()
