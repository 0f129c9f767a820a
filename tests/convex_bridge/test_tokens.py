"""Which token the deployment is sent, and when."""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import time
import weakref
from typing import Any

import convex
import pytest

from reactive_auth import AuthClosed, AuthProvider, ConfigurationError, SessionState
from reactive_auth.convex import bind
from reactive_auth.convex import line as line_module
from reactive_auth.testing import FakeAuthClient

from .deployment import PATIENCE, Deployment
from .support import Scene, claims, on_stage


def test_each_token_is_pushed_once_at_once_and_before_any_query_of_its_session(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        await scene.auth.fetch_access_token(force_refresh=True)
        await scene.sent(("A", 1), ("A", 2))
        scene.sign_in("B")
        await deployment.until(lambda: deployment.steps()[-1] == "Add private:me")
        await scene.sent(("A", 1), ("A", 2), ("B", 3))
        steps = deployment.steps()
        first = ["Connect", "Authenticate User", "Add private:me", "Authenticate User"]
        assert steps[:4] == first
        # The old query is dropped by another thread, so that it may go before or after the token.
        assert sorted(steps[4:6]) == ["Authenticate User", "Remove 0"]
        assert steps[6:] == ["Add private:me"]

    on_stage(deployment, play)


def test_r6_auth_is_not_cleared_while_a_session_rotates(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        await scene.sent(("A", 1))
        scene.fake.hold()
        scene.live.clear()
        scene.fake.manual = True
        scene.sign_in("B")
        await scene.fake.fetch()
        assert scene.auth.token.value is None
        await scene.fake.answer()
        await scene.sent(("A", 1), ("B", 2))

    on_stage(deployment, play)


def test_r5_an_unknown_session_clears_nothing_and_pushes_nothing(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        await scene.sent(("A", 1))
        scene.fake.forget()
        scene.sign_in("A")
        scene.show("public:barrier")
        await deployment.until(lambda: deployment.steps()[-1] == "Add public:barrier")
        await scene.sent(("A", 1))

    on_stage(deployment, play)


@pytest.mark.parametrize("end", [SessionState.signed_out(), SessionState.expired()])
def test_f9_the_end_of_a_session_clears_once_and_no_late_token_is_pushed(
    deployment: Deployment, end: SessionState
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        await scene.fake.answer()
        await scene.sent(("A", 1))
        forced = asyncio.ensure_future(scene.auth.fetch_access_token(force_refresh=True))
        late = await scene.fake.fetch()
        scene.fake.show(end)
        scene.fake.show(end.with_(refreshing=True, error=None))
        scene.fake.show(end)
        late.resolve(scene.fake.token_for(late.session))
        assert await forced is None
        await scene.sent(("A", 1), None)
        scene.fake.manual = False
        scene.sign_in("B")
        await scene.sent(("A", 1), None, ("B", 3))

    on_stage(deployment, play, manual=True)


def test_r15_another_users_token_is_pushed_only_after_the_first_ones_was_cleared(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A", "u1")
        await scene.sent(("A", 1))
        scene.fake.manual = True
        scene.sign_in("B", "u2")
        await scene.sent(("A", 1), None)  # while the new token is still being fetched
        await scene.fake.answer()
        await scene.sent(("A", 1), None, ("B", 2))

    on_stage(deployment, play)


def test_dispose_clears_and_nothing_is_pushed_any_more(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        await scene.sent(("A", 1))
        scene.bridge.dispose()
        scene.bridge.dispose()
        await scene.auth.fetch_access_token(force_refresh=True)
        scene.sign_in("B")
        await scene.auth.fetch_access_token()
        # Auth is the program's own again.
        scene.client.set_auth(scene.fake.token_for(scene.fake.fetches[0].session, n="own"))
        await scene.sent(("A", 1), None, ("A", "own"))
        assert not scene.auth.token.observed

    on_stage(deployment, play)


def test_l13_closing_the_provider_clears(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        await scene.sent(("A", 1))
        await scene.auth.aclose()
        await scene.sent(("A", 1), None)
        assert repr(scene.bridge) == "<ConvexBridge disposed>"
        with pytest.raises(AuthClosed):
            scene.bridge.query("public:x")
        with pytest.raises(AuthClosed):
            bind(scene.auth, scene.client)

    on_stage(deployment, play)


def test_a_bridge_that_pushed_nothing_leaves_the_clients_auth_alone(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.bridge.dispose()
        scene.client.set_auth(scene.fake.token_for(scene.fake.sign_in("own")))
        await scene.sent(("own", 0))

    on_stage(deployment, play)


def test_signed_out_from_the_start_clears_whatever_the_client_was_set_to(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.fake.sign_out()
        await scene.sent(None)

    on_stage(deployment, play)


# -- AuthError frames, which the client keeps to itself ---------------------------------------


def test_after_an_auth_error_a_new_token_is_sent_and_not_the_same(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        deployment.refuse(following=1)
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        assert shown.values == [None, {"user": "u1", "number": 0}]
        assert not shown.errors
        await scene.sent(("A", 1), ("A", 2))

    on_stage(deployment, play, by_url=True, patience=0.5)


def test_after_an_auth_error_a_client_of_ones_own_is_given_a_new_token(
    deployment: Deployment,
) -> None:
    """When it sends it is its own affair: it may go round with the old one for minutes."""

    async def play(scene: Scene) -> None:
        given: list[str] = []
        new = asyncio.Event()

        class Client(convex.ConvexClient):
            def set_auth(self, token: str) -> None:
                super().set_auth(token)
                given.append(token)
                if len(given) == 2:
                    new.set()

        scene.bridge.dispose()
        deployment.refuse(following=1)
        with bind(scene.auth, Client(deployment.url), patience=0.5):
            scene.sign_in("A")
            async with asyncio.timeout(PATIENCE):
                await new.wait()
        assert [claims(token) for token in given] == [("A", 1), ("A", 2)]

    on_stage(deployment, play)


def test_an_unasked_auth_error_is_found_by_the_heartbeat(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        deployment.refuse(scene.token)
        deployment.auth_error()
        deployment.set("private:me", 1)
        await shown.number(1)
        assert not shown.errors
        assert ("A", 2) in scene.seen()

    on_stage(deployment, play, by_url=True, patience=0.3, heartbeat=0.3)


def test_an_unasked_auth_error_is_found_by_the_next_subscription(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        first = scene.show()
        await first.number(0)
        deployment.refuse(scene.token)
        deployment.auth_error()
        deployment.set("private:me", 1)
        with monkeypatch.context() as patched:
            patched.setattr(line_module, "_FRESH", 0)  # as if all that was long ago
            later = scene.show("private:other")
            for _ in range(3):
                await asyncio.sleep(0)
        await later.number(0)
        await first.number(1)
        assert ("A", 2) in scene.seen()

    on_stage(deployment, play, by_url=True, patience=0.3)


def test_a_client_made_from_a_url_is_replaced_and_let_go(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        first = weakref.ref(scene.client)
        scene.client = None
        deployment.refuse(following=1)
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        assert scene.bridge.client is not first()
        deployment.set("private:me", 1)
        await shown.number(1)
        last = weakref.ref(scene.bridge.client)
        scene.bridge.dispose()
        with pytest.raises(AuthClosed):
            _ = scene.bridge.client
        async with asyncio.timeout(PATIENCE):
            while first() is not None or last() is not None:
                gc.collect()
                await asyncio.to_thread(time.sleep, 0.05)

    on_stage(deployment, play, by_url=True, patience=0.3)


# -- arguments, life --------------------------------------------------------------------------


def test_a_client_is_bound_once_at_a_time(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        with pytest.raises(ConfigurationError, match="bound already"):
            bind(scene.auth, scene.client)
        scene.bridge.dispose()
        with bind(scene.auth, scene.client) as again:
            scene.sign_in("A")
            await scene.sent(("A", 1))
            assert repr(again) == "<ConvexBridge bound>"
        await scene.sent(("A", 1), None)

    on_stage(deployment, play)


def test_l3_binding_and_disposing_leaves_nothing(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.bridge.dispose()
        scene.sign_in("A")
        bridges = []
        for _ in range(200):
            with bind(scene.auth, scene.client) as bridge:
                bridges.append(weakref.ref(bridge))
        del bridge
        await asyncio.sleep(0)
        gc.collect()
        assert [alive() for alive in bridges if alive() is not None] == []

    on_stage(deployment, play)


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth": object()},
        {"client": object()},
        {"client": "ftp://127.0.0.1"},
        {"client": ""},
        {"patience": 0},
        {"patience": "1"},
        {"heartbeat": 0},
        {"heartbeat": float("nan")},
        {"is_auth_error": "401"},
    ],
)
def test_bad_arguments_fail_at_the_call(wrong: dict[str, Any]) -> None:
    async def main() -> None:
        client = convex.ConvexClient("http://127.0.0.1:9")
        async with AuthProvider(FakeAuthClient()) as auth:
            arguments = {"auth": auth, "client": client, **wrong}
            with pytest.raises(ConfigurationError):
                bind(**arguments)
            with bind(auth, client) as bridge, pytest.raises(TypeError, match="pickled"):
                pickle.dumps(bridge)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "args"), [("", None), (None, None), ("private:me", [1]), ("private:me", {1: 2})]
)
def test_bad_arguments_of_a_query_fail_at_the_call(name: Any, args: Any) -> None:
    async def main() -> None:
        async with AuthProvider(FakeAuthClient()) as auth:
            with (
                bind(auth, convex.ConvexClient("http://127.0.0.1:9")) as bridge,
                pytest.raises(ConfigurationError),
            ):
                bridge.query(name, args)

    asyncio.run(main())


def test_without_the_package_the_import_error_names_the_extra() -> None:
    code = "import sys; sys.modules['convex'] = None; import reactive_auth.convex"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert 'ImportError: convex is not installed: pip install "reactive-auth[convex]"' in run.stderr
