"""What happened is recorded, drawn and told in words; no secret with it."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import (
    AuthProvider,
    AuthUnavailable,
    Backoff,
    ConfigurationError,
    connect,
)
from reactive_auth.client import BetterAuthClient
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.timeline import Timeline, record
from tests.core.support import Stage, play, staged

EMAIL, PASSWORD, NEW = "t@example.com", "s3cr3t-horse", "s3cr3t-staple"
Auth = AuthProvider[BetterAuthClient]
SVG = "{http://www.w3.org/2000/svg}"


def recorded(
    story: Callable[[EmbeddedServer, Auth], Awaitable[None]], **options: Any
) -> tuple[Timeline, set[str]]:
    """The timeline of a story of a user who has just signed up, and the secrets in it."""
    server, secrets = EmbeddedServer(**options), {PASSWORD, NEW}

    async def main() -> Timeline:
        quick = Backoff(base=0.01, cap=0.05)
        async with connect(
            EmbeddedServer.url, transport=server.transport, timeout=2, backoff=quick
        ) as auth:
            timeline = record(auth)
            await auth.client.sign_up_email(email=EMAIL, password=PASSWORD, name="T")
            auth.token.subscribe(lambda token: secrets.add(token.value) if token else None)
            for step in (nothing, story):
                await step(server, auth)
                secrets.update(filter(None, [auth.client._jar.session_value]))
            timeline.dispose()
            return timeline

    try:
        return asyncio.run(main()), secrets
    finally:
        server.close()


async def rotate(server: EmbeddedServer, auth: Auth) -> None:
    server.faults.hang("/convex/token", times=1)
    waiting = asyncio.ensure_future(auth.fetch_access_token(force_refresh=True))
    while server.requests[-1].path != "/convex/token" or server.requests[-1].status:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await auth.client.change_password(
        current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
    )
    await waiting


def test_a_rotation_is_drawn_as_one_with_its_cancelled_fetch_cut() -> None:
    timeline, _ = recorded(rotate)
    marbles = timeline.marbles()
    rows = dict(line.split(None, 1) for line in marbles.splitlines())
    assert "".join(dict.fromkeys(c for c in rows["session"] if c in "AB")) == "AB"
    assert "a1" in rows["token"]
    assert rows["token"].index("a1") < rows["token"].index("b1")
    assert rows["fetch"].count("╳") == 1
    picture = ElementTree.fromstring(marbles.svg)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts.count("rotation") == 1
    assert {"A", "B", "a1", "b1"} <= set(texts)
    titles = [title.text or "" for title in picture.iter(f"{SVG}title")]
    assert [t for t in titles if "cancelled" in t and "/convex/token" in t]


def test_s2_neither_picture_nor_text_nor_json_holds_a_secret() -> None:
    timeline, secrets = recorded(rotate)
    assert len(secrets) >= 4
    marbles = timeline.marbles()
    exported = [str(marbles), marbles.svg, marbles._repr_html_(), timeline.to_json()]
    exported += [repr(timeline), timeline._repr_html_(), timeline.why_signed_out()]
    exported.append(pickle.dumps((marbles, list(timeline.marks))).decode("latin-1"))
    for text in exported:
        assert not [secret for secret in secrets if secret in text]
    data = json.loads(timeline.to_json())
    assert data == timeline.to_dict()
    assert len(data["marks"]) == len(timeline.marks) > 10


async def sign_out(server: EmbeddedServer, auth: Auth) -> None:
    await auth.client.sign_out()


async def revoked(server: EmbeddedServer, auth: Auth) -> None:
    (session_id,) = server.sessions()
    server.revoke(session_id)
    await auth.client.refetch()


async def revoked_and_a_token_asked_for(server: EmbeddedServer, auth: Auth) -> None:
    (session_id,) = server.sessions()
    server.revoke(session_id)
    assert await auth.fetch_access_token(force_refresh=True) is None


async def nothing(server: EmbeddedServer, auth: Auth) -> None:
    pass


async def out_and_in(server: EmbeddedServer, auth: Auth) -> None:
    await auth.client.sign_out()
    await auth.client.sign_in_email(email=EMAIL, password=PASSWORD)


async def deleted(server: EmbeddedServer, auth: Auth) -> None:
    await auth.client.delete_user(password=PASSWORD)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (sign_out, "Session A was ended by a sign-out here"),
        (revoked, "Session A was said by the server not to exist (GET /get-session"),
        (revoked_and_a_token_asked_for, "Session A was refused a token by the server"),
        (nothing, "Nobody was: session A stands."),
        (out_and_in, "Nobody was: session B stands. The session before it ended at"),
        (deleted, "Session A was"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_says_in_words_why_the_user_was_signed_out(story: Any, words: str) -> None:
    timeline, _ = recorded(story)
    assert timeline.why_signed_out().startswith(words)


@staged()
async def test_it_says_so_of_an_expired_session_and_of_any_other_client(stage: Stage) -> None:
    from reactive_auth.testing.fake import expiry

    timeline = record(stage.auth)
    assert "has not said yet" in timeline.why_signed_out()
    stage.client.sign_in("A", expires_at=expiry(stage.clock, 60))
    await asyncio.sleep(120)
    assert "Session A reached its end" in timeline.why_signed_out()
    stage.client.sign_in("B")
    stage.client.sign_out()
    assert "Session B was ended by its client" in timeline.why_signed_out()


def test_an_outage_is_drawn_with_its_failures_and_repetitions() -> None:
    async def story(server: EmbeddedServer, auth: Auth) -> None:
        server.faults.down()
        with pytest.raises(AuthUnavailable):
            await auth.fetch_access_token(force_refresh=True)
        server.faults.up()
        await auth.fetch_access_token(force_refresh=True)

    timeline, _ = recorded(story)
    texts = [mark.text for mark in timeline.marks]
    assert [text for text in texts if "/convex/token failed: " in text]
    assert [text for text in texts if "/convex/token started once more" in text]
    assert [mark for mark in timeline.marks if mark.row == "state" and mark.sign == "●!"]
    assert "Nobody was" in timeline.why_signed_out()


@given(limit=st.integers(1, 30), changes=st.integers(0, 60), width=st.integers(20, 200))
def test_memory_is_bounded_and_whatever_is_left_can_be_drawn(
    limit: int, changes: int, width: int
) -> None:
    async def scenario(stage: Stage) -> None:
        timeline = record(stage.auth, limit=limit)
        for number in range(changes):
            if number % 5 == 4:
                stage.client.sign_out()
            else:
                stage.client.sign_in(f"S{number}")
            await stage.rest()
        assert len(timeline.marks) <= limit
        marbles = timeline.marbles(width)
        assert max(len(line) for line in marbles.splitlines()) <= max(width, 12)
        ElementTree.fromstring(marbles.svg)
        assert timeline.why_signed_out()

    play(scenario)


@staged()
async def test_disposed_it_stays_as_it_is_and_keeps_no_token_fresh(stage: Stage) -> None:
    timeline = record(stage.auth)
    assert stage.auth.token.observed
    timeline.dispose()
    before = list(timeline.marks)
    stage.client.sign_in("A")
    await stage.rest()
    assert list(timeline.marks) == before
    assert not stage.auth.token.observed


@staged()
async def test_what_cannot_be_recorded_is_refused_at_the_call(stage: Stage) -> None:
    for arguments in ((None, 5), (stage.client, 5), (stage.auth, 0), (stage.auth, "many")):
        with pytest.raises(ConfigurationError):
            record(arguments[0], limit=arguments[1])  # type: ignore[arg-type]
