"""The hand-off by a one-time token in a URL."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import (
    AuthRejected,
    AuthUnavailable,
    ConfigurationError,
    NotAuthenticated,
    connect,
)
from reactive_auth.client.redirect import split_redirect
from tests.core.support import Seen
from tests.servers.npm import NodeServer, ServerOptions

from .conftest import Server
from .support import URL, World, reply, world
from .test_servers import NEW, PASSWORD, Auth, session_id, signed_up

HOME = "https://app.example.com/home?tab=1&x=%2F#here"


@given(
    before=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3),
    after=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3),
    token=st.text("abcXYZ019-_.~+/ %&=", min_size=1).filter(str.strip),
    fragment=st.sampled_from(["", "#", "#a?ott=b"]),
)
def test_only_the_token_is_taken_out_of_the_url(
    before: list[tuple[str, str]], after: list[tuple[str, str]], token: str, fragment: str
) -> None:
    def pairs(items: list[tuple[str, str]]) -> list[str]:
        return [f"{quote_plus(k)}={quote_plus(v)}" for k, v in items if k != "ott"]

    kept = pairs(before) + pairs(after)
    query = "&".join([*pairs(before), f"ott={quote_plus(token)}", *pairs(after)])
    clean, found = split_redirect(f"https://app.example.com/p?{query}{fragment}")
    assert found == token
    assert urlsplit(clean).query == "&".join(kept)
    assert urlsplit(clean).fragment == fragment.removeprefix("#")
    assert not [name for name, _ in parse_qsl(urlsplit(clean).query) if name == "ott"]


@pytest.mark.parametrize("url", [HOME, "/relative?a=b", "app://callback", "", "https://a/?ottx=1"])
def test_a_url_without_a_token_is_left_as_it_is(url: str) -> None:
    assert split_redirect(url) == (url, None)


@pytest.mark.parametrize(
    "query", ["ott=", "ott", "ott=a&ott=b", "ott=a%0Ab", "ott=%20", "ott=" + "a" * 600, "%6Ftt="]
)
def test_a_malformed_token_is_refused_without_a_request(query: str) -> None:
    async def scenario(w: World) -> None:
        before = len(w.server.log)
        with pytest.raises(AuthRejected) as raised:
            await w.client.handle_redirect(f"https://app.example.com/?{query}")
        assert raised.value.code == "MALFORMED_ONE_TIME_TOKEN"
        assert len(w.server.log) == before

    world()(scenario)()


@pytest.mark.parametrize("url", [None, b"https://a", "https://[half"])
def test_what_is_no_url_is_refused_at_the_call(url: Any) -> None:
    with pytest.raises(ConfigurationError):
        split_redirect(url)


@world()
async def test_where_only_cross_domain_has_the_route_that_is_used(w: World) -> None:
    await w.sign_in()
    old, new = session_id(w.auth), w.server.open_session()
    cookie = f"__Secure-better-auth.session_token={new}; Path=/; Secure; HttpOnly"
    w.server.instead("/one-time-token/verify", httpx.Response(404))
    w.server.instead(
        "/cross-domain/one-time-token/verify",
        httpx.Response(200, json={"session": {}, "user": {}}, headers={"set-cookie": cookie}),
    )
    sessions = Seen(w.client.session)
    assert await w.client.handle_redirect(f"{URL}/?ott=s3cr3t&a=1") == f"{URL}/?a=1"
    held = [state.refreshing for state in sessions.values]
    assert held == [False, True, False], "from end to end, without a gap for a sign-out"
    assert session_id(w.auth) == w.server.live[new] != old
    token = w.auth.token.value
    assert token is not None
    assert token.session_id == w.server.live[new]


@pytest.mark.parametrize("under_way", [0, 1], ids=["first", "second"])
def test_f9_a_sign_out_between_the_two_routes_of_a_hand_off_is_not_undone(under_way: int) -> None:
    routes = ["/one-time-token/verify", "/cross-domain/one-time-token/verify"]

    async def scenario(w: World) -> None:
        await w.sign_in()
        new = w.server.open_session()
        cookie = f"__Secure-better-auth.session_token={new}; Path=/; Secure; HttpOnly"
        w.server.instead(routes[0], httpx.Response(404))
        w.server.instead(routes[1], httpx.Response(200, json={}, headers={"set-cookie": cookie}))
        gate = w.server.gate(routes[under_way])
        handing_off = asyncio.ensure_future(w.client.handle_redirect(f"{URL}/?ott=s3cr3t"))
        await asyncio.sleep(1)
        assert w.server.log[-1].path == routes[under_way]
        await w.client.sign_out()
        gate.set()
        with pytest.raises(NotAuthenticated):
            await handing_off
        assert w.auth.state.value.status == "signed_out"
        assert w.server.count(routes[1]) == under_way
        assert (new in w.server.live) == (under_way == 0), "what it made was revoked"

    world()(scenario)()


@world()
async def test_f1_a_hand_off_without_an_answer_keeps_the_session(w: World) -> None:
    await w.sign_in()
    before, seen = w.auth.session.value.session, Seen(w.auth.state)
    w.server.instead("/one-time-token/verify", reply(503, None))
    with pytest.raises(AuthUnavailable) as raised:
        await w.client.handle_redirect(f"{URL}/?ott=s3cr3t")
    assert "s3cr3t" not in str(raised.value) + repr(raised.value)
    assert w.auth.session.value.session == before
    assert all(state.is_authenticated for state in seen.values)


@signed_up
async def test_r7_s1_a_redirect_hands_the_session_over_and_is_rid_of_its_token(
    server: Server, auth: Auth
) -> None:
    records: list[str] = []
    handler = logging.Handler(0)
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    secret = await auth.client.generate_one_time_token()
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(0)
    try:
        async with connect(server.url) as other:
            await other.client.sign_up_email(
                email=server.new_email(), password=PASSWORD, name="Another"
            )
            theirs, flickers = session_id(other), Seen(other.state)
            clean = await other.client.handle_redirect(f"{HOME.replace('?', f'?ott={secret}&')}")
            assert clean == HOME
            assert session_id(other) == session_id(auth) != theirs
            token = other.token.value or await other.fetch_access_token()
            assert getattr(token, "session_id", None) == session_id(auth)
            assert all(state.is_authenticated for state in flickers.values)
            for url in (f"{URL}/?ott={secret}", f"{URL}/?ott=of-somebody-else"):
                with pytest.raises(AuthRejected) as raised:
                    await other.client.handle_redirect(url)
                assert secret not in str(raised.value)
            assert session_id(other) == session_id(auth)
            assert other.token.value == token
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert not [record for record in records if secret in record]


def test_a_real_cross_domain_server_refuses_a_foreign_token_and_changes_nothing() -> None:
    async def main(url: str) -> None:
        async with connect(url) as auth:
            await auth.client.sign_up_email(email="x@example.com", password=NEW, name="X")
            before = session_id(auth)
            with pytest.raises(AuthRejected) as raised:
                await auth.client.handle_redirect(f"{HOME}".replace("?", "?ott=foreign&"))
            assert raised.value.status == 400
            assert raised.value.request == "POST /cross-domain/one-time-token/verify"
            assert session_id(auth) == before

    with NodeServer("v16", ServerOptions(cross_domain="https://app.example.com")) as server:
        asyncio.run(main(server.url))
