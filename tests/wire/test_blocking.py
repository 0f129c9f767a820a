"""connect_blocking: the same streams for programs without a loop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from reactive_auth import (
    AuthClosed,
    AuthRejected,
    BlockingAuth,
    ConfigurationError,
    WrongThread,
    connect_blocking,
)
from reactive_auth.embedded import EmbeddedServer

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.close()


@pytest.fixture
def auth(server: EmbeddedServer) -> Iterator[BlockingAuth]:
    with connect_blocking(server.url, transport=server.transport) as auth:
        yield auth


def sign_up(auth: BlockingAuth, name: str) -> None:
    auth.client.sign_up_email(email=f"{name}@example.com", password=PASSWORD, name=name)


def test_u11_calls_block_until_session_and_token_are_there(auth: BlockingAuth) -> None:
    sign_up(auth, "blocking-1")
    assert auth.state.value.has_token
    first = auth.token.value
    auth.client.change_password(
        current_password=PASSWORD, new_password=PASSWORD + "2", revoke_other_sessions=True
    )
    token = auth.token.value
    assert token is not None
    assert first is not None
    assert token.session_id != first.session_id
    assert auth.fetch_access_token() == token.value
    auth.client.sign_out()
    assert auth.fetch_access_token() is None


def test_every_call_has_a_twin_that_returns_a_future(auth: BlockingAuth) -> None:
    future = auth.client.sign_up_email.future(
        email="twin@example.com", password=PASSWORD, name="twin"
    )
    assert isinstance(future, Future)
    assert future.result(10) is not None
    assert auth.fetch_access_token.future().result(10) == auth.fetch_access_token()
    refused = auth.client.sign_in_email.future(email="twin@example.com", password="nonsense")
    assert isinstance(refused.exception(10), AuthRejected)
    names = [name for name in vars(auth.client) if not name.startswith("_")]
    assert len(names) >= 15
    assert all(callable(getattr(auth.client, name).future) for name in names)


def test_k13_thirty_two_threads_make_one_request(
    auth: BlockingAuth, server: EmbeddedServer
) -> None:
    sign_up(auth, "threads")
    before = server.count("/convex/token")
    server.faults.delay("/convex/token", 0.3, times=1)
    with ThreadPoolExecutor(32) as pool:
        ready = threading.Barrier(32)

        def call(_: int) -> str | None:
            ready.wait(10)
            return auth.fetch_access_token(force_refresh=True)

        answers = set(pool.map(call, range(32)))
    assert len(answers) == 1
    assert server.count("/convex/token") - before == 1


def test_k6_from_inside_an_observer_every_blocking_call_completes(auth: BlockingAuth) -> None:
    results: list[Any] = []
    finished = threading.Event()

    def react(state: Any) -> None:
        if state.has_token and not results:
            results.append(auth.fetch_access_token())
            results.append(auth.fetch_access_token(force_refresh=True))
            results.append(auth.state.subscribe(lambda _: None))
            auth.client.sign_out()
            results.append(auth.state.value.status)
            auth.close()
            finished.set()

    auth.state.subscribe(react)
    sign_up(auth, "observer")
    assert finished.wait(10)
    assert results[0] is not None
    assert results[1] is not None
    assert results[3] == "signed_out"


def test_observers_are_called_in_order_on_one_private_thread(auth: BlockingAuth) -> None:
    seen: list[tuple[str, str]] = []
    done = threading.Event()

    def see(state: Any) -> None:
        seen.append((threading.current_thread().name, state.status))
        if state.has_token:
            done.set()

    auth.state.subscribe(see)
    sign_up(auth, "order")
    assert done.wait(10)
    assert {name for name, _ in seen} == {"reactive_auth-delivery"}
    statuses = [status for _, status in seen]
    order = ["unknown", "signed_out", "signed_in"]
    assert statuses == sorted(statuses, key=order.index)


def test_a_slow_observer_does_not_stop_the_loop(auth: BlockingAuth) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        entered.set()
        go_on.wait(10)

    auth.state.subscribe(slow)
    assert entered.wait(10)
    sign_up(auth, "slow")
    assert auth.fetch_access_token(force_refresh=True) is not None
    go_on.set()


def test_a_blocking_call_on_the_loops_own_thread_is_an_error_and_no_deadlock(
    auth: BlockingAuth,
) -> None:
    caught: Future[BaseException] = Future()

    def on_wire(_: object) -> None:
        if not caught.done():
            try:
                auth.fetch_access_token()
            except WrongThread as error:
                caught.set_result(error)

    auth.client.wire.subscribe(on_wire)
    auth.client.refetch()
    assert ".future" in str(caught.result(10))


def test_l1_closing_leaves_no_thread_and_later_calls_are_clear_errors(
    server: EmbeddedServer,
) -> None:
    before = set(threading.enumerate())
    auth = connect_blocking(server.url, transport=server.transport)
    completed = threading.Event()
    auth.state.subscribe(lambda _: None, on_completed=completed.set)
    sign_up(auth, "closing")
    auth.close()
    auth.close()
    assert completed.wait(10)
    assert set(threading.enumerate()) <= before
    for call in (auth.fetch_access_token, auth.client.refetch, auth.client.sign_out):
        with pytest.raises(AuthClosed):
            call()
        with pytest.raises(AuthClosed):
            call.future()
    values: list[object] = []
    auth.token.subscribe(values.append)
    assert values == [None]


def test_closing_during_a_call_ends_it_with_a_clear_error(server: EmbeddedServer) -> None:
    auth = connect_blocking(server.url, transport=server.transport)
    sign_up(auth, "during")
    server.faults.hang("/convex/token", times=1)
    waiting = auth.fetch_access_token.future(force_refresh=True)
    auth.close()
    assert isinstance(waiting.exception(10), AuthClosed)


def test_a_bad_argument_fails_at_the_call_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    for url, options in (
        ("ftp://x", {}),
        ("http://app.example.com", {}),
        ("https://app.example.com", {"margin": -1}),
        ("https://app.example.com", {"margn": 1}),
    ):
        with pytest.raises(ConfigurationError):
            connect_blocking(url, **options)  # type: ignore[arg-type]
    assert set(threading.enumerate()) <= before


FORGETFUL = """
import sys, time
from reactive_auth import connect_blocking
from reactive_auth.embedded import EmbeddedServer
server = EmbeddedServer()
auth = connect_blocking(server.url, transport=server.transport)
auth.token.subscribe(lambda token: None)
auth.client.sign_up_email(email="x@example.com", password="correct-horse", name="X")
server.faults.hang("/convex/token")
auth.fetch_access_token.future(force_refresh=True)
print(time.time(), flush=True)
"""


def test_l1_a_script_that_forgets_to_close_exits_within_a_second() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORGETFUL],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    ended = time.time()
    assert (run.returncode, run.stderr) == (0, "")
    assert ended - float(run.stdout) < 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_l10_in_a_forked_child_a_call_is_a_clear_error_and_no_hang() -> None:
    script = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from reactive_auth import AuthClosed, connect_blocking
auth = connect_blocking("http://127.0.0.1:9")
pid = os.fork()
if pid == 0:
    try:
        auth.fetch_access_token()
    except AuthClosed:
        auth.close()
        os._exit(0)
    os._exit(3)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
auth.close()
sys.exit(code)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
