"""F: failure and retry."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, throw
from reactivex.subject import Subject

from reactive_auth import (
    AuthError,
    AuthProvider,
    AuthTimeout,
    AuthUnavailable,
    Backoff,
    NotAuthenticated,
    Session,
    SessionState,
)

from .support import Seen, Stage, play, staged

TRANSIENT = [
    OSError("down"),
    TimeoutError(),
    ValueError("secret-in-an-error"),
    AuthUnavailable("503", status=503),
    RuntimeError("x"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_f1_a_transient_failure_keeps_session_and_token_and_shows_as_an_error(
    error: Exception,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        stage.client.then(error)
        caller = stage.call(force_refresh=True)
        await stage.rest()
        state = stage.auth.state.value
        assert (state.status, state.has_token) == ("signed_in", True)
        assert isinstance(state.error, AuthUnavailable)
        assert "secret-in-an-error" not in str(state.error)
        assert await stage.auth.fetch_access_token() == old
        assert await caller not in (None, old)
        assert stage.auth.state.value.error is None

    play(scenario)


@given(st.lists(st.sampled_from(["fail", "hang", "garbage"]), max_size=6), st.booleans())
def test_f2_once_the_source_recovers_a_token_is_there_with_no_user_action(
    troubles: list[str], again: bool
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        for trouble in troubles:
            if trouble == "hang":
                stage.client.then_hang()
            else:
                stage.client.then(OSError() if trouble == "fail" else 42)
        await asyncio.sleep(len(troubles) * (30 + 10) + 1)
        assert stage.auth.state.value.has_token
        assert stage.auth.state.value.error is None
        assert len(stage.client.fetches) == len(troubles) + 1

    play(scenario)


@staged(manual=True)
async def test_f3_a_fetch_that_hangs_is_cancelled_in_time_and_the_next_call_is_served(
    stage: Stage,
) -> None:
    session = stage.client.sign_in("A")
    with pytest.raises(AuthUnavailable):
        await stage.auth.fetch_access_token()
    assert stage.clock.now <= 30
    assert all(fetch.status == "cancelled" for fetch in stage.client.fetches[:-1])
    stage.client.manual = False
    assert await stage.auth.fetch_access_token() == stage.client.token_for(session)
    assert stage.clock.now < 60


@given(
    failures=st.integers(1, 200),
    draw=st.floats(0, 1),
    retry_after=st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
def test_f4_the_backoff_is_bounded_below_and_above_and_heeds_retry_after(
    failures: int, draw: float, retry_after: float | None
) -> None:
    delay = Backoff(base=0.5, cap=30, draw=lambda: draw).delay(failures, retry_after)
    assert 0.05 <= delay <= 3600
    if retry_after is not None and 0 <= retry_after <= 3600:
        assert delay >= retry_after
    elif retry_after is None:
        assert delay <= 30


@given(st.integers(0, 2**32))
def test_f4_a_source_that_always_fails_is_asked_at_a_bounded_rate(seed: int) -> None:
    import random

    backoff = Backoff(draw=random.Random(seed).random)

    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        for _ in range(400):
            stage.client.then(OSError())
        await asyncio.sleep(3600)
        # Full jitter around a cap of 30 s: 15 s on average once it has grown.
        assert len(stage.client.fetches) < 340
        assert stage.auth.state.value.is_authenticated

    play(scenario, backoff=backoff)


@staged()
async def test_f4_retry_after_is_honoured_and_a_caller_that_could_not_wait_is_told_at_once(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    stage.client.then(AuthUnavailable("429", status=429, retry_after=100))
    with pytest.raises(AuthUnavailable) as raised:
        await stage.auth.fetch_access_token()
    assert stage.clock.now < 1
    assert raised.value.retry_after == pytest.approx(100, abs=1)
    with pytest.raises(AuthUnavailable):
        await stage.auth.fetch_access_token()
    assert len(stage.client.fetches) == 1
    await asyncio.sleep(99)
    assert await stage.auth.fetch_access_token() is not None


@staged()
async def test_f4_two_fresh_tokens_rejected_stop_the_loop_with_an_error(stage: Stage) -> None:
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()
    token = await stage.auth.fetch_access_token(rejected=token)
    with pytest.raises(AuthUnavailable):
        await stage.auth.fetch_access_token(rejected=token)
    assert len(stage.client.fetches) == 2
    assert stage.clock.now < 1
    assert stage.auth.state.value.error is not None
    assert stage.auth.state.value.is_authenticated
    await asyncio.sleep(31)
    assert await stage.auth.fetch_access_token() is not None


@staged()
async def test_f7_failures_are_values_and_no_stream_ever_ends(stage: Stage) -> None:
    seen = [Seen(stream) for stream in (stage.auth.session, stage.auth.token, stage.auth.state)]
    stage.client.sign_in("A")
    for _ in range(5):
        stage.client.then(OSError())
    await asyncio.sleep(120)
    stage.client.forget(AuthUnavailable("x"))
    stage.client.sign_out()
    assert not any(one.errors or one.completed for one in seen)


@staged(backoff=Backoff(base=0.5, cap=30, draw=lambda: 1.0))
async def test_f4_a_success_starts_the_backoff_anew(stage: Stage) -> None:
    stage.client.sign_in("A")
    for _ in range(4):
        stage.client.then(OSError())
    await stage.auth.fetch_access_token()
    assert stage.clock.now == pytest.approx(0.5 + 1 + 2 + 4)
    stage.client.then(OSError())
    await stage.auth.fetch_access_token(force_refresh=True)
    assert stage.clock.now == pytest.approx(8)


class OwnSource:
    """A user's own token source, whose session stream fails."""

    def __init__(self, *streams: Observable[Any]) -> None:
        self.streams = list(streams)

    @property
    def session(self) -> Observable[SessionState]:
        return self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]

    async def fetch_token(self, session: Session) -> str | None:
        return "opaque"


