"""The client's races, in virtual time against a server that answers when it is told to."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive_auth import (
    AuthClosed,
    AuthRejected,
    AuthUnavailable,
    BetterAuthClient,
    NotAuthenticated,
    WrongThread,
    connect,
)
from reactive_auth.testing import VirtualClock, run_virtual
from tests.core.support import Seen

from .support import CACHE, PASSWORD, URL, MiniServer, World, reply, turn, world

NEW = "another-horse-battery"


@world()
async def test_r7_u11_when_a_call_returns_session_and_token_are_on_the_streams(w: World) -> None:
    await w.sign_in()
    assert w.session_id == "session-1"
    assert w.auth.state.value.has_token
    await w.client.change_password(
        current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
    )
    assert w.session_id == "session-2"
    token = w.auth.token.value
    assert token is not None
    assert token.session_id == "session-2"
    assert w.server.count("/convex/token") == 2


@world()
async def test_r6_a_password_change_never_shows_signed_out_and_holds_the_token(w: World) -> None:
    await w.sign_in()
    seen = Seen(w.auth.state)
    gate = w.server.gate("/change-password")
    changing = asyncio.ensure_future(
        w.client.change_password(
            current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
        )
    )
    await asyncio.sleep(1)
    waiting = asyncio.ensure_future(w.auth.fetch_access_token())
    await asyncio.sleep(1)
    assert not waiting.done()
    assert w.auth.state.value.is_refreshing
    gate.set()
    await changing
    token = w.auth.token.value
    assert token is not None
    assert await waiting == token.value
    assert all(state.is_authenticated for state in seen.values)


@world()
async def test_r9_many_signals_during_a_request_cause_one_trailing_and_abort_nothing(
    w: World,
) -> None:
    await w.sign_in()
    before = w.server.count("/get-session")
    gate = w.server.gate("/get-session")
    asking = [asyncio.ensure_future(w.client.refetch()) for _ in range(7)]
    await asyncio.sleep(1)
    asking += [asyncio.ensure_future(w.client.refetch()) for _ in range(7)]
    w.client.online()
    await asyncio.sleep(1)
    gate.set()
    await asyncio.gather(*asking)
    assert w.server.count("/get-session") - before == 2
    assert not any(exchange.aborted for exchange in w.server.log)


@world()
async def test_r14_of_overlapping_session_answers_the_newest_request_decides(w: World) -> None:
    await w.sign_in()
    gate = w.server.gate("/get-session")
    older = asyncio.ensure_future(w.client.refetch())
    await asyncio.sleep(1)
    del w.server.gates["/get-session"]
    await w.client.change_password(
        current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
    )
    seen = Seen(w.auth.session)
    gate.set()
    await older
    await turn()
    assert w.session_id == "session-2"
    assert len(seen.values) == 1


@world()
async def test_a_clear_meant_for_the_old_cookie_does_not_take_the_new_one(w: World) -> None:
    await w.sign_in()
    gate = w.server.gate("/get-session")
    w.server.instead("/get-session", reply(200, None, clear=True))
    older = asyncio.ensure_future(w.client.refetch())
    await asyncio.sleep(1)
    del w.server.gates["/get-session"]
    await w.client.change_password(
        current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
    )
    gate.set()
    await older
    assert w.session_id == "session-2"
    assert (await w.client.refetch()).status == "signed_in"


@world()
async def test_a_null_answer_during_a_rotation_is_not_believed(w: World) -> None:
    await w.sign_in()
    seen = Seen(w.auth.state)
    gate = w.server.gate("/change-password")
    changing = asyncio.ensure_future(
        w.client.change_password(
            current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
        )
    )
    await asyncio.sleep(1)  # the old session is dead on the server, the answer is not here yet
    asking = asyncio.ensure_future(w.client.refetch())
    with pytest.raises(AuthUnavailable):
        await w.client.fetch_token(w.auth.session.value.session)  # type: ignore[arg-type]
    await asyncio.sleep(1)
    gate.set()
    await changing
    assert (await asking).status == "signed_in"
    assert all(state.is_authenticated for state in seen.values)


@world()
async def test_f6_a_lost_answer_is_followed_by_a_look_at_the_session(w: World) -> None:
    await w.sign_in()
    w.server.lose("/change-password", httpx.ReadError("reset"))
    with pytest.raises(AuthUnavailable):
        await w.client.change_password(
            current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
        )
    # It was carried out, and the only cookie went with the answer: the server says so.
    assert w.status == "signed_out"
    await w.client.sign_in_email(email="u1@example.com", password=NEW)
    assert w.status == "signed_in"


@world()
async def test_f6_a_request_that_was_never_carried_out_changes_nothing(w: World) -> None:
    await w.sign_in()
    seen = Seen(w.auth.state)
    w.server.instead("/change-password", httpx.ConnectError("no network"))
    with pytest.raises(AuthUnavailable):
        await w.client.change_password(
            current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
        )
    assert w.session_id == "session-1"
    assert all(state.is_authenticated for state in seen.values)
    assert not w.auth.state.value.is_refreshing


@world()
async def test_after_a_rotation_whose_new_session_is_not_known_yet_callers_wait_for_it(
    w: World,
) -> None:
    await w.sign_in()
    seen = Seen(w.auth.state)
    w.server.instead("/get-session", *[httpx.ConnectError("down")] * 3)
    await w.client.change_password(
        current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
    )
    token = await w.auth.fetch_access_token()
    assert w.session_id == "session-2"
    assert token is not None
    assert all(state.is_authenticated for state in seen.values)


@world()
async def test_a_refused_request_leaves_all_as_it_was(w: World) -> None:
    await w.sign_in()
    token = w.auth.token.value
    with pytest.raises(AuthRejected) as raised:
        await w.client.change_password(
            current_password="wrong", new_password=NEW, revoke_other_sessions=True
        )
    assert raised.value.code == "INVALID_PASSWORD"
    assert w.auth.token.value is token
    assert not w.auth.state.value.is_refreshing
    assert w.server.count("/get-session") == 2


@world()
async def test_f8_signed_out_is_emitted_before_any_request(w: World) -> None:
    await w.sign_in()
    gate = w.server.gate("/sign-out")
    leaving = asyncio.ensure_future(w.client.sign_out())
    await asyncio.sleep(0)
    assert w.status == "signed_out"
    assert w.server.count("/sign-out") == 0
    await asyncio.sleep(1)
    assert await w.auth.fetch_access_token() is None
    gate.set()
    await leaving


@world()
async def test_f8_a_revocation_that_failed_is_reported_and_can_be_retried(w: World) -> None:
    await w.sign_in()
    w.server.instead("/sign-out", httpx.ConnectError("offline"), httpx.ConnectError("offline"))
    for _ in range(2):
        with pytest.raises(AuthUnavailable):
            await w.client.sign_out()
        assert w.status == "signed_out"
        assert w.server.live
    await w.client.sign_out()
    assert not w.server.live
    await w.client.sign_out()
    assert w.server.count("/sign-out") == 3


@pytest.mark.parametrize("path", ["/sign-in/email", "/get-session", "/convex/token"])
def test_f9_an_answer_begun_before_sign_out_writes_neither_state_nor_jar(path: str) -> None:
    @world()
    async def scenario(w: World) -> None:
        await w.sign_in()
        gate = w.server.gate(path)
        calls: dict[str, Any] = {
            "/sign-in/email": lambda: w.sign_in(),
            "/get-session": lambda: w.client.refetch(),
            "/convex/token": lambda: w.auth.fetch_access_token(force_refresh=True),
        }
        late = asyncio.ensure_future(calls[path]())
        await asyncio.sleep(1)
        await w.client.sign_out()
        seen = Seen(w.auth.state)
        gate.set()
        await asyncio.wait([late])
        late.exception()
        await asyncio.sleep(1)
        assert [state.status for state in seen.values] == ["signed_out"]
        assert not w.server.live, "a session that was made late lives on"
        sent = len(w.server.log)
        await w.client.refetch()
        assert "cookie" not in w.server.log[sent].headers

    scenario()


@world()
async def test_f9_a_sign_in_overtaken_by_a_sign_out_says_so(w: World) -> None:
    gate = w.server.gate("/sign-in/email")
    late = asyncio.ensure_future(w.sign_in())
    await asyncio.sleep(1)
    await w.client.sign_out()
    gate.set()
    with pytest.raises(NotAuthenticated):
        await late


@world()
async def test_f10_f2_the_first_request_before_the_network_is_up_leaves_unknown_and_retries(
    w: World,
) -> None:
    w.server.instead("/get-session", *[httpx.ConnectError("no network")] * 4)
    seen = Seen(w.auth.state)
    assert await w.auth.fetch_access_token() is None
    statuses = [state.status for state in seen.values]
    assert statuses[-1] == "signed_out"
    assert set(statuses[:-1]) == {"unknown"}
    assert any(state.error is not None for state in seen.values)
    assert w.server.count("/get-session") == 5


BODIES = [
    (200, b""),
    (200, b"<html>null</html>"),
    (200, b"nul"),
    (200, b"{}"),
    (200, b"[]"),
    (200, b'{"session":null,"user":null}'),
    (200, b'{"session":{"id":""},"user":{"id":"u"}}'),
    (200, b'{"session":{"id":"s"}}'),
    (200, b'"null"'),
    (200, b"false"),
    (200, b"\xff\xfe"),
    (200, b"[" * 100_000),
    (204, b""),
    (301, b""),
    (302, b"null"),
    (401, b'{"code":"UNAUTHORIZED"}'),
    (403, b"<html>blocked</html>"),
    (404, b""),
    (408, b"null"),
    (429, b"null"),
    (500, b"null"),
    (503, b"<html>maintenance</html>"),
]


@pytest.mark.parametrize(("status", "body"), BODIES, ids=range(len(BODIES)))
def test_f1_f12_whatever_else_get_session_answers_signs_nobody_out(
    status: int, body: bytes
) -> None:
    @world()
    async def scenario(w: World) -> None:
        await w.sign_in()
        seen = Seen(w.auth.state)
        w.server.instead("/get-session", httpx.Response(status, content=body))
        with pytest.raises(AuthUnavailable):
            await w.client.refetch()
        state = w.auth.state.value
        assert state.is_authenticated
        assert state.has_token
        assert state.error is not None
        await asyncio.sleep(2)
        assert w.auth.state.value.error is None
        assert all(state.is_authenticated for state in seen.values)

    scenario()


@pytest.mark.parametrize(
    ("status", "body", "authoritative"),
    [
        (401, b'{"code":"UNAUTHORIZED"}', True),
        (401, b"", True),
        (403, b'{"message":"x"}', True),
        (401, b"<html>proxy</html>", False),
        (403, b"<html>firewall</html>", False),
        (404, b"", False),
        (400, b"{}", False),
        (429, b"{}", False),
        (500, b"{}", False),
        (302, b"", False),
        (200, b"", False),
        (200, b"{}", False),
        (200, b'{"token":null}', False),
        (200, b'{"token":7}', False),
        (200, b'{"token":"a.b.c"}', None),
        (200, b"<html>", False),
    ],
)
def test_f1_f6_what_an_answer_of_the_token_route_means(
    status: int, body: bytes, authoritative: bool | None
) -> None:
    @world(token_path="/convex/token")
    async def scenario(w: World) -> None:
        await w.sign_in()
        w.server.instead("/convex/token", httpx.Response(status, content=body))
        token = await w.auth.fetch_access_token(force_refresh=True)
        if authoritative:
            assert token is None
            assert w.status == "signed_out"
        else:
            assert token is not None
            assert w.status == "signed_in"
            assert w.server.count("/convex/token") == (2 if authoritative is None else 3)

    scenario()


@pytest.mark.parametrize("header", ["retry-after", "x-retry-after"])
def test_f4_retry_after_is_honoured_for_session_and_token(header: str) -> None:
    @world()
    async def scenario(w: World) -> None:
        await w.sign_in()
        limited = httpx.Response(429, headers={header: "20"}, content=b"{}")
        for path in ("/get-session", "/convex/token"):
            w.server.instead(path, limited)
        with pytest.raises(AuthUnavailable) as raised:
            await w.client.refetch()
        assert raised.value.retry_after == 20
        before = w.server.count("/get-session")
        waiting = asyncio.ensure_future(w.auth.fetch_access_token(force_refresh=True))
        await asyncio.sleep(19)
        assert w.server.count("/get-session") == before
        assert not waiting.done()
        await asyncio.sleep(2)
        assert w.server.count("/get-session") == before + 1
        assert await waiting is not None

    scenario()


@world(poll_interval=60)
async def test_polling_looks_regularly_and_stops_with_the_session(w: World) -> None:
    await w.sign_in()
    before = w.server.count("/get-session")
    seen = Seen(w.auth.state)
    await asyncio.sleep(601)
    assert w.server.count("/get-session") - before == 10
    assert len(seen.values) == 1
    await w.client.sign_out()
    sent = len(w.server.log)
    await asyncio.sleep(10_000)
    w.client.focus()
    w.client.online()
    await asyncio.sleep(10)
    assert len(w.server.log) == sent


@world()
async def test_u2_focus_looks_at_most_every_five_seconds_and_an_equal_answer_says_nothing(
    w: World,
) -> None:
    await w.sign_in()
    before = w.server.count("/get-session")
    seen = Seen(w.auth.state)
    for _ in range(100):
        w.client.focus()
        await asyncio.sleep(0.1)
    assert w.server.count("/get-session") - before == 2
    assert len(seen.values) == 1


@world()
async def test_c9_a_session_revoked_elsewhere_is_noticed_by_a_look_or_by_the_token_route(
    w: World,
) -> None:
    w.server.cookie_cache = True
    for look in (w.client.refetch, lambda: w.auth.fetch_access_token(force_refresh=True)):
        await w.sign_in()
        w.server.live.clear()
        await look()
        assert w.status == "signed_out"
        assert w.auth.token.value is None
        await w.client.refetch()
        assert "cookie" not in w.server.log[-1].headers


@world()
async def test_a_caller_that_is_cancelled_does_not_take_the_new_session_with_it(w: World) -> None:
    await w.sign_in()
    gate = w.server.gate("/change-password")
    changing = asyncio.ensure_future(
        w.client.change_password(
            current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
        )
    )
    await asyncio.sleep(1)
    changing.cancel()
    await asyncio.sleep(1)
    gate.set()
    await asyncio.sleep(1)
    assert w.session_id == "session-2"
    assert await w.auth.fetch_access_token() is not None


@world()
async def test_of_two_requests_that_change_the_session_the_second_sees_the_first(w: World) -> None:
    await w.sign_in()
    await asyncio.gather(
        w.client.change_password(
            current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
        ),
        w.client.update_user(name="V"),
        w.client.change_password(
            current_password=NEW, new_password=PASSWORD, revoke_other_sessions=True
        ),
    )
    assert w.session_id == "session-3"
    assert not w.auth.state.value.is_refreshing


@world()
async def test_l2_after_close_nothing_is_sent_and_every_call_is_a_clear_error(w: World) -> None:
    await w.sign_in()
    gate = w.server.gate("/update-user")
    under_way = asyncio.ensure_future(w.client.update_user(name="V"))
    await asyncio.sleep(1)
    session = w.auth.session.value.session
    assert session is not None
    await w.auth.aclose()
    with pytest.raises(AuthClosed):
        await under_way
    gate.set()
    sent = len(w.server.log)
    calls = [
        w.client.refetch,
        w.client.sign_out,
        w.sign_in,
        w.client.list_sessions,
        lambda: w.client.fetch_token(session),
        lambda: w.client.request("GET", "/ok"),
        w.auth.fetch_access_token,
    ]
    for call in calls:
        with pytest.raises(AuthClosed):
            await call()
    for call in (w.client.focus, w.client.online):
        with pytest.raises(AuthClosed):
            call()
    await asyncio.sleep(1e6)
    assert len(w.server.log) == sent
    assert not w.server.closed, "the transport is the user's"


@world()
async def test_s4_no_redirect_is_followed(w: World) -> None:
    await w.sign_in()
    elsewhere = httpx.Response(302, headers={"location": "https://evil.test/get-session"})
    w.server.instead("/get-session", elsewhere)
    sent = len(w.server.log)
    with pytest.raises(AuthUnavailable, match="redirect"):
        await w.client.refetch()
    assert len(w.server.log) == sent + 1


@world()
async def test_s6_every_request_says_its_origin_and_cookies_go_with_it_alone(w: World) -> None:
    await w.sign_in()
    await w.client.update_user(name="V")
    await w.client.sign_out()
    assert all(exchange.headers["origin"] == URL for exchange in w.server.log)
    assert all(exchange.headers["host"] == "auth.test" for exchange in w.server.log)


def test_s5_a_secure_cookie_over_plain_http_is_a_clear_error() -> None:
    clock = VirtualClock()

    async def main() -> None:
        server = MiniServer(clock)
        server.instead("/sign-in/email", reply(200, {"user": {"id": "u1"}}, cookie="c.s3cr3t"))
        async with connect("http://localhost:3000", transport=server, clock=clock) as auth:
            with pytest.raises(AuthUnavailable, match="Secure") as raised:
                await auth.client.sign_in_email(email="e", password=PASSWORD)
            assert "s3cr3t" not in str(raised.value)

    run_virtual(main(), clock)


@world()
async def test_s9_two_users_over_one_transport_share_nothing(w: World) -> None:
    async with connect(URL, transport=w.server, clock=w.clock) as other:
        await w.sign_in()
        await other.client.refetch()
        assert other.state.value.status == "signed_out"
        await other.client.sign_in_email(email="v", password=PASSWORD)
        assert {w.session_id, other.session.value.session.id} == {  # type: ignore[union-attr]
            "session-1",
            "session-2",
        }
        await w.client.sign_out()
        assert other.state.value.has_token
        assert (await other.client.refetch()).status == "signed_in"


@world()
async def test_s10_after_a_sign_out_no_cookie_is_left(w: World) -> None:
    await w.sign_in()
    await w.client.sign_out()
    await w.client.refetch()
    assert "cookie" not in w.server.log[-1].headers


@world()
async def test_s2_nothing_shows_prints_or_pickles_a_secret(w: World) -> None:
    await w.sign_in()
    events: list[object] = []
    w.client.wire.subscribe(events.append)
    await w.client.refetch()
    errors: list[BaseException] = []
    for call in (
        lambda: w.client.sign_in_email(email="e", password="s3cr3t-password"),
        lambda: w.client.change_password(current_password="s3cr3t-1", new_password="s3cr3t-2"),
        lambda: w.client.verify_one_time_token("s3cr3t-code"),
    ):
        with pytest.raises(AuthRejected) as raised:
            await call()
        errors.append(raised.value)
    token = await w.auth.fetch_access_token()
    assert token is not None
    things = [w.auth, w.client, w.client._jar, w.client._wire, w.auth.token, *events, *errors]
    things += [w.auth.session.value, w.auth.state.value, w.auth.token.value]
    for thing in things:
        text = repr(thing) + str(thing)
        assert "s3cr3t" not in text
        assert token not in text
    for value in [*errors, w.auth.state.value, *events]:
        again = pickle.dumps(value)
        assert b"s3cr3t" not in again
        assert token.encode() not in again
    for live in (w.auth, w.client, w.client._jar):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                attempt(live)


def test_two_loops_are_a_clear_error_for_the_client() -> None:
    client = BetterAuthClient("http://localhost:1", request_timeout=1)

    async def use() -> None:
        with pytest.raises(AuthUnavailable):
            await client.refetch()

    async def elsewhere() -> None:
        with pytest.raises(WrongThread):
            await client.refetch()

    asyncio.run(use())
    asyncio.run(elsewhere())


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_k16_cancelling_at_random_instants_never_wedges_the_client(seed: int) -> None:
    choice = random.Random(seed)

    @world()
    async def scenario(w: World) -> None:
        await w.sign_in()
        for _ in range(30):
            call = choice.choice(
                [
                    lambda: w.auth.fetch_access_token(force_refresh=True),
                    w.client.refetch,
                    lambda: w.client.update_user(name="V"),
                    w.sign_in,
                ]
            )
            task = asyncio.ensure_future(call())
            await asyncio.sleep(choice.choice([0, 0.005, 0.01, 0.02, 0.03]))
            task.cancel()
        await asyncio.sleep(5)
        assert await w.auth.fetch_access_token(force_refresh=True) is not None
        assert (await w.client.refetch()).status == "signed_in"
        assert not w.auth.state.value.is_refreshing

    scenario()


@world()
async def test_a_sign_in_is_not_held_up_by_a_token_route_that_fails(w: World) -> None:
    w.server.instead("/convex/token", *[httpx.ConnectError("down")] * 50)
    began = w.clock.now
    await w.sign_in()
    assert w.clock.now - began < 1
    state = w.auth.state.value
    assert (state.is_authenticated, state.has_token) == (True, False)
    assert state.error is not None


@world()
async def test_a_sign_in_is_not_held_up_by_a_session_route_that_fails(w: World) -> None:
    await w.auth.client.refetch()
    w.server.instead("/get-session", *[httpx.ConnectError("down")] * 3)
    began = w.clock.now
    await w.sign_in()
    assert w.clock.now - began < 1
    assert w.auth.state.value.error is not None
    assert not w.auth.state.value.is_authenticated
    assert await w.auth.fetch_access_token() is not None, "it is got over"


@world()
async def test_a_request_that_has_nothing_to_do_with_the_session_outlives_it(w: World) -> None:
    await w.sign_in()
    gate = w.server.gate("/ok")
    w.server.instead("/ok", reply(200, {"ok": True}))
    asking = asyncio.ensure_future(w.client.request("GET", "/ok"))
    await asyncio.sleep(1)
    await w.client.sign_out()
    gate.set()
    assert await asking == {"ok": True}
    assert w.status == "signed_out"


@world()
async def test_l2_a_look_that_fails_while_signed_out_is_not_repeated(w: World) -> None:
    await w.sign_in()
    await w.client.sign_out()
    w.server.instead("/get-session", httpx.ConnectError("down"))
    with pytest.raises(AuthUnavailable):
        await w.client.refetch()
    sent = len(w.server.log)
    await asyncio.sleep(10_000)
    assert len(w.server.log) == sent
    assert w.auth.state.value.error is None


@world()
async def test_a_cached_session_cookie_of_the_old_session_is_dropped_at_a_rotation(
    w: World,
) -> None:
    w.server.cookie_cache = True
    answer = reply(200, {"user": {"id": "u1"}}, cookie=w.server.open_session())
    for name in (CACHE, f"{CACHE}.0"):
        answer.headers = httpx.Headers(
            [*answer.headers.multi_items(), ("set-cookie", f"{name}=session-1; Path=/; Secure")]
        )
    w.server.instead("/sign-in/email", answer)
    await w.sign_in()
    assert CACHE in w.server.log[-1].headers["cookie"]
    await w.client.change_password(
        current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
    )
    assert CACHE not in w.server.log[-1].headers["cookie"]
