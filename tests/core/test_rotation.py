"""R: rotation and switching."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import AuthUnavailable, NotAuthenticated, Session, SessionState, User
from reactive_auth.testing import make_jwt

from .support import Seen, Stage, play, staged

STEPS = st.lists(
    st.sampled_from(["A", "B", "C", "unknown", "signed_out", "hold", "release", "tick", "answer"]),
    max_size=25,
)


def step(stage: Stage, name: str) -> None:
    client = stage.client
    if name in "ABC":
        client.sign_in(name)
    elif name == "unknown":
        client.forget()
    elif name == "signed_out":
        client.sign_out()
    elif name == "hold":
        client.hold()
    elif name == "release":
        client.release()
    elif name == "answer":
        for fetch in client.fetches:
            fetch.resolve(client.token_for(fetch.session))


@given(STEPS)
def test_r1_no_token_of_another_session_is_ever_emitted_read_or_returned(steps: list[str]) -> None:
    async def scenario(stage: Stage) -> None:
        def current() -> str | None:
            session = stage.auth.session.value.session
            return session.id if session else None

        def check(token: object) -> None:
            assert token is None or token.session_id == current()  # type: ignore[attr-defined]

        seen = Seen(stage.auth.token, check)
        Seen(stage.auth.session, lambda _: check(stage.auth.token.value))
        for name in steps:
            step(stage, name)
            check(stage.auth.token.value)
            if name == "tick":
                await stage.rest(2)
        await stage.rest()
        assert not stage.reported
        assert not seen.errors

    play(scenario, manual=True)


@staged(manual=True)
async def test_r2_a_late_answer_for_the_old_session_touches_nothing(stage: Stage) -> None:
    first = stage.client.sign_in("A")
    seen = Seen(stage.auth.token)
    await stage.rest()
    second = stage.client.sign_in("B")
    await stage.rest()
    old, new = stage.client.fetches
    assert old.status == "cancelled"
    new.resolve(stage.client.token_for(second))
    await stage.rest()
    kept = stage.token
    old.resolve(stage.client.token_for(first))
    await stage.rest()
    assert stage.token == kept
    assert [token.session_id for token in seen.values if token] == ["B"]


@staged()
async def test_r3_an_old_getter_neither_returns_the_old_token_nor_moves_the_new_state(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    getter = stage.auth.fetch_access_token
    old = await getter()
    stage.client.sign_in("B")
    new = await getter()
    assert new not in (None, old)
    assert await getter(rejected=old) == new
    assert stage.token == new


@given(forced=st.booleans(), through=st.sampled_from(["", "unknown", "hold"]))
def test_r4_a_caller_that_waits_through_a_rotation_gets_the_new_sessions_token(
    forced: bool, through: str
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        caller = stage.call(force_refresh=forced)
        await stage.rest()
        if through:
            step(stage, through)
            await stage.rest()
            assert not caller.done()
        session = stage.client.sign_in("B")
        await stage.rest()
        token = stage.client.token_for(session)
        stage.client.open_fetches[0].resolve(token)
        assert await caller == token

    play(scenario, manual=True)


@staged()
async def test_r5_unknown_in_the_middle_resets_nothing_and_fetches_nothing(stage: Stage) -> None:
    stage.client.sign_in("A")
    seen = Seen(stage.auth.token)
    token = await stage.auth.fetch_access_token()
    stage.client.forget()
    await stage.rest()
    assert stage.auth.state.value.is_authenticated
    stage.client.sign_in("A")
    await stage.rest()
    assert await stage.auth.fetch_access_token() == token
    assert len(stage.client.fetches) == 1
    assert [bool(value) for value in seen.values] == [False, True]


@pytest.mark.parametrize("between", ["unknown", "signed_out"])
def test_r5_another_session_after_the_middle_resets(between: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        step(stage, between)
        stage.client.sign_in("B")
        assert stage.token is None
        assert await stage.auth.fetch_access_token() != old

    play(scenario)


@staged()
async def test_r5_the_same_session_after_a_sign_out_is_a_new_epoch(stage: Stage) -> None:
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    stage.client.sign_out()
    stage.client.sign_in("A")
    assert stage.token is None
    await stage.auth.fetch_access_token()
    assert len(stage.client.fetches) == 2


@given(st.lists(st.sampled_from(["A", "B", "unknown", "hold", "release", "tick"]), max_size=20))
def test_r6_while_signed_in_no_rotation_shows_signed_out(steps: list[str]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        seen = Seen(stage.auth.state)
        Seen(stage.auth.token)
        for name in steps:
            step(stage, name)
            if name == "tick":
                await stage.rest()
        await stage.rest()
        assert all(state.is_authenticated for state in seen.values)

    play(scenario)


@staged(lifetime=100)
async def test_r8_the_same_string_from_a_refresh_re_arms_and_does_not_loop(stage: Stage) -> None:
    session = stage.client.sign_in("A")
    same = stage.client.token_for(session)
    for _ in range(3):
        stage.client.then(same)
    await stage.auth.fetch_access_token()
    assert await stage.auth.fetch_access_token(force_refresh=True) == same
    assert await stage.auth.fetch_access_token(rejected=same) == same
    await asyncio.sleep(0.1)
    assert len(stage.client.fetches) == 3
    assert stage.auth.state.value.is_authenticated


@staged()
async def test_r9_the_same_session_again_switches_nothing(stage: Stage) -> None:
    stage.client.sign_in("A")
    Seen(stage.auth.token)
    await stage.rest()
    for n in range(7):
        user = User("u1", name=str(n))
        stage.client.show(SessionState.signed_in(Session("A", "u1"), user))
    await stage.rest()
    assert [fetch.status for fetch in stage.client.fetches] == ["answered"]


@staged(identity=lambda session: (session.id, session.extra.get("org")))
async def test_r12_a_declared_identity_resets_and_an_equal_session_does_not(stage: Stage) -> None:
    def show(org: str) -> None:
        session = Session("A", "u1", extra={"org": org})
        stage.client.show(SessionState.signed_in(session, User("u1")))

    show("x")
    first = await stage.auth.fetch_access_token()
    show("x")
    assert stage.token == first
    show("y")
    assert stage.token is None
    assert await stage.auth.fetch_access_token() != first


def _raise(_: Session) -> object:
    raise LookupError("no org")


@staged(identity=_raise)
async def test_r12_an_identity_function_that_raises_is_reported_and_ends_no_stream(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    stage.client.sign_in("B")
    await stage.auth.fetch_access_token()
    assert stage.auth.token.value is not None
    assert stage.auth.token.value.session_id == "B"
    assert all(isinstance(error, LookupError) for error in stage.reported)
    assert stage.reported


@pytest.mark.parametrize("claims", [{"sessionId": "X"}, {"sessionId": None}, {"sub": "somebody"}])
def test_r13_a_token_that_contradicts_the_session_is_never_used_and_has_it_rechecked(
    claims: dict[str, object],
) -> None:
    async def scenario(stage: Stage) -> None:
        session = stage.client.sign_in("A")
        fitting = {"sub": "u1", "iat": 0, "exp": 900}
        stage.client.then(make_jwt({**fitting, **claims}))
        seen = Seen(stage.auth.token)
        token = await stage.auth.fetch_access_token()
        assert stage.client.refetches == 1
        assert token == stage.client.token_for(session) or token is not None
        assert [value.claims["sub"] for value in seen.values if value] == ["u1"]
        assert [value.claims.get("sessionId") for value in seen.values if value] == ["A"]

    play(scenario)


@staged()
async def test_r15_after_sign_out_nobody_reads_the_cache_not_even_from_the_callback(
    stage: Stage,
) -> None:
    stage.client.sign_in("A", "u1")
    old = await stage.auth.fetch_access_token()
    read: list[str | None] = []
    Seen(stage.auth.session, lambda _: read.append(stage.token))
    stage.client.sign_out()
    stale = stage.call(rejected="whatever")
    assert stage.token is None
    assert await stale is None
    stage.client.sign_in("B", "u2")
    assert old not in read[1:]
    assert await stage.auth.fetch_access_token() != old


@staged(manual=True)
async def test_a_dead_session_is_not_believed_while_an_own_request_may_be_rotating_it(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    seen = Seen(stage.auth.state)
    Seen(stage.auth.token)
    await stage.rest()
    stage.client.fetches[0].reject(NotAuthenticated("gone"))
    stage.client.hold()  # before the answer is seen
    await stage.rest()
    session = stage.client.sign_in("B")
    await stage.rest()
    stage.client.open_fetches[0].resolve(stage.client.token_for(session))
    await stage.rest()
    assert all(state.is_authenticated for state in seen.values)
    assert stage.auth.state.value.has_token


@staged()
async def test_the_token_route_ends_the_session_and_a_new_one_is_another_epoch(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    stage.client.then(None)
    assert await stage.auth.fetch_access_token() is None
    assert stage.auth.state.value.status == "signed_out"
    stage.client.sign_in("B")
    assert await stage.auth.fetch_access_token() is not None


@staged()
async def test_during_a_hold_callers_wait_also_with_a_token_in_the_cache(stage: Stage) -> None:
    stage.client.sign_in("A")
    old = await stage.auth.fetch_access_token()
    stage.client.hold()
    caller = stage.call()
    await stage.rest()
    assert not caller.done()
    assert stage.token == old, "views keep what they show"
    stage.client.release()
    assert await caller == old
    assert len(stage.client.fetches) == 1


@staged()
async def test_a_hold_that_never_ends_fails_the_callers_in_time(stage: Stage) -> None:
    stage.client.sign_in("A")
    stage.client.hold()
    with pytest.raises(AuthUnavailable):
        await stage.auth.fetch_access_token()
    assert stage.clock.now == pytest.approx(30)


@staged()
async def test_r1_a_token_that_is_old_by_its_turn_is_not_delivered(stage: Stage) -> None:
    stage.auth.token.subscribe(lambda token: stage.client.sign_out() if token else None)
    later = Seen(stage.auth.token)
    stage.client.sign_in("A")
    await stage.rest()
    assert later.values == [None]


@staged(manual=True)
async def test_during_a_hold_no_fetch_is_begun_and_the_one_under_way_is_cancelled(
    stage: Stage,
) -> None:
    Seen(stage.auth.token)
    stage.client.sign_in("A")
    await stage.rest()
    stage.client.hold()
    await asyncio.sleep(9)
    assert [fetch.status for fetch in stage.client.fetches] == ["cancelled"]
    stage.client.release()
    await stage.rest()
    assert [fetch.status for fetch in stage.client.fetches] == ["cancelled", "open"]


@staged()
async def test_r2_a_fetch_superseded_before_it_began_is_never_begun(stage: Stage) -> None:
    Seen(stage.auth.token)
    stage.client.sign_in("A")
    stage.client.sign_out()
    await stage.rest()
    assert not stage.client.fetches


@staged()
async def test_r1_r3_what_is_left_of_a_session_that_is_over_starts_nothing(stage: Stage) -> None:
    stage.client.sign_in("A")
    Seen(stage.auth.token)
    await stage.rest()
    old = stage.auth._tokens
    assert old is not None
    stage.client.sign_in("B")
    await stage.rest()
    made = len(stage.client.fetches)
    old.force(99)
    old.poke()
    await asyncio.sleep(2000)
    assert old.view.lease is None
    assert len(stage.client.fetches) > made
    assert {fetch.session.id for fetch in stage.client.fetches[made:]} == {"B"}
