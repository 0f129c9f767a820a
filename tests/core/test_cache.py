"""C: cache, expiry, clock."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import InvalidToken, NotAuthenticated, Session
from reactive_auth.clock import SYSTEM_CLOCK
from reactive_auth.lease import lease_seed, lease_token
from reactive_auth.policy import Policy
from reactive_auth.testing import VirtualClock, expiry, make_jwt

from .support import Seen, Stage, play, staged


@given(
    lifetime=st.floats(1, 4000),
    waits=st.lists(st.floats(0, 2000), min_size=1, max_size=8),
    subscribed=st.booleans(),
    margin=st.floats(0, 200),
)
def test_c1_no_getter_gives_a_token_with_less_than_the_margin_left(
    lifetime: float, waits: list[float], subscribed: bool, margin: float
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        if subscribed:
            Seen(stage.auth.token)
        for wait in waits:
            await stage.auth.fetch_access_token()
            await asyncio.sleep(wait)
            token = stage.auth.token.value
            if token is not None:
                left = token.expires_at.timestamp() - stage.clock.wall()
                life = (token.expires_at - token.issued_at).total_seconds()
                assert left >= min(margin, life / 10) - 1e-3

    play(scenario, lifetime=lifetime, margin=margin)


@staged()
async def test_c2_a_seed_is_served_without_a_request_but_never_to_a_forced_call(
    stage: Stage,
) -> None:
    seed = stage.client.token_for(Session("A", "u1"))
    async with type(stage.auth)(stage.client, initial_token=seed, clock=stage.clock) as auth:
        stage.client.sign_in("A")
        assert await auth.fetch_access_token() == seed
        assert not stage.client.fetches
        assert await auth.fetch_access_token(force_refresh=True) != seed
        assert len(stage.client.fetches) == 1


@pytest.mark.parametrize("way", ["other session", "signed out first", "expired"])
def test_c2_a_seed_is_of_no_use_to(way: str) -> None:
    async def scenario(stage: Stage) -> None:
        seed = stage.client.token_for(Session("A", "u1"))
        if way == "expired":
            await asyncio.sleep(900)
        async with type(stage.auth)(stage.client, initial_token=seed, clock=stage.clock) as auth:
            if way == "signed out first":
                stage.client.sign_out()
            stage.client.sign_in("B" if way == "other session" else "A")
            assert auth.token.value is None
            assert await auth.fetch_access_token() != seed

    play(scenario)


@staged()
async def test_c2_c3_a_clock_that_is_behind_does_not_prolong_a_seed(stage: Stage) -> None:
    seed = stage.client.token_for(Session("A", "u1"))
    stage.clock.skew = -7200
    async with type(stage.auth)(stage.client, initial_token=seed, clock=stage.clock) as auth:
        stage.client.sign_in("A")
        assert await auth.fetch_access_token() == seed
        await asyncio.sleep(880)
        assert await auth.fetch_access_token() != seed


@given(skew=st.floats(-7200, 7200), lifetime=st.floats(60, 3600))
def test_c3_with_a_wrong_clock_refresh_is_before_the_servers_expiry_and_bounded(
    skew: float, lifetime: float
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.clock.skew = skew
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        for _ in range(50):
            await asyncio.sleep(lifetime / 10)
            assert stage.auth.token.value is not None
            expires = stage.auth.token.value.claims["exp"]
            assert isinstance(expires, (int, float))
            assert stage.clock.server() < expires + 1
        assert len(stage.client.fetches) <= 8

    play(scenario, lifetime=lifetime)


@given(lifetime=st.floats(0.01, 600), subscribed=st.booleans())
def test_c4_refreshes_are_bounded_for_any_lifetime(lifetime: float, subscribed: bool) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        if subscribed:
            Seen(stage.auth.token)
        for _ in range(600):
            caller = stage.call()
            await asyncio.sleep(0.1)
            caller.cancel()
            await stage.rest(3)
        assert len(stage.client.fetches) <= 75

    play(scenario, lifetime=lifetime)


@given(lifetime=st.floats(1, 20))
def test_c4_in_the_background_refreshes_are_at_least_the_interval_apart(lifetime: float) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        await asyncio.sleep(600)
        assert len(stage.client.fetches) <= 600 / 5 + 1

    play(scenario, lifetime=lifetime)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(
    claims=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("exp", "iat", "nbf", "aud", "iss", "sub", "jti"), JSON)
    ),
    seed=st.booleans(),
)
def test_c5_c7_any_claims_give_a_finite_delay_or_a_clear_error(
    claims: dict[str, object], seed: bool
) -> None:
    session, clock, policy = Session("A"), VirtualClock(), Policy()
    value = make_jwt(claims)
    try:
        if seed:
            lease = lease_seed(value, session, clock=clock, policy=policy)
        else:
            lease = lease_token(value, session, serial=1, clock=clock, policy=policy)
    except InvalidToken:
        return
    if lease is not None:
        assert 0 < lease.evict_at <= 86_400
        assert lease.refresh_at <= 86_400
        assert lease.token.expires_at > lease.token.issued_at


@given(st.text() | st.binary() | st.none() | st.integers() | st.text(".aeyJ"))
def test_c8_f13_whatever_is_answered_is_a_lease_or_a_clear_error(value: object) -> None:
    try:
        lease = lease_token(value, Session("A"), serial=1, clock=VirtualClock(), policy=Policy())
    except InvalidToken:
        return
    assert lease.value == value


@staged(opaque_ttl=60)
async def test_c8_an_opaque_token_lives_its_declared_time_and_no_longer(stage: Stage) -> None:
    stage.client.sign_in("A")
    stage.client.then("opaque-1").then("opaque-2")
    assert await stage.auth.fetch_access_token() == "opaque-1"
    await asyncio.sleep(50)
    assert await stage.auth.fetch_access_token() == "opaque-1"
    await asyncio.sleep(10)
    assert stage.token is None
    assert await stage.auth.fetch_access_token() == "opaque-2"


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [
        ({"exp": 1e300, "iat": 0}, 86_400),
        ({"exp": 10**400, "iat": 0}, None),
        ({"exp": "soon", "iat": 0}, None),
        ({"exp": True}, None),
        ({"iat": 5}, 300),
        ({"exp": 900, "iat": 0}, 900),
        ({"exp": 900, "iat": "x"}, 300),
        ({"exp": 10, "iat": 20}, None),
        ({"exp": 10.2, "iat": 10}, None),
        ({"exp": 2**62, "iat": -(2**62)}, 86_400),
        ({"exp": 900, "iat": 0, "nbf": 10**12, "aud": 7, "sub": 12}, 900),
    ],
)
def test_c5_the_lifetime_that_claims_stand_for(
    claims: dict[str, object], seconds: float | None
) -> None:
    def lease() -> float:
        made = lease_token(
            make_jwt(claims), Session("A"), serial=1, clock=SYSTEM_CLOCK, policy=Policy()
        )
        return (made.token.expires_at - made.token.issued_at).total_seconds()

    if seconds is None:
        with pytest.raises(InvalidToken):
            lease()
    else:
        assert lease() == pytest.approx(seconds, abs=0.01)


@staged()
async def test_c6_after_suspend_the_next_read_refreshes(stage: Stage) -> None:
    stage.client.sign_in("A")
    old = await stage.auth.fetch_access_token()
    stage.clock.suspend(3600)
    assert await stage.auth.fetch_access_token() != old


@pytest.mark.parametrize("subscribed", [True, False])
def test_c6_within_seconds_of_wake_no_expired_token_is_shown(subscribed: bool) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        if subscribed:
            Seen(stage.auth.token)
        old = await stage.auth.fetch_access_token()
        stage.clock.suspend(3600)
        await asyncio.sleep(6)
        assert stage.token != old
        assert (stage.token is not None) == subscribed

    play(scenario)


@staged()
async def test_c6_a_wall_clock_set_back_prolongs_nothing(stage: Stage) -> None:
    stage.client.sign_in("A")
    old = await stage.auth.fetch_access_token()
    stage.clock.skew = -7200
    await asyncio.sleep(890)
    assert stage.token is None
    assert await stage.auth.fetch_access_token() != old


@staged()
async def test_c9_an_authoritative_rejection_evicts_a_token_that_is_still_good(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    stage.client.then(NotAuthenticated("revoked"))
    assert await stage.auth.fetch_access_token(force_refresh=True) is None
    assert stage.token is None
    assert stage.auth.state.value.status == "signed_out"


@staged()
async def test_c9_a_rejected_token_is_not_served_to_others(stage: Stage) -> None:
    stage.client.sign_in("A")
    old = await stage.auth.fetch_access_token()
    stage.client.then_token(delay=1)
    refused = stage.call(rejected=old)
    await stage.rest()
    other = stage.call()
    await stage.rest()
    assert not other.done()
    assert await other == await refused != old


@staged()
async def test_c10_when_the_early_refresh_fails_the_good_token_is_served_and_it_is_retried(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    seen = Seen(stage.auth.state)
    Seen(stage.auth.token)
    old = await stage.auth.fetch_access_token()
    stage.client.then(OSError("down"))
    await asyncio.sleep(781)
    assert len(stage.client.fetches) >= 2
    assert stage.auth.state.value.has_token
    await asyncio.sleep(10)
    assert stage.token not in (None, old)
    assert stage.auth.state.value.error is None
    assert any(state.error is not None and state.has_token for state in seen.values)


@pytest.mark.parametrize("renewed", [True, False])
def test_c12_at_its_end_a_session_is_rechecked_and_then_expired(renewed: bool) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A", expires_at=expiry(stage.clock, 3600))

        async def recheck() -> None:
            stage.client.refetches += 1
            if renewed:
                stage.client.sign_in("A", expires_at=expiry(stage.clock, 3600))

        stage.client.refetch = recheck  # type: ignore[method-assign]
        await stage.auth.fetch_access_token()
        await asyncio.sleep(3599)
        assert stage.auth.state.value.status == "signed_in"
        await asyncio.sleep(2)
        assert stage.auth.state.value.status == ("signed_in" if renewed else "expired")
        assert stage.client.refetches == 1
        if not renewed:
            assert stage.token is None
            assert await stage.auth.fetch_access_token() is None

    play(scenario)


@staged()
async def test_c12_after_suspend_the_end_of_the_session_is_noticed_within_a_minute(
    stage: Stage,
) -> None:
    stage.client.sign_in("A", expires_at=expiry(stage.clock, 86_400))
    stage.clock.suspend(90_000)
    await asyncio.sleep(61)
    assert stage.auth.state.value.status == "expired"


@given(st.sampled_from(["rotation", "sign-out"]))
def test_c13_a_late_subscriber_never_receives_an_earlier_sessions_token(way: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        first = Seen(stage.auth.token)
        await stage.rest()
        first.subscription.dispose()
        if way == "rotation":
            stage.client.sign_in("B")
        else:
            stage.client.sign_out()
        late = Seen(stage.auth.token)
        await stage.rest()
        assert all(token is None or token.session_id == "B" for token in late.values)

    play(scenario)


@staged()
async def test_with_a_subscriber_a_token_is_refreshed_ahead_and_without_one_nothing_runs(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    seen = Seen(stage.auth.token)
    states = Seen(stage.auth.state)
    await asyncio.sleep(3600)
    assert len(stage.client.fetches) == 5
    assert all(token is not None for token in seen.values[1:])
    assert all(state.is_authenticated for state in states.values)
    seen.subscription.dispose()
    await asyncio.sleep(36_000)
    assert len(stage.client.fetches) == 5
    assert not stage.auth.state.value.has_token
