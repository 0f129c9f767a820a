"""Closes the socket of a connection that is given up in its TLS handshake.

httpcore 1.0 closes it when the handshake fails, but not when it is cancelled, by a time-out or by
closing the client: then the server keeps a connection until the garbage collector runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

__all__ = ["HandshakeGuard"]


class HandshakeGuard:
    """A ``trace`` extension of one httpx request
    (https://www.python-httpx.org/advanced/extensions/#trace)."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(".connect_tcp.complete"):
            self._stream = info.get("return_value")
        elif event.endswith(".start_tls.complete"):
            self._stream = None
        elif event.endswith(".start_tls.failed") and self._stream is not None:
            stream, self._stream = self._stream, None
            with anyio.CancelScope(shield=True):
                await stream.aclose()
