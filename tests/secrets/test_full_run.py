"""S1, S2: a whole run, with every logger at DEBUG and everything shown that can be shown."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator

import pytest

from reactive_auth.embedded import EmbeddedServer
from tests.servers.npm import VERSIONS, NodeServer

from .run import Evidence, answers_noted, full_run, listening, new_vault, public_classes

_users = itertools.count(1)


@contextlib.contextmanager
def serving(name: str) -> Iterator[str]:
    if name == "embedded":
        with EmbeddedServer() as embedded, embedded.serve() as url:
            yield url
    else:
        version = next(version for version in VERSIONS if version == name)
        with NodeServer(version) as node:
            yield node.url


@pytest.mark.parametrize("server", ["v16", "embedded"])
def test_s1_s2_nothing_in_a_whole_run_shows_a_secret(server: str) -> None:
    evidence = Evidence(new_vault())
    with serving(server) as url, listening(evidence), answers_noted(evidence.vault):
        asyncio.run(full_run(url, f"user-{next(_users)}@example.com", evidence))
    assert {"httpx", "httpcore.http11", "asyncio"} <= evidence.logged, "they were to be heard"
    texts = "".join(what for where, what in evidence.shown if where.startswith("log of httpcore"))
    assert "receive_response_headers" in texts
    assert "[redacted]" in texts
    assert public_classes() <= evidence.types, public_classes() - evidence.types
    assert {"cookie session_token", "token in a body", "one-time token", "fetched token"} <= (
        evidence.vault.kinds
    )
    leaks = evidence.leaks()
    assert not leaks, f"{len(leaks)} leaks:\n" + "\n".join(leaks[:40])
