"""A stream that needs a user: nobody is sent to a login page but on the server's own word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.disposable import Disposable

from reactive_auth import (
    ConfigurationError,
    NotAuthenticated,
    auth_boundary,
    connect_blocking,
    is_auth_error,
)
from reactive_auth.embedded import EmbeddedServer
from tests.core.support import Seen, Stage, play, staged

ANSWER_401 = httpx.HTTPStatusError(
    "401", request=httpx.Request("GET", "https://a"), response=httpx.Response(401)
)


class Source:
    """A cold stream whose open subscription the test drives."""

    def __init__(self, on_subscribe: Callable[[Any], object] = lambda observer: None) -> None:
        self.subscribed = 0
        self.live = 0
        self.observer: Any = None
        self._on_subscribe = on_subscribe

    def stream(self) -> Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            self.subscribed += 1
            self.live += 1
            self.observer = observer
            self._on_subscribe(observer)

            def dispose() -> None:
                self.live -= 1

            return Disposable(dispose)

        return Observable(subscribe)


class Bounded:
    """A source behind a boundary, and what came of it."""

    def __init__(self, stage: Stage, source: Source, **options: Any) -> None:
        self.unauths: list[float] = []
        options.setdefault("fallback", "login")
        options.setdefault("on_unauth", lambda: self.unauths.append(stage.clock.monotonic()))
        self.seen = Seen(source.stream().pipe(auth_boundary(stage.auth, **options)))


@staged()
async def test_u1_while_the_session_is_unknown_nothing_happens(stage: Stage) -> None:
    source = Source()
    bounded = Bounded(stage, source)
    await stage.rest()
    assert (source.subscribed, bounded.seen.values, bounded.unauths) == (0, [], [])


@staged()
async def test_u5_each_sign_out_is_one_call_and_each_sign_in_the_source_again(
    stage: Stage,
) -> None:
    source = Source()
    bounded = Bounded(stage, source)
    for number in range(3):
        stage.client.sign_in(f"S{number}")
        source.observer.on_next(number)
        late = source.observer
        stage.client.sign_out()
        stage.client.show(stage.client.session.value)
        late.on_next("late")
    assert bounded.seen.values == [0, "login", 1, "login", 2, "login"]
    assert len(bounded.unauths) == 3
    assert (source.subscribed, source.live) == (3, 0)


@staged()
async def test_r6_a_rotation_leaves_the_source_alone(stage: Stage) -> None:
    source = Source()
    bounded = Bounded(stage, source)
    stage.client.sign_in("A")
    stage.client.hold()
    stage.client.sign_in("B")
    source.observer.on_next(1)
    assert (source.subscribed, source.live, bounded.seen.values) == (1, 1, [1])


@pytest.mark.parametrize("error", [NotAuthenticated("401"), ANSWER_401], ids=["ours", "httpx's"])
def test_an_auth_error_replaces_the_token_and_is_not_seen_while_the_session_stands(
    error: Exception,
) -> None:
    async def scenario(stage: Stage) -> None:
        source = Source()
        bounded = Bounded(stage, source)
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        source.observer.on_next("before")
        source.observer.on_error(error)
        await stage.rest()
        assert stage.client.refetches == 1
        assert stage.token not in (None, old)
        assert (source.subscribed, source.live) == (2, 1)
        source.observer.on_next("after")
        assert bounded.seen.values == ["before", "after"]
        assert bounded.unauths == []

    play(scenario)


@staged()
async def test_an_auth_error_of_a_session_that_is_gone_sends_to_the_login_page_once(
    stage: Stage,
) -> None:
    source = Source()
    bounded = Bounded(stage, source)
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    stage.client.then(None)  # the token route says so, authoritatively
    source.observer.on_error(NotAuthenticated("401"))
    await stage.rest()
    assert bounded.seen.values == ["login"]
    assert len(bounded.unauths) == 1
    assert (source.subscribed, source.live) == (1, 0)


@staged()
async def test_f4_a_source_that_fails_for_ever_is_tried_a_few_times_with_backoff(
    stage: Stage,
) -> None:
    source = Source(lambda observer: observer.on_error(NotAuthenticated("never")))
    bounded = Bounded(stage, source)
    stage.client.sign_in("A")
    await asyncio.sleep(600)
    assert [str(error) for error in bounded.seen.errors] == ["never"]
    assert bounded.seen.values == []
    assert bounded.unauths == []
    assert 2 <= source.subscribed <= 6
    assert len(stage.client.fetches) <= 6
    assert not stage.auth.state.observed


@staged()
async def test_f1_f2_without_a_server_it_goes_on_trying_and_recovers_by_itself(
    stage: Stage,
) -> None:
    broken = True

    def answer(observer: Any) -> None:
        if broken:
            observer.on_error(NotAuthenticated("401"))
        else:
            observer.on_next("data")

    source = Source(answer)
    bounded = Bounded(stage, source)
    for _ in range(1000):
        stage.client.then(OSError("down"))
    stage.client.sign_in("A")
    await asyncio.sleep(900)
    assert (bounded.seen.errors, bounded.unauths, bounded.seen.values) == ([], [], [])
    assert source.subscribed < 200
    broken = False
    await asyncio.sleep(200)
    assert bounded.seen.values == ["data"]


@given(steps=st.lists(st.sampled_from(["in", "out", "unknown", "emit", "auth-error"]), max_size=20))
def test_on_unauth_is_called_only_and_once_for_each_time_that_the_user_is_signed_out(
    steps: list[str],
) -> None:
    async def scenario(stage: Stage) -> None:
        source = Source()
        bounded = Bounded(stage, source)
        outs, was = 0, "unknown"
        for number, step in enumerate(steps):
            if step == "in":
                stage.client.sign_in(f"S{number}")
            elif step == "out":
                stage.client.sign_out()
            elif step == "unknown":
                stage.client.forget()
            elif source.live and step == "emit":
                source.observer.on_next(number)
            elif source.live:
                source.observer.on_next("a value between two errors")
                source.observer.on_error(NotAuthenticated("401"))
            await stage.rest()
            status = stage.auth.state.value.status
            outs += status == "signed_out" != was
            was = status
            assert len(bounded.unauths) == outs
            assert source.live == (status == "signed_in" and source.live)
            await asyncio.sleep(60)
            if status == "signed_in" and not stage.auth.state.value.is_refreshing:
                assert source.live == 1
        assert not bounded.seen.errors

    play(scenario)


@staged()
async def test_any_other_error_and_the_end_of_the_source_are_passed_on(stage: Stage) -> None:
    failing, ending = Source(), Source()
    first, second = Bounded(stage, failing), Bounded(stage, ending)
    stage.client.sign_in("A")
    failing.observer.on_error(OSError("disk"))
    ending.observer.on_completed()
    assert [str(error) for error in first.seen.errors] == ["disk"]
    assert second.seen.completed == 1
    assert stage.client.refetches == 0
    assert not stage.auth.state.observed


@staged()
async def test_l4_an_on_unauth_that_raises_is_reported_and_harms_nobody(stage: Stage) -> None:
    def fail() -> None:
        raise RuntimeError("no such page")

    async def fail_later() -> None:
        await asyncio.sleep(1)
        raise RuntimeError("no such page either")

    bounded = [Bounded(stage, Source(), on_unauth=how) for how in (fail, fail_later)]
    stage.client.sign_in("A")
    stage.client.sign_out()
    await asyncio.sleep(2)
    assert [str(e) for e in stage.reported] == ["no such page", "no such page either"]
    stage.client.sign_in("B")
    assert [b.seen.errors for b in bounded] == [[], []]
    assert stage.auth.state.observed


@staged()
async def test_l4_an_observer_that_raises_is_reported_and_stops_nobody_else(stage: Stage) -> None:
    def fail(value: object) -> None:
        raise ValueError("an observer's own mistake")

    source, other = Source(), Source()
    boundary = auth_boundary(stage.auth, on_unauth=lambda: None)
    source.stream().pipe(boundary).subscribe(fail)
    fine = Bounded(stage, other)
    stage.client.sign_in("A")
    source.observer.on_next(1)
    other.observer.on_next(1)
    assert [str(error) for error in stage.reported] == ["an observer's own mistake"]
    assert (source.live, fine.seen.values) == (0, [1])


@staged()
async def test_f11_disposed_or_closed_while_it_looks_nothing_more_happens(stage: Stage) -> None:
    source, other = Source(), Source()
    disposed, closed = Bounded(stage, source), Bounded(stage, other)
    stage.client.sign_in("A")
    stage.client.then_hang()
    source.observer.on_error(NotAuthenticated("401"))
    other.observer.on_error(NotAuthenticated("401"))
    await stage.rest()
    disposed.seen.subscription.dispose()
    await stage.auth.aclose()
    await stage.rest()
    assert (source.subscribed, other.subscribed) == (1, 1)
    assert (disposed.seen.completed, closed.seen.completed) == (0, 1)
    assert disposed.unauths == closed.unauths == []


def test_over_a_blocking_provider_observers_have_their_own_thread_and_may_block() -> None:
    server = EmbeddedServer()
    with server.serve() as url, connect_blocking(url) as auth:
        auth.client.sign_up_email(email="b@example.com", password="correct horse", name="B")
        attempts: list[str | None] = []

        def read(_: Any, __: Any = None) -> Observable[str]:
            attempts.append(auth.fetch_access_token())  # blocks: it must not be the loop's thread
            if len(attempts) == 1:
                return reactivex.throw(NotAuthenticated("401"))
            return reactivex.concat(reactivex.just("data"), reactivex.never())

        results: list[object] = []
        out = asyncio.Event()
        boundary = auth_boundary(auth, on_unauth=out.set, fallback="login")
        stream = reactivex.defer(read).pipe(boundary)
        subscription = stream.subscribe(results.append)
        future = auth.recheck.future()
        future.result(10)
        auth.fetch_access_token(force_refresh=True)
        _until(lambda: results == ["data"])
        auth.client.sign_out()
        _until(lambda: results == ["data", "login"] and out.is_set())
        subscription.dispose()
    server.close()


def _until(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  # another thread's doing
                await asyncio.sleep(0.005)

    asyncio.run(poll())


@staged()
async def test_what_can_never_work_is_refused_at_the_call(stage: Stage) -> None:
    bad: list[Any] = [
        lambda: auth_boundary(stage.auth, on_unauth="login"),  # type: ignore[arg-type]
        lambda: auth_boundary(stage.client, on_unauth=print),  # type: ignore[arg-type]
        lambda: auth_boundary(stage.auth, on_unauth=print, is_auth_error=401),  # type: ignore
    ]
    for call in bad:
        with pytest.raises(ConfigurationError):
            call()
    assert not is_auth_error(OSError("disk"))
