"""Where sniffio is installed, anyio finds an event loop in tasks only, not in timers."""

from __future__ import annotations

import asyncio

import pytest
from anyio._core import _eventloop

from reactive_auth.home import Scope
from reactive_auth.testing import run_virtual

from .support import Seen, Stage, play


@pytest.fixture(autouse=True)
def as_with_sniffio(monkeypatch: pytest.MonkeyPatch) -> None:
    """What sniffio answers, whether it is installed or not."""

    def current_async_library() -> str | None:
        try:
            return "asyncio" if asyncio.current_task() is not None else None
        except RuntimeError:
            return None

    monkeypatch.setattr(_eventloop, "current_async_library", current_async_library)


def test_f2_a_failed_fetch_is_tried_again() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.client.then(OSError("down"))
        assert await stage.auth.fetch_access_token() is not None
        assert not stage.loop_errors

    play(scenario)


def test_a_token_is_refreshed_ahead_of_expiry() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        seen = Seen(stage.auth.token)
        await asyncio.sleep(3600)
        assert len(stage.client.fetches) == 5
        assert seen.values[-1] is not None
        assert not stage.loop_errors

    play(scenario)


def test_r13_a_token_of_another_session_has_the_session_looked_at_again() -> None:
    async def scenario(stage: Stage) -> None:
        session = stage.client.sign_in("A")
        stage.client.then(stage.client.token_for(session, sessionId="B"))
        assert await stage.auth.fetch_access_token() is not None
        assert stage.client.refetches == 1
        assert not stage.loop_errors

    play(scenario)


@pytest.mark.parametrize("when", ["before", "after"])
def test_k17_a_scope_cancels_what_is_in_it_or_will_be(when: str) -> None:
    async def main() -> float:
        scope, loop = Scope(), asyncio.get_running_loop()
        if when == "before":
            scope.cancel()
        else:
            loop.call_later(5, scope.cancel)
        with scope:
            await asyncio.sleep(3600)
            raise AssertionError("it went on")
        return loop.time()

    assert run_virtual(main()) == (0 if when == "before" else 5)
