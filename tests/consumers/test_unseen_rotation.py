"""What the project is for: a password change that revokes the session, and nobody notices.

Twenty readers call a resource server back to back, which accepts a token only while its session
lives, while the password of a real Better Auth server is changed ten times.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

import reactive_auth.client.keeper
from reactive_auth import (
    AuthError,
    AuthProvider,
    BearerAuth,
    BetterAuthClient,
    bearer_auth,
    connect,
)
from tests.core.support import Seen
from tests.servers.npm import NodeServer, ServerOptions

from .resource_server import resource_server

READERS = 20
ROTATIONS = 10
PASSWORDS = ("correct-horse-battery", "another-horse-battery")


@dataclass
class Outcome:
    """What the readers and a view saw."""

    calls: Counter[int] = field(default_factory=Counter)
    failures: list[object] = field(default_factory=list)
    flickers: int = 0
    sessions: set[str] = field(default_factory=set)
    token_requests: int = 0
    refused: int = 0


@pytest.fixture(scope="module")
def auth_server() -> Iterator[NodeServer]:
    with NodeServer("v16", ServerOptions()) as server:
        yield server


async def rotate_under_readers(server: NodeServer, email: str) -> Outcome:
    outcome = Outcome()
    # The session is gone 40 ms before anybody hears of it, and a token takes 20 ms.
    server.reset()
    server.script("/change-password", times=None, when="after", delay_ms=40)
    server.script("/convex/token", times=None, delay_ms=20)
    progress = asyncio.Condition()

    async with resource_server(server) as resource, connect(server.url, timeout=5) as auth:
        await auth.client.sign_up_email(email=email, password=PASSWORDS[0], name="Ada")
        states = Seen(auth.state)
        session = bearer_auth(auth, origins=[resource.url])
        before = server.count("/convex/token")

        async def read(number: int, http: httpx.AsyncClient) -> None:
            while True:
                try:
                    answer = await http.get("/")
                except AuthError as error:
                    outcome.failures.append(error)
                else:
                    if answer.status_code != 200:
                        outcome.failures.append(answer.status_code)
                async with progress:
                    outcome.calls[number] += 1
                    progress.notify_all()

        async with httpx.AsyncClient(base_url=resource.url, auth=session) as http:
            readers = [asyncio.create_task(read(n, http)) for n in range(READERS)]
            try:
                for number in range(ROTATIONS):
                    await _a_call_each(progress, outcome)
                    outcome.sessions.add(session_id(auth))
                    await auth.client.change_password(
                        current_password=PASSWORDS[number % 2],
                        new_password=PASSWORDS[(number + 1) % 2],
                        revoke_other_sessions=True,
                    )
                await _a_call_each(progress, outcome)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
        outcome.sessions.add(session_id(auth))
        outcome.flickers = sum(not state.is_authenticated for state in states.values)
        outcome.token_requests = server.count("/convex/token") - before
        outcome.refused = resource.answers[401]
    return outcome


def session_id(auth: AuthProvider[BetterAuthClient]) -> str:
    session = auth.session.value.session
    return session.id if session else ""


async def _a_call_each(progress: asyncio.Condition, outcome: Outcome) -> None:
    """So that no call is overtaken by two rotations: it is sent again once."""
    before = outcome.calls.copy()
    async with asyncio.timeout(30), progress:
        await progress.wait_for(
            lambda: all(outcome.calls[n] >= before[n] + 1 for n in range(READERS))
        )


def test_r1_r6_ten_rotations_are_seen_by_none_of_twenty_readers(auth_server: NodeServer) -> None:
    outcome = asyncio.run(rotate_under_readers(auth_server, "unseen@example.com"))
    assert len(outcome.sessions) == ROTATIONS + 1
    assert outcome.failures == []
    assert outcome.flickers == 0
    assert outcome.token_requests == ROTATIONS
    assert outcome.calls.total() >= READERS * (ROTATIONS + 1)


def test_without_the_retry_readers_see_it(
    auth_server: NodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BearerAuth, "_worth_a_retry", lambda *_: False)
    outcome = asyncio.run(rotate_under_readers(auth_server, "retry@example.com"))
    assert 401 in outcome.failures


def test_without_the_hold_readers_and_views_see_it(
    auth_server: NodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactive_auth.client.keeper, "may_change_session", lambda path: False)
    try:
        outcome = asyncio.run(rotate_under_readers(auth_server, "hold@example.com"))
    except AuthError:  # signed out in the middle of its own password change
        return
    assert outcome.failures or outcome.flickers or outcome.token_requests > ROTATIONS
