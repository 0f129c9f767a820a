"""L: lifecycle, leaks, threads."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest

from reactive_auth import AuthClosed, AuthProvider
from reactive_auth.delivery import Delivery
from reactive_auth.signal import Signal
from reactive_auth.testing import FakeAuthClient

from .support import Seen, Stage, play, staged

FORGETFUL = """
import asyncio, logging
logging.getLogger("asyncio").setLevel(logging.ERROR)  # not how slow this machine is
from reactive_auth import AuthProvider
from reactive_auth.testing import FakeAuthClient
async def main():
    auth = AuthProvider(FakeAuthClient())
    auth.client.sign_in("A")
    auth.token.subscribe(lambda token: None)
    await auth.fetch_access_token()
    auth.client.then_hang()
    asyncio.ensure_future(auth.fetch_access_token(force_refresh=True))
    await asyncio.sleep(0.01)
    print("end", flush=True)
asyncio.run(main())
"""


def test_l1_a_script_that_never_closes_exits_at_once_and_says_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", FORGETFUL],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "end", "")


@pytest.mark.parametrize("way", ["close", "sign-out"])
def test_l2_l13_after_the_end_no_request_is_sent_however_far_time_goes(way: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        Seen(stage.auth.token)
        await asyncio.sleep(2000)
        stage.client.then_hang()
        late = stage.call(force_refresh=True)
        await stage.rest()
        made = len(stage.client.fetches)
        if way == "close":
            await stage.auth.aclose()
            with pytest.raises(AuthClosed):
                await late
            with pytest.raises(AuthClosed):
                await stage.auth.fetch_access_token()
        else:
            stage.client.sign_out()
            assert await late is None
            assert await stage.auth.fetch_access_token() is None
        await asyncio.sleep(1e6)
        assert len(stage.client.fetches) == made
        assert not stage.client.open_fetches
        assert stage.token is None

    play(scenario)


@staged()
async def test_l3_ten_thousand_subscriptions_leave_nothing_behind(stage: Stage) -> None:
    stage.client.sign_in("A")
    streams = (stage.auth.session, stage.auth.token, stage.auth.state)

    def churn(times: int) -> None:
        for _ in range(times):
            for stream in streams:
                stream.subscribe(lambda _: None).dispose()

    churn(100)
    await stage.rest()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        churn(10_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
    assert not any(stream.observed for stream in streams)


@staged()
async def test_l4_an_observer_that_raises_is_reported_and_the_others_get_every_value(
    stage: Stage,
) -> None:
    def bad(_: object) -> None:
        raise LookupError("a view's bug")

    before = Seen(stage.auth.token)
    stage.auth.token.subscribe(bad)
    stage.auth.token.subscribe(lambda value: bad(value) if value else None)
    after = Seen(stage.auth.token)
    stage.client.sign_in("A")
    await asyncio.sleep(3000)
    assert before.values == after.values
    assert len(after.values) >= 4
    assert [type(error) for error in stage.reported] == [LookupError, LookupError]


def test_l4_a_hook_that_raises_harms_nobody_either(caplog: pytest.LogCaptureFixture) -> None:
    def hook(_: Exception) -> None:
        raise OSError("hook")

    signal = Signal(0, Delivery(hook))
    signal.subscribe(lambda value: 1 // value)
    seen = Seen(signal)
    signal.set(1)
    assert seen.values == [0, 1]
    assert "hook raised" in caplog.text


@staged()
async def test_l5_subscribing_with_on_next_alone_never_crashes_the_library(stage: Stage) -> None:
    values: list[object] = []
    stage.auth.state.subscribe(values.append)
    stage.client.sign_in("A")
    stage.client.then(OSError())
    await stage.auth.fetch_access_token()
    await stage.auth.aclose()
    assert len(values) >= 3


@staged(manual=True)
async def test_l7_cancelling_the_fetch_from_outside_leaves_the_pipeline_alive(
    stage: Stage,
) -> None:
    session = stage.client.sign_in("A")
    caller = stage.call()
    await stage.rest()
    for task in asyncio.all_tasks():
        if task.get_name() == "reactive_auth token fetch":
            task.cancel()
    await asyncio.sleep(5)
    stage.client.open_fetches[0].resolve(stage.client.token_for(session))
    assert await caller is not None
    assert stage.auth.state.value.error is None


def test_l8_dispose_on_another_thread_returns_though_the_loop_stands_still() -> None:
    loop = asyncio.new_event_loop()

    async def make() -> AuthProvider[FakeAuthClient]:
        return AuthProvider(FakeAuthClient())

    auth = loop.run_until_complete(make())
    subscription = auth.state.subscribe(lambda _: None)
    disposing = threading.Thread(target=subscription.dispose)
    began = time.monotonic()
    disposing.start()
    disposing.join(5)
    assert time.monotonic() - began < 1
    loop.run_until_complete(asyncio.sleep(0))
    assert not auth.state.observed
    loop.run_until_complete(auth.aclose())
    loop.close()


@staged()
async def test_l9_only_an_owned_client_is_closed(stage: Stage) -> None:
    closed: list[str] = []

    class Client(FakeAuthClient):
        async def aclose(self) -> None:
            closed.append("closed")

    async with AuthProvider(Client(stage.clock), clock=stage.clock):
        pass
    assert not closed
    async with AuthProvider(Client(stage.clock), owns_client=True, clock=stage.clock) as auth:
        pass
    await auth.aclose()
    assert closed == ["closed"]


@staged()
async def test_l10_pickling_and_copying_what_is_live_or_secret_is_refused(stage: Stage) -> None:
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    for thing in (stage.auth, stage.auth.token, stage.auth.token.value):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                attempt(thing)
    for value in (stage.auth.state.value, stage.auth.session.value):
        assert pickle.loads(pickle.dumps(value)) == value


@staged()
async def test_l11_nothing_is_delivered_after_dispose_has_returned(stage: Stage) -> None:
    seen: Seen[object] = Seen(stage.auth.state)
    disposed: list[int] = []

    def dispose(_: object) -> None:
        seen.subscription.dispose()
        disposed.append(len(seen.values))

    late = Seen(stage.auth.state)
    Seen(stage.auth.session, lambda state: dispose(state) if state.session else None)
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    assert len(seen.values) == disposed[0]
    assert len(late.values) > len(seen.values)


@staged()
async def test_l12_two_providers_never_affect_each_other(stage: Stage) -> None:
    other = FakeAuthClient(stage.clock)
    async with AuthProvider(other, clock=stage.clock) as auth:
        stage.client.sign_in("A", "u1")
        other.sign_in("B", "u2")
        first, second = await asyncio.gather(
            stage.auth.fetch_access_token(), auth.fetch_access_token()
        )
        assert first != second
        stage.client.sign_out()
        assert auth.state.value.has_token
        assert await auth.fetch_access_token() == second


@staged()
async def test_closing_completes_the_streams_once_and_may_be_repeated(stage: Stage) -> None:
    stage.client.sign_in("A")
    seen = [Seen(s) for s in (stage.auth.session, stage.auth.token, stage.auth.state)]
    await stage.auth.fetch_access_token()
    await asyncio.gather(stage.auth.aclose(), stage.auth.aclose())
    await stage.auth.aclose()
    assert [one.completed for one in seen] == [1, 1, 1]
    assert seen[1].values[-1] is None
    late = Seen(stage.auth.token)
    assert (late.values, late.completed) == ([None], 1)
    with pytest.raises(AuthClosed):
        await stage.auth.__aenter__()


@staged()
async def test_close_from_an_observer_in_the_middle_of_a_delivery(stage: Stage) -> None:
    tasks: list[asyncio.Future[None]] = []
    Seen(
        stage.auth.state,
        lambda state: (
            tasks.append(asyncio.ensure_future(stage.auth.aclose())) if state.has_token else None
        ),
    )
    stage.client.sign_in("A")
    with pytest.raises(AuthClosed):  # closed before its answer was there to take
        await stage.auth.fetch_access_token()
    await tasks[0]
    with pytest.raises(AuthClosed):
        await stage.auth.fetch_access_token(force_refresh=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_l10_a_forked_child_neither_hangs_nor_talks() -> None:
    script = (
        "import asyncio, os, sys\n"
        "from reactive_auth import AuthProvider\n"
        "from reactive_auth.testing import FakeAuthClient\n"
        "async def main():\n"
        "    auth = AuthProvider(FakeAuthClient())\n"
        "    auth.client.sign_in('A')\n"
        "    await auth.fetch_access_token()\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os._exit(0 if auth.state.value.has_token else 3)\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "asyncio.run(main())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
