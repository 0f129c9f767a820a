"""psygnal and param: a few lines each, on the thread they were made for."""

from __future__ import annotations

import asyncio
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import param
import psygnal
import pytest

from reactive_auth import ConfigurationError, connect_blocking
from reactive_auth.delivery import Delivery
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.signal import Signal
from reactive_auth.ui.param import AuthParams
from reactive_auth.ui.psygnal import emit_psygnal
from tests.core.support import Stage, staged


class Model:
    number = psygnal.Signal(int)


def source(value: int = 0) -> Signal[int]:
    return Signal(value, Delivery())


def test_a_psygnal_signal_emits_the_current_value_then_each_change_on_the_loops_thread() -> None:
    model, stream, seen = Model(), source(), list[tuple[int, int]]()

    async def main() -> None:
        last = asyncio.Event()

        @model.number.connect
        def slot(number: int) -> None:
            seen.append((number, threading.get_ident()))
            if number == 1000:
                last.set()

        shown = emit_psygnal(model.number, stream, coalesce=False)
        assert len(seen) == 1, "at once"
        thread = threading.Thread(target=lambda: [stream.set(each) for each in range(1, 1001)])
        thread.start()
        async with asyncio.timeout(10):
            await last.wait()
        thread.join()
        shown.dispose()
        stream.set(5)
        await asyncio.sleep(0)
        assert seen == [(number, threading.get_ident()) for number in range(1001)]
        assert not stream.observed

    asyncio.run(main(), debug=True)  # which refuses call_soon() from another thread


def test_l4_what_a_slot_raises_reaches_the_toolkit_and_later_values_are_emitted() -> None:
    model, stream, seen = Model(), source(), list[int]()
    posted = deque[Callable[[], None]]()
    emit_psygnal(model.number, stream, posted.append)

    def slot(number: int) -> None:
        if number == 1:
            raise ValueError("a slot's own mistake")
        seen.append(number)

    model.number.connect(slot)
    stream.set(1)
    with pytest.raises(psygnal.EmitLoopError):
        posted.popleft()()
    stream.set(2)
    posted.popleft()()
    assert seen == [2]


class Wall:
    """A view that depends on a parameter, as Panel's and hvPlot's do."""

    def __init__(self, auth: AuthParams) -> None:
        self.lines: list[str] = []
        auth.param.watch(lambda event: self.lines.append(event.new), "headline")


@staged()
async def test_parameters_follow_the_state_and_all_are_set_before_anybody_is_told(
    stage: Stage,
) -> None:
    async with stage.auth as auth:
        who = AuthParams(auth)
        assert (who.status, who.is_loading, who.headline) == ("unknown", True, "Connecting…")
        wall = Wall(who)
        whole: list[tuple[Any, ...]] = []
        who.param.watch(
            lambda *events: whole.append((who.status, who.user_email, who.is_authenticated)),
            ["is_authenticated", "user_email", "status"],
        )
        stage.client.sign_in("session-of-ada", "ada")
        await stage.rest()
        assert wall.lines == ["ada@example.com"]
        assert whole == [("signed_in", "ada@example.com", True)]
        assert (who.session_id, who.state) == ("session-", auth.state.value)
        stage.client.sign_out()
        await stage.rest()
        assert wall.lines[1:] == ["Signed out"]
        assert (who.user_email, who.session_id, who.is_authenticated) == ("", "", False)
        who.close()
        who.close()
        assert not auth.state.observed
        stage.client.sign_in("another")
        await stage.rest()
        assert who.status == "signed_out"


@staged()
async def test_u2_an_equal_state_tells_no_watcher(stage: Stage) -> None:
    async with stage.auth as auth:
        who, told = AuthParams(auth), list[str]()
        stage.client.sign_in("A", "ada")
        await stage.rest()
        who.param.watch(lambda event: told.append(event.name), list(who.param))
        stage.client.sign_in("A", "ada")
        await stage.rest()
        assert told == []


@staged()
async def test_l4_a_watcher_that_raises_does_not_end_the_parameters(stage: Stage) -> None:
    async with stage.auth as auth:
        who = AuthParams(auth)

        def refuse(event: Any) -> None:
            raise ValueError("a watcher's own mistake")

        watcher = who.param.watch(refuse, "status")
        stage.client.sign_in("A", "ada")
        await stage.rest()
        errors = [context["exception"] for context in stage.loop_errors]
        assert [str(error) for error in errors] == ["a watcher's own mistake"]
        stage.loop_errors.clear()
        who.param.unwatch(watcher)
        stage.client.sign_out()
        await stage.rest()
        assert who.status == "signed_out"


def test_parameters_of_a_blocking_auth_are_set_where_post_says() -> None:
    posted = queue.SimpleQueue[Callable[[], None]]()
    server = EmbeddedServer()
    with server.serve() as url, connect_blocking(url) as auth:
        who = AuthParams(auth, posted.put)
        auth.client.sign_up_email(email="eve@example.com", password="correct horse", name="Eve")
        assert who.user_name == "", "nothing on other threads"
        while who.user_name != "Eve":
            posted.get(timeout=10)()
        who.close()
    server.close()


@staged()
async def test_s2_parameters_are_live_and_not_pickled(stage: Stage) -> None:
    async with stage.auth as auth:
        who = AuthParams(auth)
        assert repr(who) == "<AuthParams unknown>"
        with pytest.raises(TypeError, match="live"):
            pickle.dumps(who)
        assert isinstance(who, param.Parameterized)
        who.close()


def test_what_can_never_work_is_refused_at_the_call() -> None:
    with pytest.raises(ConfigurationError, match="class"):
        emit_psygnal(Model.number, source(), print)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no event loop"):
        emit_psygnal(Model().number, source())
    with pytest.raises(ConfigurationError, match="AuthProvider"):
        AuthParams("https://app.example.com")  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "extra"), [("psygnal", "psygnal"), ("param", "panel")])
def test_without_the_package_the_error_names_the_extra(module: str, extra: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; import reactive_auth.ui.{module}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"reactive-auth[{extra}]" in run.stderr
