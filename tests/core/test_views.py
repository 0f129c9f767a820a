"""U: what views see."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import (
    AccessToken,
    AuthUnavailable,
    ConfigurationError,
    Session,
    SessionState,
    User,
)

from .support import Seen, Stage, play, staged


@given(st.lists(st.sampled_from(["A", "unknown", "error", "tick"]), max_size=15))
def test_u1_the_first_state_is_unknown_and_signed_out_is_never_guessed(steps: list[str]) -> None:
    async def scenario(stage: Stage) -> None:
        seen = Seen(stage.auth.state)
        for step in steps:
            if step == "A":
                stage.client.sign_in("A")
            elif step == "tick":
                await asyncio.sleep(1)
            else:
                stage.client.forget(AuthUnavailable("x") if step == "error" else None)
        assert seen.values[0].is_loading
        assert {state.status for state in seen.values} <= {"unknown", "signed_in"}

    play(scenario)


@staged()
async def test_u2_an_equal_result_emits_nothing(stage: Stage) -> None:
    stage.client.sign_in("A")
    Seen(stage.auth.token)
    await stage.rest()
    seen = [Seen(s) for s in (stage.auth.session, stage.auth.token, stage.auth.state)]
    for _ in range(5):
        stage.client.sign_in("A")
        await stage.rest()
    assert [len(one.values) for one in seen] == [1, 1, 1]


@staged()
async def test_u2_the_same_failure_again_emits_nothing(stage: Stage) -> None:
    seen = Seen(stage.auth.state)
    for _ in range(5):
        stage.client.forget(AuthUnavailable("no network"))
    assert len(seen.values) == 2


@given(lifetime=st.floats(2, 600), outage=st.booleans())
def test_u3_expiry_and_refresh_never_leave_authenticated(lifetime: float, outage: bool) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        seen = Seen(stage.auth.state)
        if outage:
            await asyncio.sleep(1)
            for _ in range(6):
                stage.client.then(OSError())
        await asyncio.sleep(1200)
        assert all(state.is_authenticated and not state.is_loading for state in seen.values)

    play(scenario, lifetime=lifetime)


@staged(manual=True)
async def test_u4_authenticated_and_having_a_token_are_two_things(stage: Stage) -> None:
    session = stage.client.sign_in("A")
    state = stage.auth.state.value
    assert (state.is_authenticated, state.has_token, state.is_refreshing) == (True, False, False)
    caller = stage.call()
    await stage.rest()
    assert stage.auth.state.value.is_refreshing
    stage.client.fetches[0].resolve(stage.client.token_for(session))
    await caller
    state = stage.auth.state.value
    assert (state.is_authenticated, state.has_token, state.is_refreshing) == (True, True, False)


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from(["u1", "u2"])), min_size=1, max_size=6
    )
)
def test_u5_out_and_in_again_always_ends_ready(sign_ins: list[tuple[str, str]]) -> None:
    async def scenario(stage: Stage) -> None:
        Seen(stage.auth.token)
        for session_id, user_id in sign_ins:
            stage.client.sign_out()
            stage.client.sign_in(session_id, user_id)
            await stage.rest()
            state = stage.auth.state.value
            assert state.is_authenticated
            assert state.has_token
            assert state.user is not None
            assert state.user.id == user_id
            assert not state.is_refreshing

    play(scenario)


@staged()
async def test_u12_a_refresh_with_unchanged_data_triggers_none(stage: Stage) -> None:
    stage.client.sign_in("A")
    Seen(stage.auth.state, lambda _: stage.client.sign_in("A"))
    Seen(stage.auth.token)
    await asyncio.sleep(100)
    assert len(stage.client.fetches) == 1


@staged()
async def test_no_observer_ever_sees_one_session_with_another_ones_token(stage: Stage) -> None:
    mixed: list[str] = []

    def look(_: object) -> None:
        session = stage.auth.session.value.session
        token = stage.auth.token.value
        state = stage.auth.state.value
        if token is not None and (session is None or token.session_id != session.id):
            mixed.append("token")
        if state.session != session or state.has_token != (token is not None):
            mixed.append("state")

    for stream in (stage.auth.session, stage.auth.token, stage.auth.state):
        stream.subscribe(look)
    for name in "ABA":
        stage.client.sign_in(name)
        await stage.auth.fetch_access_token()
    stage.client.sign_out()
    assert not mixed


@staged()
async def test_a_rotation_is_told_in_as_few_states_as_there_are(stage: Stage) -> None:
    stage.client.sign_in("A")
    Seen(stage.auth.token)
    await stage.rest()
    seen = Seen(stage.auth.state)
    stage.client.hold()
    stage.client.sign_in("B")
    await stage.rest()
    assert [(s.session and s.session.id, s.is_refreshing, s.has_token) for s in seen.values] == [
        ("A", False, True),
        ("A", True, True),
        ("B", True, False),
        ("B", False, True),
    ]


def test_states_show_themselves_as_short_html_without_secrets() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    token = AccessToken("s3cr3t", "session-id-1234567", now, now, {"jti": "s3cr3t"})
    state = SessionState.signed_in(Session("session-id-1234567"), User("u", "<b>@example.com"))
    for value in (token, state):
        html = value._repr_html_()
        assert "s3cr3t" not in html + repr(value) + str(value)
        assert "<b>@" not in html
        assert "1234567" not in html
        assert len(html) < 300


@pytest.mark.parametrize(
    "make",
    [
        lambda: Session(""),
        lambda: Session(7),
        lambda: Session("a", expires_at=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: User(""),
        lambda: SessionState("sleeping"),
        lambda: SessionState("signed_in"),
        lambda: SessionState("signed_out", Session("a")),
    ],
)
def test_values_that_mean_nothing_cannot_be_made(make: object) -> None:
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]
