"""C3, C6: a wall clock that is wrong or jumps, and a machine that slept."""

from __future__ import annotations

import http.cookiejar
import types
from collections.abc import Awaitable, Callable

import pytest

from .clocks import ShiftedClock, run_shifted
from .raw_server import RawServer
from .stage import RawBackend, Stage, raw_backend
from .table import FAULTS, SESSION, TOKEN

HOUR = 3600.0

Scenario = Callable[[Stage, RawServer, ShiftedClock], Awaitable[None]]


def play(scenario: Scenario, *, skew: float = 0.0) -> None:
    clock = ShiftedClock()
    clock.skew = skew

    async def main() -> None:
        async with raw_backend(clock) as backend, Stage(backend) as stage:
            await stage.pass_time(5, until=stage.is_well)
            assert stage.is_well(), stage.auth.state.value
            await scenario(stage, backend.server, clock)

    run_shifted(main(), clock)


def requests(stage: Stage, route: str) -> int:
    return sum(hit.path == route for hit in stage.starts)


async def two_hours(stage: Stage) -> None:
    """Of tokens for 15 minutes; all the time somebody asks for one, and gets one that is good."""
    before = requests(stage, TOKEN)
    await stage.pass_time(2 * HOUR, stage.ask, step=15)
    assert 8 <= requests(stage, TOKEN) - before <= 10
    assert all(state.is_authenticated for state in stage.states.values[1:] if not state.is_loading)
    assert stage.is_well()


@pytest.mark.parametrize("skew", [-24 * HOUR, -HOUR, HOUR, 24 * HOUR])
def test_c3_with_a_wrong_clock_tokens_are_good_and_requests_few(skew: float) -> None:
    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        await two_hours(stage)
        session = stage.auth.session.value.session
        assert session is not None
        assert session.expires_at is not None
        # What is shown is in this machine's time, as its own clock will reach it.
        assert abs(session.expires_at.timestamp() - skew - server.session_expires) < 60

    play(scenario, skew=skew)


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_c3_a_clock_that_jumps_while_running_costs_one_token_at_most(jump: float) -> None:
    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        known = len(stage.states.values)
        before = len(stage.starts)
        for turn in range(4):
            clock.skew += jump if turn % 2 == 0 else -jump
            await stage.pass_time(20, stage.ask)
        assert len(stage.starts) - before <= 8
        assert all(state.is_authenticated for state in stage.states.values[known:])
        await two_hours(stage)

    play(scenario)


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_c3_a_session_near_its_end_outlives_a_jump_of_the_clock(jump: float) -> None:
    """Its end is the server's to say: half an hour is left by its clock."""

    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        server.session_expires = clock.server() + HOUR / 2
        await stage.auth.client.refetch()
        known = len(stage.states.values)
        clock.skew += jump
        await stage.pass_time(20 * 60, stage.ask, step=5)
        assert all(state.is_authenticated for state in stage.states.values[known:])
        server.session_id = None
        await stage.pass_time(20 * 60, step=5)
        assert stage.auth.state.value.status in ("expired", "signed_out")

    play(scenario)


def test_c3_c12_what_a_jump_ends_while_offline_is_back_with_the_network() -> None:
    """By the only clock there is the session's time is up, and nobody can be asked."""

    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        server.session_expires = clock.server() + HOUR / 2
        await stage.auth.client.refetch()
        await stage.strike(FAULTS["connection refused"], SESSION, TOKEN)
        clock.skew += HOUR
        await stage.pass_time(90)
        assert stage.auth.state.value.status == "expired"
        await stage.heal()
        await stage.recovers()
        stage.check_errors()

    play(scenario)


@pytest.mark.parametrize("jump", [-30 * 24 * HOUR, HOUR, 30 * 24 * HOUR])
def test_c3_no_jump_of_the_clock_takes_the_session_cookie(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the server would say, truthfully, that there is no session."""

    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        server.cookie_age = HOUR / 2
        await stage.auth.client.refetch()
        assert server.sent_cookie
        clock.skew += jump
        here = types.SimpleNamespace(time=clock.wall)
        monkeypatch.setattr(http.cookiejar, "time", here)
        await stage.auth.client.refetch()
        assert server.sent_cookie
        assert stage.auth.state.value.is_authenticated

    play(scenario)


@pytest.mark.parametrize("asleep", [HOUR / 2, 3 * HOUR, 72 * HOUR])
def test_c6_after_a_sleep_a_token_is_refreshed_within_seconds_by_itself(asleep: float) -> None:
    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        old = stage.auth.token.value
        known = len(stage.states.values)
        clock.suspend(asleep)
        took = await stage.pass_time(30, until=lambda: stage.auth.token.value is not old)
        assert took <= 6
        await stage.rest()
        assert stage.is_well()
        assert requests(stage, TOKEN) == 2
        assert all(state.is_authenticated for state in stage.states.values[known:])

    play(scenario)


@pytest.mark.parametrize("kept", [True, False], ids=["subscribed", "on demand"])
def test_c6_the_first_read_after_a_sleep_gets_a_fresh_token(kept: bool) -> None:
    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        if not kept:
            stage.tokens.subscription.dispose()
            stage.tokens.completed = 1
        old = await stage.ask()
        clock.suspend(3 * HOUR)
        assert stage.auth.cached_access_token() is None
        assert await stage.ask() not in (old, None)
        assert requests(stage, TOKEN) == 2

    play(scenario)


def test_c6_f2_after_a_sleep_the_network_may_take_its_time() -> None:
    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        assert isinstance(stage.backend, RawBackend)
        known = len(stage.states.values)
        await stage.strike(FAULTS["connection refused"], SESSION, TOKEN)
        clock.suspend(8 * HOUR)
        await stage.pass_time(40)
        state = stage.auth.state.value
        assert state.is_authenticated
        assert not state.has_token
        assert state.error is not None
        await stage.heal()
        await stage.recovers()
        assert all(state.is_authenticated for state in stage.states.values[known:])
        stage.check_errors()

    play(scenario)


def test_c12_a_session_that_ended_in_a_sleep_is_over_within_a_minute_of_wake() -> None:
    async def scenario(stage: Stage, server: RawServer, clock: ShiftedClock) -> None:
        server.session_id = None
        clock.suspend(8 * 24 * HOUR)
        await stage.pass_time(60, until=lambda: not stage.auth.state.value.is_authenticated)
        assert stage.auth.state.value.status in ("signed_out", "expired")
        assert stage.auth.token.value is None
        assert await stage.auth.fetch_access_token() is None

    play(scenario)
