"""When a token is fetched, retried and evicted, and a session looked at again: to the second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import reactivex
from reactivex.disposable import Disposable

from reactive_auth import AuthProvider, AuthTimeout, AuthUnavailable, Backoff, Session, SessionState
from reactive_auth.delivery import Delivery, LoopDelivery, ThreadDelivery
from reactive_auth.home import HomeLoop
from reactive_auth.signal import Signal
from reactive_auth.testing import FakeAuthClient, expiry

from .support import Seen, Stage, staged

ALWAYS_LONGEST = Backoff(base=0.5, cap=30, draw=lambda: 1.0)


def fetch_times(stage: Stage) -> list[float]:
    """The instants of all fetches from now on."""
    times: list[float] = []
    fetch = stage.client.fetch_token

    async def timed(session: Session) -> Any:
        times.append(round(stage.clock.now, 3))
        return await fetch(session)

    stage.client.fetch_token = timed  # type: ignore[method-assign]
    return times


@staged()
async def test_c2_a_good_seed_is_kept_with_a_subscriber_until_its_refresh_is_due(
    stage: Stage,
) -> None:
    times = fetch_times(stage)
    seed = stage.client.token_for(Session("A", "u1"))
    async with AuthProvider(stage.client, initial_token=seed, clock=stage.clock) as auth:
        Seen(auth.token)
        stage.client.sign_in("A")
        await asyncio.sleep(779)
        assert times == []
        await asyncio.sleep(2)
        assert times == [780]


@pytest.mark.parametrize(("lifetime", "apart"), [(900, 780), (1, 5), (10, 7.5), (4, 5)])
def test_c4_with_a_subscriber_refreshes_are_exactly_this_far_apart(
    lifetime: float, apart: float
) -> None:
    @staged(lifetime=lifetime)
    async def scenario(stage: Stage) -> None:
        times = fetch_times(stage)
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        await asyncio.sleep(3 * apart + 0.1)
        # Servers date in whole seconds, which the lifetime does not depend on.
        assert times == [0, apart, 2 * apart, 3 * apart]

    scenario()


@staged(backoff=ALWAYS_LONGEST)
async def test_f4_failures_are_retried_at_doubling_distances_up_to_the_cap(stage: Stage) -> None:
    times = fetch_times(stage)
    for _ in range(9):
        stage.client.then(OSError("down"))
    stage.client.sign_in("A")
    Seen(stage.auth.token)
    await asyncio.sleep(200)
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5]


@pytest.mark.parametrize(("age", "stopped"), [(1, True), (59.9, True), (60, False), (70, False)])
def test_f4_only_tokens_rejected_within_a_minute_count_as_fresh(age: float, stopped: bool) -> None:
    @staged(timeout=1)
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        token = await stage.auth.fetch_access_token()
        for _ in range(2):
            await asyncio.sleep(age)
            caller = stage.call(rejected=token)
            await asyncio.wait([caller])
            refused, failure = token, caller.exception()
            token = None if failure else caller.result()
            assert refused != token
        assert isinstance(failure, AuthUnavailable) == stopped
        assert len(stage.client.fetches) == (2 if stopped else 3)

    scenario()


@staged(timeout=1, backoff=Backoff(cap=20, draw=lambda: 1.0))
async def test_f4_after_a_stop_nobody_asks_until_the_longest_backoff_has_passed(
    stage: Stage,
) -> None:
    times = fetch_times(stage)
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()
    token = await stage.auth.fetch_access_token(rejected=token)
    with pytest.raises(AuthUnavailable, match="fresh tokens are being rejected") as raised:
        await stage.auth.fetch_access_token(rejected=token)
    assert raised.value.retry_after == pytest.approx(20)
    await asyncio.sleep(18.5)
    with pytest.raises(AuthUnavailable) as raised:
        await stage.auth.fetch_access_token()
    assert raised.value.retry_after == pytest.approx(1.5)
    await asyncio.sleep(1)
    assert await stage.auth.fetch_access_token() is not None  # that is within its patience
    assert times == [0, 0, 20]


@pytest.mark.parametrize(("age", "asked"), [(0.9, False), (1.0, True), (1.5, True)])
def test_f4_k2_the_same_string_is_rejected_anew_once_a_second_has_passed(
    age: float, asked: bool
) -> None:
    @staged(timeout=1)
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.client.then("same").then("same")
        assert await stage.auth.fetch_access_token() == "same"
        assert await stage.auth.fetch_access_token(rejected="".join("same")) == "same"
        await asyncio.sleep(age)
        if asked:
            with pytest.raises(AuthUnavailable):  # the second fresh one in a row
                await stage.auth.fetch_access_token(rejected="".join("same"))
        else:
            assert await stage.auth.fetch_access_token(rejected="".join("same")) == "same"

    scenario()


@staged()
async def test_c6_after_suspend_an_expired_token_is_shown_for_five_seconds_at_most(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    assert await stage.auth.fetch_access_token() is not None
    stage.clock.suspend(3600)
    await asyncio.sleep(5.01)
    assert stage.token is None


@staged()
async def test_c6_c12_after_suspend_the_end_of_a_session_is_noticed_in_sixty_seconds(
    stage: Stage,
) -> None:
    stage.client.sign_in("A", expires_at=expiry(stage.clock, 86_400))
    stage.clock.suspend(90_000)
    await asyncio.sleep(60.01)
    assert stage.auth.state.value.status == "expired"


@pytest.mark.parametrize("day", [59.5, 60, 61, 3600])
def test_c12_a_session_ends_at_its_second_and_not_before(day: float) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A", expires_at=expiry(stage.clock, day))
        await asyncio.sleep(day - 0.01)
        assert stage.auth.state.value.status == "signed_in"
        assert stage.client.refetches == 0
        await asyncio.sleep(0.02)
        state = stage.auth.state.value
        assert (state.status, state.user, state.session) == ("expired", None, None)
        assert not state.is_authenticated
        assert not state.is_loading
        assert stage.client.refetches == 1

    scenario()


@staged()
async def test_c12_a_session_prolonged_meanwhile_ends_at_its_new_time(stage: Stage) -> None:
    stage.client.sign_in("A", expires_at=expiry(stage.clock, 100))
    await asyncio.sleep(50)
    stage.client.sign_in("A", expires_at=expiry(stage.clock, 100))
    await asyncio.sleep(99)
    assert stage.auth.state.value.status == "signed_in"
    assert stage.client.refetches == 0
    await asyncio.sleep(1.01)
    assert stage.auth.state.value.status == "expired"


class Settling(FakeAuthClient):
    """A client that has the token follow before its own calls return."""

    settle: Callable[[], Awaitable[None]]

    def on_settle(self, settle: Callable[[], Awaitable[None]]) -> Disposable:
        self.settle = settle
        return Disposable()


@staged()
async def test_settling_fetches_the_token_that_is_missing_and_no_other(stage: Stage) -> None:
    client = Settling(stage.clock)
    async with AuthProvider(client, clock=stage.clock):
        client.sign_in("A")
        await client.settle()
        assert len(client.fetches) == 1
        await client.settle()
        assert len(client.fetches) == 1


@pytest.mark.parametrize("how", ["the fetch fails", "the session is unknown"])
def test_f1_settling_is_held_up_by_no_failure(how: str) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        client = Settling(stage.clock)
        async with AuthProvider(client, clock=stage.clock):
            if how == "the fetch fails":
                client.then(OSError("down"))
                client.sign_in("A")
            else:
                client.show(SessionState.unknown(error=AuthUnavailable("down")))
            await client.settle()
            assert stage.clock.now == 0

    scenario()


@staged(timeout=4)
async def test_f_a_caller_whose_time_is_up_is_told_why(stage: Stage) -> None:
    with pytest.raises(AuthTimeout, match=r"within 4 seconds$"):
        await stage.auth.fetch_access_token()
    stage.client.forget(AuthUnavailable("the server is down"))
    with pytest.raises(AuthUnavailable, match="the server is down"):
        await stage.auth.fetch_access_token()
    assert stage.clock.now == 8


def test_k9_a_loop_that_does_not_answer_is_a_time_out() -> None:
    blocked, free = threading.Event(), threading.Event()
    home = HomeLoop()

    async def stand_still() -> None:
        home.bind()
        blocked.set()
        free.wait(30)

    async def nothing() -> None: ...

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(stand_still()))
        try:
            assert blocked.wait(30)
            with pytest.raises(AuthTimeout):
                asyncio.run(home.run(nothing, 0.01))
        finally:
            free.set()
        running.result(30)


def test_k9_recheck_and_close_may_be_awaited_on_another_loop() -> None:
    class Client(FakeAuthClient):
        async def refetch(self) -> None:
            await asyncio.sleep(0.01)
            await super().refetch()

    async def main() -> None:
        client = Client()
        auth = AuthProvider(client, fetch_timeout=20, timeout=20)
        client.sign_in("A")

        async def elsewhere() -> str:
            state = await auth.recheck()
            await auth.aclose()
            return state.status

        assert await asyncio.to_thread(lambda: asyncio.run(elsewhere())) == "signed_in"
        assert client.refetches == 1
        assert auth.closed

    asyncio.run(main())


def test_k9_on_another_loop_a_time_out_tells_the_same_reason() -> None:
    async def main() -> None:
        async with AuthProvider(FakeAuthClient(), timeout=0.05) as auth:

            def elsewhere() -> None:
                asyncio.run(auth.fetch_access_token())

            with pytest.raises(AuthTimeout, match="no token within"):
                await asyncio.to_thread(elsewhere)

    asyncio.run(main())


@staged(backoff=ALWAYS_LONGEST)
async def test_f7_a_failing_session_stream_is_subscribed_to_at_doubling_distances(
    stage: Stage,
) -> None:
    times: list[float] = []

    class Client(FakeAuthClient):
        failing = True

        @property
        def session(self) -> Any:
            times.append(stage.clock.now)
            return reactivex.throw(OSError("down")) if self.failing else self._session

    client = Client(stage.clock)
    async with AuthProvider(client, clock=stage.clock, backoff=ALWAYS_LONGEST) as auth:
        times.clear()
        await asyncio.sleep(10)
        assert times == [0.5, 1.5, 3.5, 7.5]
        assert isinstance(auth.state.value.error, AuthUnavailable)
        client.failing = False
        client.sign_in("A")
        await asyncio.sleep(10)
        assert times == [0.5, 1.5, 3.5, 7.5, 15.5]
        assert auth.state.value.error is None
        # What is no state is a failure too, and the first one after a success.
        client.show("signed in")  # type: ignore[arg-type]
        await asyncio.sleep(0.49)
        assert len(times) == 5
        client.sign_in("A")
        await asyncio.sleep(0.02)
        assert len(times) == 6


@staged()
async def test_f4_a_rejected_seed_was_not_fetched_fresh(stage: Stage) -> None:
    seed = stage.client.token_for(Session("A", "u1"))
    async with AuthProvider(stage.client, initial_token=seed, clock=stage.clock) as auth:
        stage.client.sign_in("A")
        first = await auth.fetch_access_token(rejected=seed)
        second = await auth.fetch_access_token(rejected=first)
        assert len({seed, first, second}) == 3


@staged()
async def test_c6_what_is_derived_after_suspend_starts_without_the_expired_token(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    stage.clock.suspend(3600)
    derived: list[Any] = []
    stage.auth.token.link(derived.append)
    assert derived[-1] is None


@pytest.mark.parametrize("way", ["close", "sign-out"])
def test_l2_no_timer_is_left(way: str) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A", expires_at=expiry(stage.clock, 86_400))
        Seen(stage.auth.token)
        await stage.auth.fetch_access_token()
        assert timers()
        if way == "close":
            await stage.auth.aclose()
        else:
            stage.client.sign_out()
        await stage.rest()
        assert not timers()

    def timers() -> list[asyncio.TimerHandle]:
        every: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return [timer for timer in every if not timer.cancelled()]

    scenario()


def test_a_value_that_is_not_equal_to_itself_is_told_once() -> None:
    nan = float("nan")
    signal = Signal(0.0, Delivery())
    seen = Seen(signal)
    signal.set(nan)
    signal.set(nan)
    assert len(seen.values) == 2


def test_what_is_optional_is_given_by_name() -> None:
    with pytest.raises(TypeError):
        AuthProvider(FakeAuthClient(), "token")  # type: ignore[misc]
    assert AuthProvider(client=FakeAuthClient()).state.value.status == "unknown"


@staged()
async def test_k2_a_rejected_token_is_known_by_its_value(stage: Stage) -> None:
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()
    assert token is not None
    same = token[:5] + token[5:]
    assert same is not token
    assert await stage.auth.fetch_access_token(rejected=same) != token


def test_k9_a_call_on_another_thread_is_passed_on() -> None:
    # Both ways, since the identifiers of threads are in no order.
    here, there = HomeLoop(), HomeLoop()
    bound, free = threading.Event(), threading.Event()

    async def elsewhere() -> bool:
        there.bind()
        bound.set()
        passed_on = here.passed_on(int)
        await asyncio.to_thread(free.wait, 30)
        return passed_on and not there.passed_on(int)

    async def main() -> None:
        here.bind()
        running = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(elsewhere())))
        await asyncio.to_thread(bound.wait, 30)
        passed_on = there.passed_on(int)
        free.set()
        assert await running
        assert passed_on
        assert not here.passed_on(int)

    asyncio.run(main())


def test_k9_a_session_told_on_another_thread_is_heard_on_the_home_loop_only() -> None:
    heard: list[int] = []

    def identity(session: Session) -> str:
        heard.append(threading.get_ident())
        return session.id

    async def main() -> None:
        client = FakeAuthClient()
        async with AuthProvider(client, identity=identity) as auth:
            signed_in = asyncio.Event()
            auth.state.subscribe(lambda state: signed_in.set() if state.is_authenticated else None)
            await asyncio.to_thread(client.sign_in, "A")
            await asyncio.wait_for(signed_in.wait(), 30)
        assert set(heard) == {threading.get_ident()}

    asyncio.run(main())


def test_unlinking_ends_that_link_alone() -> None:
    signal, first, second = Signal(0, Delivery()), list[int](), list[int]()
    link = signal.link(first.append)
    signal.link(second.append)
    signal.set(1)
    link.dispose()
    signal.set(2)
    assert (first, second) == ([0, 1], [0, 1, 2])


def test_r1_of_queued_values_only_the_current_one_is_delivered_and_once() -> None:
    delivery = Delivery()
    signal = Signal([0], delivery, current_only=True)
    seen = Seen(signal)
    for value in ([1], [2], [1]):
        signal.stage(value)
    delivery.kick()
    assert seen.values == [[0], [1]]


def test_stopping_a_delivery_thread_waits_for_what_is_queued() -> None:
    delivery = ThreadDelivery()
    delivery.start()
    stopping, told = threading.Event(), list[int]()
    delivery.post(lambda: (stopping.wait(30), told.append(threading.get_ident()))[1])
    delivery.kick()
    threading.Timer(0.05, stopping.set).start()
    delivery.stop(30)
    assert told
    assert told[0] != threading.get_ident()
    delivery.post(lambda: told.append(0))
    delivery.kick()  # nothing else can deliver any more
    assert told[1:] == [0]


@staged()
async def test_c1_the_cached_token_is_what_a_call_would_answer_at_once(stage: Stage) -> None:
    cached = stage.auth.cached_access_token
    assert cached() is None
    stage.client.sign_in("A")
    assert cached() is None
    token = await stage.auth.fetch_access_token()
    assert cached() == token
    stage.client.hold()
    assert cached() is None
    stage.client.release()
    assert cached() == token
    stage.clock.suspend(3600)
    assert cached() is None


@pytest.mark.parametrize("clock", ["monotonic", "wall"])
def test_c1_c6_no_expired_token_is_read_before_any_timer_has_run(clock: str) -> None:
    @staged()
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        if clock == "monotonic":  # the loop stood still, and the wall clock was set back
            stage.clock.now += 3600
            stage.clock.skew -= 3600
        else:
            stage.clock.suspend(3600)
        assert stage.auth.cached_access_token() is None
        assert await stage.auth.fetch_access_token() != old
        assert len(stage.client.fetches) == 2

    scenario()


def test_what_is_queued_for_a_closed_loop_is_delivered_where_it_is_posted() -> None:
    delivery, told = LoopDelivery(), list[int]()

    async def main() -> None:
        delivery.bind(asyncio.get_running_loop())

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(main())).result(30)
    delivery.post(lambda: told.append(1))
    delivery.kick()
    assert told == [1]


@staged()
async def test_c2_k2_neither_settling_nor_the_rejection_of_another_token_replaces_a_good_seed(
    stage: Stage,
) -> None:
    client = Settling(stage.clock)
    seed = client.token_for(Session("A", "u1"))
    async with AuthProvider(client, initial_token=seed, clock=stage.clock) as auth:
        client.sign_in("A")
        await client.settle()
        assert await auth.fetch_access_token(rejected="another") == seed
        assert not client.fetches
