"""What a subscribed query shows while sessions and tokens change."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from typing import Any

import convex
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from reactive_auth import AuthClosed, AuthRejected, connect_blocking
from reactive_auth.convex import bind, looks_like_auth_error
from reactive_auth.convex.live import same
from reactive_auth.embedded import EmbeddedServer

from .deployment import Deployment
from .support import Scene, Shown, on_stage


def test_a_query_shows_nothing_then_each_distinct_result(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        shown = scene.show()
        assert shown.values == [None]
        scene.sign_in("A")
        other = scene.show("private:other")
        await shown.number(0)
        for number in (1, 2):
            deployment.set("private:me", number)
            await shown.number(number)
        deployment.set("private:other", 5)  # the client gives everybody their results again
        await other.number(5)
        assert shown.numbers == [0, 1, 2]

    on_stage(deployment, play)


def test_a_query_once_may_have_a_null_result(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        once = scene.bridge.query("null:x").pipe(ops.skip(1), ops.first())
        shown = Shown(once)
        await shown.until(lambda: shown.completed)
        assert shown.values == [None]

    on_stage(deployment, play)


def test_r6_a_rotation_under_a_query_shows_neither_its_errors_nor_a_gap(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        all_shown = [scene.show(f"{kind}:me") for kind in ("private", "fragile") for _ in range(2)]
        for shown in all_shown:
            await shown.number(0)
        for number, session in enumerate("BCD", start=1):
            scene.fake.hold()
            scene.live.clear()
            deployment.rerun()  # the functions look the session up, and it is gone
            assert deployment.failed[-1] == 2
            scene.sign_in(session)
            deployment.set("private:me", number)
            deployment.set("fragile:me", number)
            for shown in all_shown:
                await shown.number(number)
        for shown in all_shown:
            assert not shown.errors
            assert shown.values.count(None) == 1
            assert shown.numbers == sorted(shown.numbers)

    on_stage(deployment, play)


def test_r6_a_rotation_to_an_unchanged_result_emits_nothing(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        scene.sign_in("B")
        await deployment.until(lambda: deployment.steps().count("Add private:me") == 2)
        deployment.set("private:me", 1)
        await shown.number(1)
        assert shown.numbers == [0, 1]

    on_stage(deployment, play)


def test_r1_another_user_is_never_shown_the_first_ones_results(deployment: Deployment) -> None:
    """Also while the client still has the old subscription's result in its cache."""
    choose = random.Random(1)

    async def play(scene: Scene) -> None:
        users: list[str | None] = []
        wrong: list[Any] = []

        def check(value: Any) -> None:
            if value is not None and value["user"] != users[-1]:
                wrong.append((value, users[-1]))

        watching = [scene.bridge.query("private:me").subscribe(check) for _ in range(5)]
        for turn in range(30):
            user = f"u{turn % 3}"
            users.append(user)
            scene.sign_in(f"S{turn}", user)
            probe = scene.show()
            deployment.set("private:me", turn)
            if choose.random() < 0.7:
                await probe.number(turn)
                assert probe.values[-1]["user"] == user
            for _ in range(choose.randrange(4)):
                await asyncio.sleep(0)
            probe.subscription.dispose()
        assert not wrong
        for one in watching:
            one.dispose()

    on_stage(deployment, play)


