"""K: concurrency and coalescing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import AuthClosed, AuthProvider, AuthUnavailable
from reactive_auth.testing import FakeAuthClient

from .support import Seen, Stage, play, staged


@given(plain=st.integers(0, 300), forced=st.integers(0, 300), cached=st.booleans())
def test_k1_k2_k15_any_number_of_callers_share_one_request_and_its_token(
    plain: int, forced: int, cached: bool
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token() if cached else None
        before = len(stage.client.fetches)
        stage.client.then_token(delay=1)
        calls = [stage.call() for _ in range(plain)]
        forcing = [stage.call(force_refresh=True) for _ in range(forced)]
        answers = set(await asyncio.gather(*calls)) if calls else set()
        renewed = set(await asyncio.gather(*forcing)) if forcing else set()
        assert len(stage.client.fetches) - before == int(bool(forced or (plain and not cached)))
        assert None not in answers | renewed
        assert len(renewed) == int(bool(forced))
        assert old not in renewed
        assert len(answers) == int(bool(plain))

    play(scenario)


@staged()
async def test_k2_rejected_joins_a_refresh_and_a_token_replaced_since_is_no_reason_for_one(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    old = await stage.auth.fetch_access_token()
    stage.client.then_token(delay=1)
    renewed = set(await asyncio.gather(*(stage.call(rejected=old) for _ in range(100))))
    assert len(stage.client.fetches) == 2
    assert len(renewed) == 1
    assert renewed == {await stage.auth.fetch_access_token(rejected=old)}
    assert await stage.auth.fetch_access_token(rejected="unheard of") in renewed
    assert len(stage.client.fetches) == 2


@staged()
async def test_r8_k2_rejections_answered_with_the_same_string_make_one_refresh_and_no_stop(
    stage: Stage,
) -> None:
    session = stage.client.sign_in("A")
    old = stage.client.token_for(session, n=0)
    for _ in range(3):
        stage.client.then(old)
    assert await stage.auth.fetch_access_token() == old
    for _ in range(20):  # one after the other: each had its 401 before the first was renewed
        assert await stage.auth.fetch_access_token(rejected=old) == old
    assert len(stage.client.fetches) == 2
    await asyncio.sleep(61)  # refused later, it is another matter
    assert await stage.auth.fetch_access_token(rejected=old) == old
    assert len(stage.client.fetches) == 3


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_f4_the_next_token_is_not_taken_for_the_one_refused_before(first: int, second: int) -> None:
    @staged(timeout=1)
    async def scenario(stage: Stage) -> None:
        session = stage.client.sign_in("A")
        old, new = (stage.client.token_for(session, n=n) for n in (first, second))
        stage.client.then(old)
        stage.client.then(new)
        assert await stage.auth.fetch_access_token() == old
        assert await stage.auth.fetch_access_token(rejected=old) == new
        with pytest.raises(AuthUnavailable):
            await stage.auth.fetch_access_token(rejected=new)

    scenario()


@staged(manual=True)
async def test_k3_a_completion_clears_only_its_own_slot(stage: Stage) -> None:
    first = stage.client.sign_in("A")
    Seen(stage.auth.token)
    await stage.rest()
    stage.client.fetches[0].resolve(stage.client.token_for(first))
    stage.client.sign_out()
    stage.client.sign_in("A")
    await stage.rest()
    caller = stage.call()
    await stage.rest()
    assert len(stage.client.fetches) == 2
    stage.client.fetches[1].resolve(stage.client.token_for(first, n="new"))
    assert await caller == stage.client.token_for(first, n="new")


@staged(manual=True)
async def test_k4_a_cached_read_does_not_wait_for_a_refresh_under_way(stage: Stage) -> None:
    session = stage.client.sign_in("A")
    caller = stage.call()
    await stage.rest()
    stage.client.fetches[0].resolve(stage.client.token_for(session))
    old = await caller
    refresh = stage.call(force_refresh=True)
    await stage.rest()
    reading = stage.auth.fetch_access_token()
    with pytest.raises(StopIteration) as done:
        reading.send(None)  # done without a single suspension
    assert done.value.value == old
    refresh.cancel()


CALLS = ["get", "force", "sign_out", "sign_in", "subscribe", "dispose", "close", "hold", "raise"]


@given(
    calls=st.lists(st.sampled_from(CALLS), min_size=1, max_size=6),
    stream=st.sampled_from(["session", "token", "state"]),
)
def test_k6_l6_from_inside_any_observer_everything_completes_and_all_see_one_order(
    calls: list[str], stream: str
) -> None:
    async def scenario(stage: Stage) -> None:
        signal = getattr(stage.auth, stream)
        todo = list(calls)
        tasks: list[asyncio.Future[object]] = []

        def react(_: object) -> None:
            if not todo:
                return
            name = todo.pop(0)
            if name in ("get", "force"):
                tasks.append(stage.call(force_refresh=name == "force"))
            elif name == "sign_out":
                stage.client.sign_out()
            elif name == "sign_in":
                stage.client.sign_in("B")
            elif name == "hold":
                stage.client.hold()
                stage.client.release()
            elif name == "subscribe":
                Seen(signal)
            elif name == "dispose":
                before.subscription.dispose()
            elif name == "close":
                tasks.append(asyncio.ensure_future(stage.auth.aclose()))
            else:
                raise LookupError("from an observer")

        before, _, after = Seen(signal), Seen(signal, react), Seen(signal)
        stage.client.sign_in("A")
        await stage.rest()
        stage.client.sign_in("C")
        await asyncio.sleep(1)
        for task in tasks:
            try:
                async with asyncio.timeout(60):
                    await task
            except AuthClosed:
                assert "close" in calls
        assert after.values[-1] == signal.value
        if "dispose" not in calls and stream != "token":
            assert before.values[-len(after.values) :] == after.values
        for left, right in zip(after.values, after.values[1:], strict=False):
            assert left != right

    play(scenario)


@given(waiters=st.integers(1, 30), cancelled=st.sets(st.integers(0, 29)))
def test_k10_cancelling_some_waiters_leaves_the_others_served(
    waiters: int, cancelled: set[int]
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.client.then_token(delay=1)
        calls = [stage.call() for _ in range(waiters)]
        await stage.rest()
        for index in cancelled:
            if index < waiters:
                calls[index].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for index, answer in enumerate(answers):
            assert isinstance(answer, str) != (index in cancelled)
        await asyncio.sleep(2)
        assert len(stage.client.fetches) == 1
        assert stage.token is not None

    play(scenario)


@staged(manual=True)
async def test_k17_a_cancelled_fetch_never_goes_on(stage: Stage) -> None:
    stage.client.sign_in("A")
    went_on = 0

    async def stubborn(_: object) -> str:
        nonlocal went_on
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
        went_on += 1
        return "token"

    stage.client.fetch_token = stubborn  # type: ignore[method-assign]
    Seen(stage.auth.token)
    await stage.rest()
    stage.client.sign_out()
    await asyncio.sleep(20)
    assert not went_on


def test_k9_used_from_its_loop_another_loop_and_threads_it_still_makes_one_request() -> None:
    async def main() -> None:
        client = FakeAuthClient()
        async with AuthProvider(client) as auth:
            client.sign_in("A")
            client.then_token(delay=0.05)

            def elsewhere() -> str | None:
                return asyncio.run(auth.fetch_access_token())

            with ThreadPoolExecutor(8) as pool:
                loop = asyncio.get_running_loop()
                calls = [loop.run_in_executor(pool, elsewhere) for _ in range(8)]
                answers = await asyncio.gather(auth.fetch_access_token(), *calls)
            assert len(set(answers)) == 1
            assert len(client.fetches) == 1
        with ThreadPoolExecutor(1) as pool, pytest.raises(AuthClosed):
            await loop.run_in_executor(pool, elsewhere)

    asyncio.run(main())


def test_k9_after_its_loop_has_ended_a_call_is_a_clear_error() -> None:
    async def make() -> AuthProvider[FakeAuthClient]:
        return AuthProvider(FakeAuthClient())

    auth = asyncio.run(make())
    with pytest.raises(AuthClosed):
        asyncio.run(auth.fetch_access_token())
    asyncio.run(auth.aclose())


def test_r10_a_delivery_held_up_on_one_thread_is_overtaken_by_none_on_another() -> None:
    async def main() -> None:
        client = FakeAuthClient()
        entered, go_on = threading.Event(), threading.Event()
        seen: list[str] = []
        threads: set[int] = set()

        def slow(state: object) -> None:
            session = auth.session.value.session if state is None else getattr(state, "session")  # noqa: B009
            threads.add(threading.get_ident())
            seen.append(session.id if session else "-")
            if seen[-1] == "A":
                entered.set()
                go_on.wait(5)

        async with AuthProvider(client) as auth:
            auth.session.subscribe(slow)
            rotating = threading.Thread(
                target=lambda: (
                    entered.wait(5),
                    auth.session.subscribe(lambda _: None).dispose(),
                    go_on.set(),
                )
            )
            rotating.start()
            client.sign_in("A")
            client.sign_in("B")
            await asyncio.to_thread(rotating.join)
            assert seen == ["-", "A", "B"]
            assert threads == {threading.get_ident()}

    asyncio.run(main())


def test_k13_subscribing_and_disposing_on_many_threads_tears_no_state() -> None:
    async def main() -> None:
        client = FakeAuthClient()
        async with AuthProvider(client) as auth:

            def churn() -> None:
                for _ in range(200):
                    values: list[object] = []
                    auth.state.subscribe(values.append).dispose()
                    state = auth.state.value
                    assert state.has_token is False or state.is_authenticated

            with ThreadPoolExecutor(8) as pool:
                loop = asyncio.get_running_loop()
                calls = [loop.run_in_executor(pool, churn) for _ in range(8)]
                for n in range(50):
                    client.sign_in(str(n))
                    await auth.fetch_access_token()
                await asyncio.gather(*calls)
            await asyncio.sleep(0)
            assert not auth.state.observed
            assert not auth.token.observed

    asyncio.run(main())


@staged()
async def test_r11_a_timed_refresh_and_one_after_a_rejection_are_one_and_all_are_resumed(
    stage: Stage,
) -> None:
    Seen(stage.auth.token)
    stage.client.sign_in("A")
    old = await stage.auth.fetch_access_token()
    await asyncio.sleep(779.9)
    stage.client.then_token(delay=1)
    refused = [stage.call(rejected=old) for _ in range(3)]
    await asyncio.sleep(0.5)  # the time to refresh ahead of expiry has come and gone meanwhile
    forced = [stage.call(force_refresh=True) for _ in range(3)]
    answers = set(await asyncio.gather(*refused, *forced))
    assert len(answers) == 1
    assert old not in answers
    assert len(stage.client.fetches) == 2


AUDITED = """
import asyncio, sys, threading
from reactive_auth import connect
from reactive_auth.embedded import EmbeddedServer

