"""The edges of what reaches consumers: odd URLs, two users, observers that raise."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import httpx2
import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import BehaviorSubject

from reactive_auth import (
    ConfigurationError,
    NotAuthenticated,
    Session,
    SessionState,
    auth_boundary,
    bearer_auth,
    claim,
    select,
    token_source,
    user,
    while_signed_in,
)
from reactive_auth.client.redirect import split_redirect
from tests.core.support import Seen, Stage, play, staged

from .support import API, LIBRARIES, Resource
from .test_boundary import Bounded, Source
from .test_http import client_of
from .test_scoped import Sources, signed_in

OTHER = "https://files.example.com"
library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda module: module.__name__)


# -- http_auth ------------------------------------------------------------------------------


@staged()
async def test_what_is_no_provider_is_refused_at_the_call(stage: Stage) -> None:
    for anything in (None, stage.client, stage.auth.token):
        with pytest.raises(ConfigurationError):
            bearer_auth(anything, origins=[API])  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            token_source(anything)  # type: ignore[arg-type]


@library
def test_s4_f4_a_401_to_a_request_without_our_token_rejects_no_token(library: Any) -> None:
    """A redirect between two listed origins: httpx drops the token, the 401 says nothing of it."""

    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: True)
        resource.redirects = {"/file": f"{OTHER}/file2"}
        auth = bearer_auth(stage.auth, origins=[API, OTHER])
        async with library.AsyncClient(
            transport=resource.transport(library), auth=auth, base_url=API, follow_redirects=True
        ) as http:
            for _ in range(3):
                assert (await http.get("/file")).status_code == 401
            assert (await http.get("/")).status_code == 200
        assert len(stage.client.fetches) == 1

    play(scenario)


@library
def test_s9_a_request_made_as_one_user_is_not_sent_again_as_another(library: Any) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A", "u1")
        old = await stage.auth.fetch_access_token()
        resource = Resource(lambda token: token != old)

        def switch() -> None:
            resource.before = None
            stage.client.sign_in("B", "u2")

        resource.before = switch
        async with client_of(stage, library, resource) as http:
            answer = await http.post("/notes", content=b"written by u1")
        assert resource.tokens == [old]
        assert answer.status_code == 401

    play(scenario)


class ReadOnly:
    """What httpx needs of a file to send it: read()."""

    def __init__(self) -> None:
        self._left = [b"once"]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""


@library
def test_a_file_that_can_only_be_read_is_not_sent_again(library: Any) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: False)
        async with client_of(stage, library, resource) as http:
            answer = await http.post("/", files={"file": ReadOnly()})
        assert answer.status_code == 401
        assert len(resource.seen) == 1

    play(scenario)


@pytest.mark.parametrize("asleep", [False, True], ids=["held", "asleep"])
def test_c1_the_plain_callable_attaches_only_what_a_fetch_would_give_at_once(
    asleep: bool,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.auth.token.subscribe(lambda token: None)
        await stage.rest()
        if asleep:
            stage.clock.suspend(3600)
        else:
            stage.client.hold()
        assert stage.auth.cached_access_token() is None
        request = httpx.Request("GET", API)
        with pytest.raises(Exception, match="no token is cached"):
            bearer_auth(stage.auth, origins=[API])(request)
        assert "authorization" not in request.headers

    play(scenario)


@pytest.mark.parametrize("origin", ["https://a.xn--mnchen-3ya.de", "https://a.münchen.de"])
def test_httpx2_sends_the_token_to_an_internationalised_origin(origin: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        auth = bearer_auth(stage.auth, origins=[origin])
        resource = Resource(lambda token: True)
        async with httpx2.AsyncClient(transport=resource.transport(httpx2), auth=auth) as http:
            assert (await http.get(origin)).status_code == 200

    play(scenario)


@staged()
async def test_an_origin_with_a_fragment_is_refused_at_the_call(stage: Stage) -> None:
    with pytest.raises(ConfigurationError):
        bearer_auth(stage.auth, origins=[f"{API}/#part"])


@staged()
async def test_the_origin_that_an_error_names_can_be_named_in_origins(stage: Stage) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bearer_auth(stage.auth, origins=[API])(httpx.Request("GET", "https://[::1]:8443/x"))
    named = str(caught.value).split(" ")[0]
    bearer_auth(stage.auth, origins=[named])


# -- scoped ----------------------------------------------------------------------------------


@staged()
async def test_l3_l4_an_observer_that_raises_leaves_no_subscription(stage: Stage) -> None:
    sources = Sources()
    stage.client.sign_in("a1")

    def observe(value: object) -> None:
        if value is not None:
            raise ValueError("an observer's own mistake")

    stage.auth.session.pipe(while_signed_in(sources.of)).subscribe(observe)
    with pytest.raises(ValueError, match="own mistake"):
        sources.emit("a1", 1)
    assert sources.live == {"a1": 0}
    assert not stage.auth.session.observed


def test_s9_nothing_of_the_old_user_is_on_show_while_the_new_users_stream_is_made() -> None:
    on_show: list[object] = []
    shown: Seen[Any]

    def project(session: Session) -> Observable[str]:
        if session.id == "b1":
            on_show.append(shown.values[-1])  # may take long: a request, say
        return BehaviorSubject(f"{session.id}:1")

    states = BehaviorSubject(SessionState.unknown())
    shown = Seen(states.pipe(while_signed_in(project)))
    states.on_next(signed_in("a1"))
    states.on_next(signed_in("b1"))
    assert on_show == [None]
    assert shown.values[-1] == "b1:1"


def test_s9_an_error_in_making_the_new_users_stream_leaves_nothing_of_the_old_on_show() -> None:
    def project(session: Session) -> Observable[str]:
        if session.id == "b1":
            raise OSError("down")
        return BehaviorSubject("a1:1")

    states = BehaviorSubject(signed_in("a1"))
    shown = Seen(states.pipe(while_signed_in(project)))
    states.on_next(signed_in("b1"))
    assert shown.values[-1] is None
    assert len(shown.errors) == 1


def _scheduler_probe(heard: list[object]) -> Observable[Any]:
    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        heard.append(scheduler)
        return Disposable()

    return Observable(subscribe)


@staged()
async def test_the_subscribers_scheduler_reaches_the_users_stream(stage: Stage) -> None:
    heard: list[object] = []
    scheduler = AsyncIOScheduler(asyncio.get_running_loop())
    stage.client.sign_in("a1")
    stage.auth.session.pipe(while_signed_in(lambda _: _scheduler_probe(heard))).subscribe(
        scheduler=scheduler
    )
    assert heard == [scheduler]


@staged()
async def test_the_subscribers_scheduler_reaches_the_bounded_stream(stage: Stage) -> None:
    heard: list[object] = []
    scheduler = AsyncIOScheduler(asyncio.get_running_loop())
    stage.client.sign_in("a1")
    _scheduler_probe(heard).pipe(auth_boundary(stage.auth, on_unauth=lambda: None)).subscribe(
        scheduler=scheduler
    )
    assert heard == [scheduler]


# -- boundary --------------------------------------------------------------------------------


@staged()
async def test_a_predicate_that_raises_is_an_error_of_the_stream(stage: Stage) -> None:
    source = Source()
    bounded = Bounded(stage, source, is_auth_error=lambda e: e.response.status_code == 401)
    stage.client.sign_in("A")
    source.observer.on_error(OSError("no response here"))
    await stage.rest()
    assert len(bounded.seen.errors) == 1


@staged()
async def test_f2_a_client_whose_refetch_raises_anything_stalls_no_boundary(stage: Stage) -> None:
    source = Source()

    async def refetch() -> None:
        raise OSError("down")

    stage.client.refetch = refetch  # type: ignore[method-assign]
    Bounded(stage, source)
    stage.client.sign_in("A")
    source.observer.on_error(NotAuthenticated("401"))
    await asyncio.sleep(120)
    assert source.live == 1


@staged()
async def test_l11_after_an_observer_disposed_on_the_fallback_nothing_is_called(
    stage: Stage,
) -> None:
    unauths: list[int] = []
    boundary = auth_boundary(stage.auth, on_unauth=lambda: unauths.append(1), fallback="login")
    first = Seen(Source().stream().pipe(boundary, ops.take(1)))
    stage.client.sign_out()
    await stage.rest()
    assert first.values == ["login"]
    assert unauths == []


@staged()
async def test_s9_another_user_gets_a_subscription_of_their_own(stage: Stage) -> None:
    source = Source()
    bounded = Bounded(stage, source)
    stage.client.sign_in("A", "u1")
    of_first = source.observer
    stage.client.sign_in("B", "u2")
    of_first.on_next("of u1")
    assert "of u1" not in bounded.seen.values
    assert source.subscribed == 2


@staged()
async def test_k2_f4_streams_that_meet_one_dead_token_one_after_the_other_refresh_once(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")
    await stage.auth.fetch_access_token()
    sources = [Source() for _ in range(4)]
    for source in sources:
        Bounded(stage, source)
    asked = [source.observer for source in sources]  # all with the same token
    for observer in asked:
        await asyncio.sleep(2)
        observer.on_error(NotAuthenticated("401"))
    await asyncio.sleep(1)
    assert stage.auth.state.value.error is None
    assert len(stage.client.fetches) == 2


# -- derive ----------------------------------------------------------------------------------


@staged()
async def test_l4_an_observer_of_a_claim_that_raises_is_unsubscribed(stage: Stage) -> None:
    given: list[object] = []

    def observe(value: object) -> None:
        given.append(value)
        if value is not None:
            raise ValueError("an observer's own mistake")

    stage.client.sign_in("A")
    claim(stage.auth, "sub").subscribe(observe)
    await stage.rest()
    assert len(stage.reported) == 1
    assert not stage.auth.token.observed
    assert not stage.auth.state.observed
    stage.client.sign_out()
    assert given == [None, "u1"]


@staged()
async def test_l4_an_observer_of_a_claim_that_raises_on_sign_out_is_unsubscribed(
    stage: Stage,
) -> None:
    stage.client.sign_in("A")

    def observe(value: object) -> None:
        if given and value is None:
            raise ValueError("an observer's own mistake")
        if value is not None:
            given.append(value)

    given: list[object] = []
    claim(stage.auth, "sub").subscribe(observe)
    await stage.rest()
    stage.client.sign_out()
    assert len(stage.reported) == 1
    assert not stage.auth.token.observed
    assert not stage.auth.state.observed


@staged()
async def test_s9_sessions_without_a_user_share_no_claim(stage: Stage) -> None:
    role = claim(stage.auth, "role")
    first = Session("x")
    stage.client.then(stage.client.token_for(first, role="admin"))
    stage.client.show(SessionState.signed_in(first))
    await stage.auth.fetch_access_token()
    assert role.value == "admin"
    stage.client.show(SessionState.signed_in(Session("y")))
    assert stage.auth.token.value is None
    assert role.value is None


@staged()
async def test_l6_what_is_derived_tells_a_sign_out_that_an_earlier_observer_answers(
    stage: Stage,
) -> None:
    def again(state: Any) -> None:
        if state.status == "signed_out":
            stage.client.sign_in("B", "u1")

    stage.client.sign_in("A", "u1")
    plain = Seen(stage.auth.state, again)
    users = Seen(user(stage.auth))
    status = Seen(select(stage.auth.state, lambda state: state.status))
    stage.client.sign_out()
    await stage.rest()
    assert "signed_out" in [state.status for state in plain.values]
    assert status.values == ["signed_in", "signed_out", "signed_in"]
    assert [u and u.id for u in users.values] == ["u1", None, "u1"]


@staged()
async def test_a_function_that_raises_is_an_error_of_the_derived_stream(stage: Stage) -> None:
    names = Seen(select(stage.auth.state, lambda state: 1 // (state.status != "signed_in")))
    stage.client.sign_in("A")
    await stage.rest()
    assert [type(error) for error in names.errors] == [ZeroDivisionError]
    stage.client.sign_out()
    await stage.rest()
    assert names.values == [1]


# -- redirect --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("myapp:///cb?ott=x&a=b", "myapp:///cb?a=b"),
        ("HTTPS://App.example.com/?ott=x", "HTTPS://App.example.com/"),
        ("https://a/?ott=x#", "https://a/#"),
    ],
)
def test_what_is_left_of_the_url_is_letter_by_letter_as_it_was(url: str, clean: str) -> None:
    assert split_redirect(url) == (clean, "x")


# -- reject ----------------------------------------------------------------------------------


@staged()
async def test_f4_two_rejections_hours_apart_are_not_in_a_row(stage: Stage) -> None:
    stage.client.sign_in("A")
    for _ in range(3):
        first = await stage.auth.fetch_access_token()
        await asyncio.sleep(5)
        await stage.auth.fetch_access_token(rejected=first)  # fresh, and refused
        for _ in range(8):  # these are refused by nobody
            await asyncio.sleep(1800)
            assert await stage.auth.fetch_access_token() is not None
        await asyncio.sleep(1800)