def test_r1_not_even_where_the_program_keeps_the_first_ones_result_in_the_clients_cache(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A", "u1")
        shown = scene.show()
        await shown.number(0)
        kept = scene.client.subscribe("private:me")
        await kept.__anext__()
        scene.sign_in("B", "u2")
        await shown.until(lambda: len(shown.values) > 3 or shown.errors)
        users = [value and value["user"] for value in shown.values]
        assert users == [None, "u1", None, "u2"]
        # Nor was what is in there meanwhile, an error of nobody's, taken for the new user's.
        await scene.sent(("A", 1), None, ("B", 2))
        kept.unsubscribe()

    on_stage(deployment, play)


def test_what_the_other_user_sees_first_is_nothing(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A", "u1")
        shown = scene.show(otherwise="nobody")
        await shown.until(lambda: len(shown.values) == 2)
        scene.sign_in("B", "u2")
        assert shown.values[2:] == ["nobody"]
        await shown.until(lambda: len(shown.values) == 4)
        scene.fake.sign_out()
        assert shown.values[4:] == ["nobody"]
        users = [value["user"] for value in shown.values if value != "nobody"]
        assert users == ["u1", "u2"]

    on_stage(deployment, play)


def test_an_auth_error_is_answered_with_a_new_token_and_not_shown(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        deployment.is_live = lambda session: len(deployment.tokens()) > 1
        scene.fake.sign_in("A")
        shown = [scene.show(f"private:q{number}") for number in range(20)]
        for one in shown:
            await one.number(0)
            assert not one.errors
        await scene.sent(("A", 1), ("A", 2))  # K2: one fetch for all

    on_stage(deployment, play)


def test_f4_when_two_fresh_tokens_are_refused_the_query_ends_with_the_refusal(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.fake.sign_in("A")
        shown = scene.show()
        await shown.until(lambda: shown.errors)
        [error] = shown.errors
        assert isinstance(error, AuthRejected)
        assert isinstance(error.__cause__, convex.ConvexError)
        assert error.__cause__.data == "Unauthenticated"
        await scene.sent(("A", 1), ("A", 2), ("A", 3))
        assert scene.auth.token.value is not None  # the last one was not evicted
        assert shown.values == [None]

    on_stage(deployment, play)


def test_an_error_of_the_function_itself_is_passed_on_and_costs_no_token(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        broken, fine = scene.show("broken:x"), scene.show()
        await broken.until(lambda: broken.errors)
        await fine.number(0)
        [error] = broken.errors
        assert isinstance(error, convex.ConvexError)
        assert error.data == {"code": "FULL"}
        await scene.sent(("A", 1))
        await deployment.until(lambda: len(deployment.subscribed()) == 1)

    on_stage(deployment, play)


def test_an_error_during_an_own_request_waits_for_its_outcome(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show("fragile:me")
        await shown.number(0)
        scene.fake.hold()
        scene.live.clear()
        deployment.rerun()
        watch = scene.client.watch_all()
        deployment.set("public:x", 1)
        await watch.__anext__()  # the error has arrived before this
        assert not shown.errors
        scene.fake.release()  # and the session is the same
        await shown.until(lambda: shown.errors)
        assert "Server Error" in str(shown.errors[0])

    on_stage(deployment, play)


def test_an_error_under_a_token_that_was_replaced_is_asked_about_again(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show("fragile:me")
        await shown.number(0)
        await scene.auth.fetch_access_token(force_refresh=True)
        await scene.sent(("A", 1), ("A", 2))
        answers = iter([False])
        deployment.is_live = lambda session: next(answers, True)
        deployment.set("fragile:me", 1)
        await shown.number(1)
        assert not shown.errors

    on_stage(deployment, play)


def test_a_session_that_ends_under_a_query_shows_nobody_and_no_error(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        scene.live.clear()
        scene.fake.then(None)  # the token route says so, too
        deployment.rerun()
        await shown.until(lambda: shown.values[-1] is None)
        assert not shown.errors
        assert scene.auth.state.value.status == "signed_out"
        await scene.sent(("A", 1), None)

    on_stage(deployment, play)


def test_f1_a_token_route_that_is_away_ends_no_query(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        for _ in range(3):
            scene.fake.then(OSError("no network"), delay=0.1)
        deployment.is_live = lambda session: len(scene.fake.fetches) == 5
        deployment.set("private:me", 1)
        await shown.number(1)
        assert not shown.errors
        await scene.sent(("A", 1), ("A", 5))

    on_stage(deployment, play, waits=0.15)


@pytest.mark.parametrize("name", ["0:0", "a:b:c:d", "x" * 2000])
def test_a_path_that_the_client_refuses_ends_the_query_with_its_error(
    deployment: Deployment, name: str
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show(name)
        await shown.until(lambda: shown.errors)
        assert [type(error) for error in shown.errors] == [Exception]

    on_stage(deployment, play)


# -- life --------------------------------------------------------------------------------------


def test_dispose_ends_the_queries_and_unsubscribes_them(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = [scene.show(), scene.show("public:x")]
        await deployment.until(lambda: len(deployment.subscribed()) == 2)
        for one in shown:
            await one.until(lambda one=one: len(one.values) == 2)
        query = scene.bridge.query("private:me")
        scene.bridge.dispose()
        assert [one.completed for one in shown] == [1, 1]
        await deployment.until(lambda: not deployment.subscribed())
        await scene.sent(("A", 1), None)
        with pytest.raises(AuthClosed):
            scene.bridge.query("private:me")
        assert Shown(query).values == [None]

    on_stage(deployment, play)


def test_closing_the_provider_completes_the_queries(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        await scene.auth.aclose()
        assert shown.completed == 1
        await deployment.until(lambda: not deployment.subscribed())

    on_stage(deployment, play)


def test_l3_subscribing_and_disposing_leaves_no_task_and_no_subscription(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        kept = scene.show("public:kept")
        await kept.until(lambda: len(kept.values) == 2)
        tasks = len(asyncio.all_tasks())
        for turn in range(300):
            shown = scene.show(f"private:q{turn % 3}")
            for _ in range(turn % 5):
                await asyncio.sleep(0)
            if turn % 30 == 0:
                await shown.number(0)
            shown.subscription.dispose()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == tasks
        await deployment.until(lambda: len(deployment.subscribed()) == 1)
        assert len(scene.bridge._line.followers) == 1

    on_stage(deployment, play)


def test_l11_nothing_is_shown_after_dispose_returned(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        first, second = scene.show(), scene.show()
        await first.number(0)
        await second.number(0)
        deployment.set("private:me", 1)
        first.subscription.dispose()
        await second.number(1)
        assert first.numbers == [0]
        assert not first.completed

    on_stage(deployment, play)


def test_l4_an_observer_that_raises_is_reported_and_stops_nobody_else(
    deployment: Deployment,
) -> None:
    async def play(scene: Scene) -> None:
        def fail(value: Any) -> None:
            if value is not None:
                raise ZeroDivisionError

        scene.sign_in("A")
        scene.bridge.query("private:me").subscribe(fail)
        shown = scene.show()
        await shown.number(0)
        deployment.set("private:me", 1)
        await shown.number(1)
        scene.sign_in("B")
        deployment.set("private:me", 2)
        await shown.number(2)
        assert [type(error) for error in scene.reported] == [ZeroDivisionError]

    on_stage(deployment, play)


def test_k14_the_loop_goes_on_while_the_deployment_is_away(deployment: Deployment) -> None:
    """The client's subscribe would hold the GIL until it is back."""

    async def play(scene: Scene) -> None:
        deployment.outage(1.0)
        scene.sign_in("A")
        shown = scene.show()
        ticks = 0
        async with asyncio.timeout(30):
            while not shown.numbers:
                await asyncio.sleep(0.01)
                ticks += 1
        assert ticks > 20

    on_stage(deployment, play)


def test_after_an_outage_results_go_on(deployment: Deployment) -> None:
    async def play(scene: Scene) -> None:
        scene.sign_in("A")
        shown = scene.show()
        await shown.number(0)
        deployment.vanish()
        deployment.set("private:me", 1)
        await scene.auth.fetch_access_token(force_refresh=True)
        deployment.listen()
        await shown.number(1)
        assert not shown.errors
        assert shown.values.count(None) == 1

    on_stage(deployment, play)


def test_a_desktop_program_has_its_observers_called_on_the_delivery_thread(
    deployment: Deployment,
) -> None:
    server = EmbeddedServer()
    deployment.is_live = lambda session: session in server.sessions()
    shown: list[Any] = []
    threads: set[str] = set()
    news = threading.Condition()

    def show(value: Any) -> None:
        with news:
            shown.append(value)
            threads.add(threading.current_thread().name)
            news.notify_all()

    def wait(count: int) -> None:
        with news:
            assert news.wait_for(lambda: len(shown) >= count, 30), shown

    account: dict[str, Any] = {"email": "ada@example.com", "name": "Ada"}
    with (
        connect_blocking(server.url, transport=server.transport) as auth,
        contextlib.ExitStack() as stack,
    ):
        auth.client.sign_up_email(**account, password="first-password")
        bridge = stack.enter_context(bind(auth, convex.ConvexClient(deployment.url)))
        bridge.query("private:me").subscribe(show)
        wait(2)
        auth.client.change_password(
            current_password="first-password",
            new_password="second-password",
            revoke_other_sessions=True,
        )
        deployment.set("private:me", 1)
        wait(3)
        auth.client.sign_out()
        wait(4)
    deployment.is_live = lambda session: False
    server.close()
    numbers = [value and value["number"] for value in shown]
    assert numbers == [None, 0, 1, None]
    assert threads == {"reactive_auth-delivery"}
    tokens = deployment.tokens()
    assert tokens[-1] is None
    assert len(set(tokens)) == len(tokens) == 3


# -- small parts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (convex.ConvexError("Uncaught ConvexError: Unauthenticated", "Unauthenticated"), True),
        (convex.ConvexError("x", {"code": "UNAUTHORIZED"}), True),
        (Exception("Uncaught Error: Not authenticated"), True),
        (Exception("Uncaught Error: Not logged in\n at handler"), True),
        (Exception("Invalid session ID"), True),
        (Exception("InvalidAuthHeader: Could not parse JWT payload"), True),
        (Exception("Could not validate token: token expired 4s ago"), True),
        (Exception("Token expired"), True),
        (Exception("No auth provider found matching the given token"), True),
        (Exception("[Request ID: 1] Server Error"), False),
        (convex.ConvexError("full", {"code": "FULL", "author": "eve"}), False),
        (Exception("Object is missing the required field `author`"), False),
        (Exception("the session was full"), False),
    ],
)
def test_an_auth_error_is_told_by_its_words(error: Exception, expected: bool) -> None:
    assert looks_like_auth_error(error) is expected


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(a=values, b=values)
def test_results_are_the_same_when_values_and_types_are(a: Any, b: Any) -> None:
    assert same(a, a)
    assert same(a, b) == same(b, a)
    assert same(a, b) == (typed(a) == typed(b))
    assert same([a], {"x": a}) is False


def typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return (type(value), value)
