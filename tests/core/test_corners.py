"""What holds in the corners: at the very instant, for values far out, on the way that is seldom."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import anyio
import pytest
from reactivex.disposable import Disposable

from reactive_auth import (
    AuthProvider,
    AuthTimeout,
    AuthUnavailable,
    ConfigurationError,
    InvalidToken,
    Session,
    SessionState,
    User,
)
from reactive_auth.delivery import ThreadDelivery
from reactive_auth.home import HomeLoop
from reactive_auth.lease import lease_token, read_claims
from reactive_auth.policy import Policy
from reactive_auth.testing import FakeAuthClient, VirtualClock, expiry, make_jwt

from .support import Stage, play, staged

SECRET = "s3cr3t-t0ken"


# -- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "loading", "authenticated"),
    [
        (SessionState.unknown(), True, False),
        (SessionState.signed_out(), False, False),
        (SessionState.expired(), False, False),
        (SessionState.signed_in(Session("A"), User("u1")), False, True),
    ],
)
def test_u1_u4_what_a_view_is_told_of_each_status(
    state: SessionState, loading: bool, authenticated: bool
) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        for refreshing in (False, True, False):
            stage.client.show(state.with_(refreshing=refreshing, error=None))
            shown = stage.auth.state.value
            assert shown.status == state.status
            assert (shown.is_loading, shown.is_authenticated) == (loading, authenticated)
            # Unknown is not refreshing: nothing was known that could be known anew.
            assert shown.is_refreshing == (refreshing and not loading)
            assert shown.has_token is False
            assert (shown.session, shown.user) == (state.session, state.user)
            assert shown.error is None

    scenario()


# -- life ----------------------------------------------------------------------------------------


@staged()
async def test_l9_an_owned_client_is_closed_though_the_scope_of_its_user_was_cancelled(
    stage: Stage,
) -> None:
    ended: list[str] = []

    class Client(FakeAuthClient):
        async def aclose(self) -> None:
            await asyncio.sleep(1)
            ended.append("closed")

    auth = AuthProvider(Client(stage.clock), owns_client=True, clock=stage.clock)
    assert auth.closed is False
    with anyio.CancelScope() as scope:
        async with auth:
            scope.cancel()
    assert ended == ["closed"]
    assert auth.closed is True


# -- reads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", ["monotonic", "wall"])
def test_c1_at_the_very_instant_of_either_clock_a_token_is_not_read_any_more(clock: str) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        if clock == "monotonic":  # the loop stood still, and the wall clock was set back
            stage.clock.now += 870
            stage.clock.skew -= 1000
        else:
            stage.clock.suspend(870)
        assert stage.auth.cached_access_token() is None
        assert await stage.auth.fetch_access_token() != old

    scenario()


@staged()
async def test_k4_a_cached_read_goes_the_short_way_until_its_last_second(stage: Stage) -> None:
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()

    def long_way(*_: object) -> Any:
        raise AssertionError("a cached read went the long way")

    stage.auth._ask = long_way  # type: ignore[method-assign]
    for _ in range(2):
        assert await stage.auth.fetch_access_token() == token
        stage.clock.now += 869.5
    assert stage.auth.cached_access_token() is None


class Running:
    """A clock that has gone on at each reading, as clocks do and virtual time does not."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._since = 0.0

    def monotonic(self) -> float:
        self._since += 1e-6
        return self._clock.monotonic() + self._since

    def wall(self) -> float:
        return self._clock.wall() + self._since


class Settling(FakeAuthClient):
    settle: Callable[[], Awaitable[None]]

    def on_settle(self, settle: Callable[[], Awaitable[None]]) -> Disposable:
        self.settle = settle
        return Disposable()


@pytest.mark.parametrize("session", ["signed in", "unknown"])
def test_f1_settling_is_held_up_by_no_failure_though_time_passes(session: str) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        client = Settling(stage.clock)
        async with AuthProvider(client, clock=Running(stage.clock)):
            if session == "unknown":
                client.forget(AuthUnavailable("down"))
            else:
                client.then(OSError("down"))
                client.sign_in("A")
            await client.settle()
            assert stage.clock.now == 0

    scenario()


# -- rejections ----------------------------------------------------------------------------------


async def refused(stage: Stage, token: str | None) -> str | None:
    """The token that follows a rejected one; None if the loop was stopped."""
    try:
        return await stage.auth.fetch_access_token(rejected=token)
    except AuthUnavailable:
        return None


@staged(timeout=1)
async def test_k2_the_answer_to_a_rejection_is_kept_also_late_in_a_program(stage: Stage) -> None:
    await asyncio.sleep(500)
    stage.client.sign_in("A")
    stage.client.then("same").then("same")
    await stage.auth.fetch_access_token()
    for _ in range(5):
        assert await refused(stage, "".join("same")) == "same"
    assert len(stage.client.fetches) == 2


@staged(timeout=1)
async def test_f4_only_tokens_rejected_one_after_the_other_stop_the_loop(stage: Stage) -> None:
    stage.client.sign_in("A")
    await refused(stage, await stage.auth.fetch_access_token())
    third = await stage.auth.fetch_access_token(force_refresh=True)  # the second was not refused
    fourth = await refused(stage, third)
    assert fourth is not None
    assert await refused(stage, fourth) is None
    assert len(stage.client.fetches) == 4


