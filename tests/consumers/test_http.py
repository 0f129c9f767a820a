"""The token on HTTP requests, whichever of the two libraries makes them."""

from __future__ import annotations

import asyncio
import io
import itertools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import (
    AuthClosed,
    AuthProvider,
    AuthUnavailable,
    ConfigurationError,
    NotAuthenticated,
    bearer_auth,
    connect,
    connect_blocking,
    token_source,
)
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.embedded.issuer import Issuer
from reactive_auth.testing import FakeAuthClient, VirtualClock
from tests.core.support import Stage, play, staged

from .support import API, LIBRARIES, Resource

ELSEWHERE = "https://elsewhere.example.com"

library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda module: module.__name__)


def of_current_session(stage: Stage) -> Any:
    """What a resource server does that asks whether the session still lives."""

    def accepts(token: str) -> bool:
        current = stage.auth.token.value
        return current is not None and current.value == token

    return accepts


def client_of(stage: Stage, module: ModuleType, resource: Resource, **how: Any) -> Any:
    auth = bearer_auth(stage.auth, origins=[API], **how)
    return module.AsyncClient(transport=resource.transport(module), auth=auth, base_url=API)


@library
def test_the_current_token_is_attached_and_fetched_once_for_all(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(of_current_session(stage))
        async with client_of(stage, library, resource) as http:
            answers = await asyncio.gather(*(http.get("/") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(stage.client.fetches) == 1
        assert set(resource.tokens) == {stage.token}

    play(scenario)


@library
@given(readers=st.integers(1, 100))
def test_any_number_of_401s_at_once_make_one_refresh_and_none_is_seen(
    library: ModuleType, readers: int
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        resource = Resource(lambda token: token != old)
        async with client_of(stage, library, resource) as http:
            answers = await asyncio.gather(*(http.get("/") for _ in range(readers)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(stage.client.fetches) == 2
        assert resource.statuses.count(401) <= readers

    play(scenario)


@library
def test_r1_r6_a_request_that_a_rotation_overtakes_is_sent_again_with_the_new_token(
    library: ModuleType,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        resource = Resource(lambda token: token != old)

        def rotate() -> None:
            resource.before = None
            stage.client.sign_in("B")

        resource.before = rotate
        async with client_of(stage, library, resource) as http:
            answer = await http.post("/", content=b"the body")
        assert answer.status_code == 200
        assert resource.tokens == [old, stage.token]
        assert [body for _, _, body in resource.seen] == [b"the body"] * 2
        assert stage.auth.token.value is not None
        assert stage.auth.token.value.session_id == "B"

    play(scenario)


@library
def test_f4_a_second_401_is_the_answer(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: False)
        async with client_of(stage, library, resource) as http:
            assert (await http.get("/")).status_code == 401
        assert len(resource.seen) == 2

    play(scenario)


@library
def test_f4_a_server_that_refuses_every_token_makes_bounded_refreshes(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: False)
        async with client_of(stage, library, resource) as http:
            for _ in range(50):
                with pytest.raises(AuthUnavailable) if resource.seen else nullcontext():
                    await http.get("/")
        assert len(stage.client.fetches) <= 3

    play(scenario)


@library
def test_a_body_that_was_consumed_is_not_sent_again(library: ModuleType) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"once "
        yield b"only"

    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: False)
        async with client_of(stage, library, resource) as http:
            answer = await http.post("/", content=parts())
        assert answer.status_code == 401
        assert [body for _, _, body in resource.seen] == [b"once only"]

    play(scenario)


class Pipe(io.RawIOBase):
    """A file that cannot be read twice."""

    def __init__(self) -> None:
        self._left = [b"piped"]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""


@library
@pytest.mark.parametrize(("file", "sent"), [(b"bytes", 2), (io.BytesIO(b"a file"), 2), (Pipe(), 1)])
def test_a_form_of_files_is_sent_again_where_they_can_seek(
    library: ModuleType, file: Any, sent: int
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        old = await stage.auth.fetch_access_token()
        resource = Resource(lambda token: token != old)
        async with client_of(stage, library, resource) as http:
            await http.post("/", files={"file": file})
        bodies = [body for _, _, body in resource.seen]
        assert len(bodies) == sent
        assert len(set(bodies)) == 1

    play(scenario)


@library
def test_s4_no_request_to_an_origin_that_is_not_listed_is_sent(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: True)
        async with client_of(stage, library, resource) as http:
            for url in (ELSEWHERE, "http://api.example.com", f"{API}:8443", f"{API}.evil.com"):
                with pytest.raises(ConfigurationError, match="origins="):
                    await http.get(url)
        assert resource.seen == []
        assert stage.client.fetches == []

    play(scenario)


@library
def test_s4_no_token_follows_a_redirect_to_another_origin(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: True)
        resource.redirects = {"/away": f"{ELSEWHERE}/", "/here": f"{API}/there"}
        async with client_of(stage, library, resource) as http:
            away = await http.get("/away", follow_redirects=True)
            assert away.status_code == 401  # of the other origin: no reason for a refresh
            here = await http.get("/here", follow_redirects=True)
            assert here.status_code == 200
        mine = stage.token
        assert resource.tokens == [mine, None, mine, mine]
        assert len(stage.client.fetches) == 1

    play(scenario)


@library
def test_l13_signed_out_nothing_is_sent_or_it_goes_without_a_token(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        await stage.auth.fetch_access_token()
        resource = Resource(lambda token: True)
        strict = client_of(stage, library, resource)
        lenient = client_of(stage, library, resource, signed_out="send")
        stage.client.sign_out()
        async with strict, lenient:
            with pytest.raises(NotAuthenticated):
                await strict.get("/")
            assert resource.seen == []
            await lenient.get("/", headers={"authorization": "Bearer of somebody"})
            assert resource.tokens == [None]

    play(scenario)


@library
def test_l13_signed_out_while_a_request_is_under_way_it_is_not_sent_again(
    library: ModuleType,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        resource = Resource(lambda token: False)
        resource.before = stage.client.sign_out
        async with client_of(stage, library, resource) as http:
            with pytest.raises(NotAuthenticated):
                await http.get("/")
        assert len(resource.seen) == 1

    play(scenario)


@library
def test_f3_without_an_auth_server_and_when_closed_it_is_a_clear_error_in_bounded_time(
    library: ModuleType,
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.sign_in("A")
        stage.client.then_hang()
        resource = Resource(lambda token: True)
        async with client_of(stage, library, resource) as http:
            began = stage.clock.monotonic()
            with pytest.raises(AuthUnavailable):
                await http.get("/")
            assert stage.clock.monotonic() - began <= 30
            await stage.auth.aclose()
            with pytest.raises(AuthClosed):
                await http.get("/")

    play(scenario, timeout=10)


@library
def test_the_plain_callable_attaches_what_is_cached(library: ModuleType) -> None:
    async def scenario(stage: Stage) -> None:
        auth = bearer_auth(stage.auth, origins=[API])
        plain = lambda request: auth(request)  # noqa: E731  # what a client sees as no Auth
        resource = Resource(of_current_session(stage))
        transport = resource.transport(library)
        async with library.AsyncClient(transport=transport, auth=plain, base_url=API) as http:
            with pytest.raises(AuthUnavailable, match=r"auth\.token"):
                await http.get("/")
            stage.client.sign_in("A")
            stage.auth.token.subscribe(lambda token: None)
            await stage.rest()
            assert (await http.get("/")).status_code == 200
            stage.client.sign_out()
            with pytest.raises(NotAuthenticated):
                await http.get("/")

    play(scenario)


@library
def test_k13_threads_with_blocking_clients_share_one_refresh(
    library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two tokens of one second would be the same string.
    numbers, mint = itertools.count(), Issuer.mint
    monkeypatch.setattr(
        Issuer, "mint", lambda self, s, u, i: mint(self, s, {**u, "name": str(next(numbers))}, i)
    )
    server = EmbeddedServer()
    with (
        server.serve() as url,
        connect_blocking(url) as auth,
        ThreadPoolExecutor(16) as threads,
    ):
        auth.client.sign_up_email(email="k13@example.com", password="correct horse", name="K")
        old = auth.fetch_access_token()
        resource = Resource(lambda token: token != old)
        transport = resource.blocking_transport(library)
        together = threading.Barrier(16)
        before = server.count("/convex/token")
        with library.Client(
            transport=transport, auth=bearer_auth(auth, origins=API), base_url=API
        ) as http:

            def read(_: int) -> int:
                together.wait(10)
                return http.get("/").status_code

            assert set(threads.map(read, range(16))) == {200}
            plain = library.Request("GET", API)
            bearer_auth(auth, origins=API)(plain)
            assert plain.headers["authorization"] == f"Bearer {auth.token.value.value}"
        assert server.count("/convex/token") - before == 1
    server.close()


@library
def test_an_async_client_also_takes_a_blocking_provider(library: ModuleType) -> None:
    server = EmbeddedServer()
    with server.serve() as url, connect_blocking(url) as auth:
        auth.client.sign_up_email(email="mixed@example.com", password="correct horse", name="M")
        resource = Resource(lambda token: True)

        async def read() -> int:
            async with library.AsyncClient(
                transport=resource.transport(library),
                auth=bearer_auth(auth, origins=API),
                base_url=API,
            ) as http:
                return (await http.get("/")).status_code

        assert asyncio.run(read()) == 200
        assert asyncio.run(token_source(auth)()) == resource.tokens[0]
    server.close()


@staged()
async def test_a_blocking_client_with_an_async_provider_is_a_clear_error(stage: Stage) -> None:
    resource = Resource(lambda token: True)
    auth = bearer_auth(stage.auth, origins=[API])
    http = httpx.Client(transport=resource.blocking_transport(httpx), auth=auth)
    with http, pytest.raises(ConfigurationError, match="connect_blocking"):
        http.send(http.build_request("GET", API))  # noqa: ASYNC212
    assert resource.seen == []


def test_the_auth_servers_own_origin_is_the_default() -> None:
    async def main() -> None:
        async with connect("https://app.example.com:443/some/base", token_path="/token") as auth:
            assert repr(bearer_auth(auth)) == "<BearerAuth for https://app.example.com:443>"

    asyncio.run(main())


BAD: list[dict[str, Any]] = [
    {},  # this client has no origin of its own
    {"origins": []},
    {"origins": ["api.example.com"]},
    {"origins": ["https://api.example.com/path"]},
    {"origins": ["https://user:secret@api.example.com"]},
    {"origins": ["https://api.example.com?x=1"]},
    {"origins": ["ftp://api.example.com"]},
    {"origins": ["https://"]},
    {"origins": ["https://api.example.com:port"]},
    {"origins": [None]},
    {"origins": [API], "signed_out": "ignore"},
]


@pytest.mark.parametrize("how", BAD, ids=repr)
def test_what_can_never_work_is_refused_at_the_call(how: dict[str, Any]) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(ConfigurationError) as caught:
            bearer_auth(stage.auth, **how)
        assert "secret" not in str(caught.value)

    play(scenario)


@staged()
async def test_s2_its_repr_holds_no_secret(stage: Stage) -> None:
    stage.client.sign_in("A")
    token = await stage.auth.fetch_access_token()
    auth = bearer_auth(stage.auth, origins=[API])
    assert token is not None
    assert token not in repr(auth)
    assert token not in repr(vars(auth))


@staged()
async def test_a_token_source_has_the_shape_that_sdks_take(stage: Stage) -> None:
    source = token_source(stage.auth)
    stage.client.sign_in("A")
    first = await source()
    assert await source() == first
    assert await source(force_refresh=True) != first
    assert len(stage.client.fetches) == 2
    stage.client.sign_out()
    with pytest.raises(NotAuthenticated):
        await source()


def test_without_httpx2_only_httpx_is_spoken_to() -> None:
    # In another process: whether httpx2 was imported decides about the class.
    code = (
        "import sys, asyncio, reactive_auth as r\n"
        "async def main():\n"
        "    async with r.connect('https://app.example.com') as auth:\n"
        "        assert type(r.bearer_auth(auth)) is r.BearerAuth\n"
        "        assert 'httpx2' not in sys.modules\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    provider = AuthProvider(FakeAuthClient(VirtualClock()))
    assert httpx2.Auth in type(bearer_auth(provider, origins=API)).__mro__