BLOCKING = {"open", "time.sleep", "socket.getaddrinfo", "subprocess.Popen", "os.system"}
home, seen = None, []

def hook(event, arguments):
    if event in BLOCKING and threading.get_ident() == home:
        seen.append((event, arguments[:1]))

sys.addaudithook(hook)

async def everything(url, email):
    async with connect(url) as auth:
        auth.token.subscribe(lambda token: None)
        await auth.client.sign_up_email(email=email, password="correct-horse", name="A")
        await auth.client.change_password(current_password="correct-horse",
            new_password="battery-staple", revoke_other_sessions=True)
        await auth.fetch_access_token(force_refresh=True)
        await auth.client.sign_out()

async def main(url):
    global home
    await everything(url, "a@example.com")  # modules that are imported lazily are imported here
    home = threading.get_ident()
    await everything(url, "b@example.com")

server = EmbeddedServer()
with server.serve() as url:
    asyncio.run(main(url))
server.close()
assert not seen, seen
"""


def test_k14_the_loops_thread_makes_no_blocking_call() -> None:
    run = subprocess.run(
        [sys.executable, "-c", AUDITED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_rotation_wakes_nobody_only_to_wait_for_its_fetch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    look = AuthProvider._look

    def counted(auth: AuthProvider[FakeAuthClient], floor: int, deadline: float) -> object:
        nonlocal looks
        looks += 1
        return look(auth, floor, deadline)

    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("0")
        calls = [stage.call() for _ in range(50)]
        await stage.rest()
        assert looks == 50
        for number in range(1, 20):
            stage.client.sign_in(str(number))
            await stage.rest()
        assert looks == 50
        fetch = stage.client.open_fetches[-1]
        fetch.resolve(stage.client.token_for(fetch.session))
        assert set(await asyncio.gather(*calls)) == {stage.token}

    monkeypatch.setattr(AuthProvider, "_look", counted)
    play(scenario, manual=True)