@staged(timeout=1)
async def test_f4_a_token_that_was_not_fresh_excuses_none_that_follow(stage: Stage) -> None:
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()
    await asyncio.sleep(70)
    token = await refused(stage, await refused(stage, token))
    assert token is not None
    assert await refused(stage, token) is None


@staged(timeout=1)
async def test_f4_the_loop_stops_again_if_the_next_token_is_rejected_too(stage: Stage) -> None:
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()
    assert await refused(stage, await refused(stage, token)) is None
    for _ in range(3):
        await asyncio.sleep(31)
        made = len(stage.client.fetches)
        assert await refused(stage, await stage.auth.fetch_access_token()) is None
        assert len(stage.client.fetches) == made + 1


# -- other loops ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [0.01, 5.0, 1000.0])
def test_k9_another_loop_is_given_longer_than_what_it_waits_for(
    bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    run = HomeLoop.run

    async def noted(home: HomeLoop, call: Callable[[], Any], patience: float) -> Any:
        given.append(patience)
        return await run(home, call, patience)

    monkeypatch.setattr(HomeLoop, "run", noted)

    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        await stage.auth.fetch_access_token()
        await stage.auth.recheck()
        await stage.auth.aclose()
        assert len(given) == 3
        assert all(bound + 0.5 <= patience <= bound + 5 for patience in given)

    play(scenario, timeout=bound, fetch_timeout=bound)


# -- what is told of sessions that are equal and not the same --------------------------------------


@pytest.mark.parametrize("how", ["the token route", "time"])
def test_r12_a_session_told_of_again_ends_as_the_one_told_of_first(how: str) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        for name in ("first", "second"):
            session = Session("A", "u1", expiry(stage.clock, 100))
            stage.client.show(SessionState.signed_in(session, User("u1", name=name)))
            await stage.rest()
        if how == "the token route":
            stage.client.then(None)
            assert await stage.auth.fetch_access_token() is None
        else:
            await asyncio.sleep(101)
        status = "signed_out" if how == "the token route" else "expired"
        assert stage.auth.state.value.status == status

    scenario()


# -- claims --------------------------------------------------------------------------------------


def test_c5_an_expiry_far_out_with_no_iat_lives_a_day() -> None:
    clock = VirtualClock()
    for times in (1.5, 2, 3, 1e6):
        value = make_jwt({"exp": clock.wall() * times})
        lease = lease_token(value, Session("A"), serial=1, clock=clock, policy=Policy())
        assert (lease.token.expires_at - lease.token.issued_at).total_seconds() == 86_400


@pytest.mark.parametrize("value", ["opaque", "a.b", ".", "a.b.c.d", "a.b.c.d.e", "....."])
def test_c8_an_opaque_token_is_known_without_pyjwt(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    assert read_claims(value) is None


@pytest.mark.parametrize("raised", [AttributeError, RecursionError, TypeError])
def test_c5_whatever_pyjwt_raises_of_a_header_is_a_clear_error(
    raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(value: str) -> None:  # as some versions do
        raise raised(value)

    monkeypatch.setattr("jwt.get_unverified_header", read)
    with pytest.raises(InvalidToken) as error:
        read_claims(f"{SECRET}.b.c")
    assert SECRET not in str(error.value)


# -- delivery ------------------------------------------------------------------------------------


@staged()
async def test_what_is_posted_to_a_providers_queue_comes_after_what_is_queued(
    stage: Stage,
) -> None:
    told: list[str] = []

    def tell(state: object) -> None:
        told.append("observer")
        stage.auth.delivery.post(lambda: told.append("posted"))

    stage.auth.session.subscribe(tell)
    assert told == ["observer", "posted"]


def test_r10_who_subscribes_on_another_thread_is_told_on_the_loops() -> None:
    async def main() -> None:
        told, threads = asyncio.Event(), list[int]()

        def tell(_: object) -> None:
            threads.append(threading.get_ident())
            told.set()

        async with AuthProvider(FakeAuthClient()) as auth:
            await asyncio.to_thread(auth.state.subscribe, tell)
            await asyncio.wait_for(told.wait(), 30)
        assert set(threads) == {threading.get_ident()}

    asyncio.run(main())


def test_k6_a_delivery_thread_may_be_stopped_from_an_observer_of_its_own() -> None:
    delivery, ended = ThreadDelivery(), threading.Event()
    raised: list[BaseException] = []
    delivery.start()

    def stop() -> None:
        try:
            delivery.stop(30)
        except BaseException as error:
            raised.append(error)
        ended.set()

    delivery.post(stop)
    delivery.kick()
    assert ended.wait(30)
    assert not raised
    assert not delivery.is_home()


# -- secrets -------------------------------------------------------------------------------------


def shown(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        frame = traceback.tb_frame
        if "reactive_auth" in frame.f_code.co_filename:
            yield repr(frame.f_locals)
        traceback = traceback.tb_next


def test_s2_a_token_refused_at_the_call_is_in_no_frame_of_the_traceback() -> None:
    options: dict[str, Any] = {"initial_token": SECRET, "margin": -1}
    with pytest.raises(ConfigurationError) as raised:
        AuthProvider(FakeAuthClient(), **options)
    assert not any(SECRET in frame for frame in shown(raised.value.__traceback__))


@staged(timeout=1)
async def test_s2_a_rejected_token_is_in_no_frame_of_the_traceback(stage: Stage) -> None:
    with pytest.raises(AuthTimeout) as raised:
        await stage.auth.fetch_access_token(rejected=SECRET)
    assert not any(SECRET in frame for frame in shown(raised.value.__traceback__))
