"""A resource server in memory, for httpx and httpx2 alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2

API = "https://api.example.com"
LIBRARIES = [httpx, httpx2]


@dataclass
class Resource:
    """Answers 200 to the tokens it accepts and 401 to all others; remembers what was sent."""

    accepts: Callable[[str], bool]
    seen: list[tuple[str, str | None, bytes]] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    before: Callable[[], Any] | None = None
    statuses: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> list[str | None]:
        return [token for _, token, _ in self.seen]

    # As sockets do, these consume the body and keep no copy of it, which MockTransport does.

    def transport(self, library: Any) -> Any:
        resource = self

        class Transport(library.AsyncBaseTransport):
            async def handle_async_request(self, request: Any) -> Any:
                body = b"".join([part async for part in request.stream])
                return resource._answer(library, request, body)

        return Transport()

    def blocking_transport(self, library: Any) -> Any:
        resource = self

        class Transport(library.BaseTransport):
            def handle_request(self, request: Any) -> Any:
                return resource._answer(library, request, b"".join(request.stream))

        return Transport()

    def _answer(self, library: Any, request: Any, body: bytes) -> Any:
        header = request.headers.get("authorization")
        token = header.removeprefix("Bearer ") if header is not None else None
        self.seen.append((str(request.url), token, body))
        if self.before is not None:
            self.before()
        target = self.redirects.get(request.url.path)
        if target is not None:
            return library.Response(307, headers={"location": target})
        status = 200 if token is not None and self.accepts(token) else 401
        self.statuses.append(status)
        return library.Response(status)