@staged()
async def test_f7_a_session_stream_that_fails_is_subscribed_to_again(stage: Stage) -> None:
    good: Subject[SessionState] = Subject()
    client = OwnSource(throw(OSError("x")), throw(OSError("y")), good)
    client.streams.insert(0, good)  # the constructor looks at the attribute
    async with AuthProvider(client, clock=stage.clock) as auth:
        assert isinstance(auth.state.value.error, AuthUnavailable)
        assert auth.state.value.status == "unknown"
        await asyncio.sleep(5)
        good.on_next(SessionState.signed_in(Session("A")))
        assert auth.state.value.is_authenticated
        assert auth.state.value.error is None
        good.on_next("no state")  # type: ignore[arg-type]
        assert auth.state.value.is_authenticated
        assert auth.state.value.error is not None


@staged()
async def test_f10_a_first_failure_leaves_unknown_and_never_signed_out(stage: Stage) -> None:
    seen = Seen(stage.auth.state)
    caller = stage.call()
    stage.client.forget(AuthUnavailable("no network yet"))
    await asyncio.sleep(10)
    assert not caller.done()
    stage.client.sign_in("A")
    assert await caller is not None
    assert [state.status for state in seen.values][:2] == ["unknown", "unknown"]
    assert "signed_out" not in {state.status for state in seen.values}


@pytest.mark.parametrize("way", ["rotation", "sign-out", "close"])
def test_f11_a_pending_retry_does_not_outlive_its_session(way: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        stage.client.then(AuthUnavailable("later", retry_after=20))
        await stage.rest()
        assert len(stage.client.fetches) == 1
        if way == "rotation":
            stage.client.sign_in("B")
        elif way == "sign-out":
            stage.client.sign_out()
        else:
            await stage.auth.aclose()
        await asyncio.sleep(100)
        assert [f.session.id for f in stage.client.fetches[1:]] == ["B"] * (way == "rotation")

    play(scenario)


class Misbehaving:
    def __init__(self, stage: Stage, fetch: Any) -> None:
        self.session = stage.client.session
        self.fetch_token = fetch


def _throws(_: Session) -> Any:
    raise ZeroDivisionError


async def _cancelled(_: Session) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "fetch", [_throws, lambda _: "no awaitable", lambda _: None, _cancelled], ids=range(4)
)
def test_f13_a_fetch_that_throws_at_once_is_a_failed_fetch_like_any_other(fetch: Any) -> None:
    async def scenario(stage: Stage) -> None:
        async with AuthProvider(Misbehaving(stage, fetch), clock=stage.clock) as auth:
            stage.client.sign_in("A")
            with pytest.raises(AuthUnavailable):
                await auth.fetch_access_token()
            assert auth.state.value.is_authenticated
            assert not auth.state.value.is_refreshing

    play(scenario)


@pytest.mark.parametrize("answer", [42, b"bytes", "", " ", ["x"], object(), "a.b", True])
def test_f13_an_answer_that_is_no_token_is_transient(answer: object) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.client.then(answer)
        token = await stage.auth.fetch_access_token()
        assert token is not None
        assert (token == "a.b") == (answer == "a.b")
        assert len(stage.client.fetches) == (1 if answer == "a.b" else 2)

    play(scenario)


@pytest.mark.parametrize("answer", [None, NotAuthenticated("gone")], ids=["none", "raised"])
def test_f_none_and_not_authenticated_are_authoritative(answer: object) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.client.then(answer)
        assert await stage.auth.fetch_access_token() is None
        assert stage.auth.state.value.status == "signed_out"
        await asyncio.sleep(1000)
        assert len(stage.client.fetches) == 1

    play(scenario)


@staged(manual=True)
async def test_nobody_waits_for_ever_for_a_session_that_stays_unknown(stage: Stage) -> None:
    with pytest.raises(AuthTimeout) as raised:
        await stage.auth.fetch_access_token()
    assert isinstance(raised.value, AuthError)
    assert stage.clock.now == pytest.approx(30)
