"""The servers that the wire suite runs on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from reactive_auth.embedded import EmbeddedServer
from tests.servers.npm import VERSIONS, NodeServer, ServerOptions

_users = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """One of them, whichever it is."""

    name: str
    url: str
    backend: NodeServer | EmbeddedServer

    @property
    def is_embedded(self) -> bool:
        return self.name == "embedded"

    def count(self, path: str) -> int:
        return self.backend.count(path)

    def revoke(self, session_id: str) -> None:
        """As if it had been revoked elsewhere."""
        self.backend.revoke(session_id)

    def new_email(self) -> str:
        return f"user-{next(_users)}@example.com"


def _start(name: str, *, cookie_cache: bool) -> Iterator[Server]:
    if name == "embedded":
        embedded = EmbeddedServer(cookie_cache=cookie_cache)
        with embedded.serve() as url:
            yield Server(name, url, embedded)
        embedded.close()
    else:
        version = next(version for version in VERSIONS if version == name)
        with NodeServer(version, ServerOptions(cookie_cache=cookie_cache)) as node:
            yield Server(name, node.url, node)


@pytest.fixture(scope="package", params=[*VERSIONS, "embedded"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """better-auth 1.6 with the convex plugin, 1.7 with its jwt plugin, and the embedded one."""
    yield from _start(request.param, cookie_cache=False)


@pytest.fixture(scope="package", params=[*VERSIONS, "embedded"])
def caching_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The same with session.cookieCache on."""
    yield from _start(request.param, cookie_cache=True)
