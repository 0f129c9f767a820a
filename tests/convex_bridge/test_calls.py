"""Functions over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import convex
import httpx
import pytest

from reactive_auth import (
    AuthProvider,
    AuthRejected,
    AuthTimeout,
    AuthUnavailable,
    ConfigurationError,
)
from reactive_auth.convex import ConvexFunctions, functions
from tests.core.support import Stage, play

URL = "https://happy-animal-123.convex.cloud"


class Http(httpx.AsyncBaseTransport):
    """A deployment's HTTP side; answers with what it is given, else with success."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, Any, str | None]] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        self.requests.append((request.url.path, body, request.headers.get("authorization")))
        if self.before is not None:
            await self.before()
        answer = self.answers.pop(0) if self.answers else success(None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def tokens(self) -> list[str | None]:
        return [header and header.removeprefix("Bearer ") for _, _, header in self.requests]


def success(value: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "value": value, "logLines": []})


def threw(message: str, *data: Any, status: int = 560) -> httpx.Response:
    body = {"status": "error", "errorMessage": message, "logLines": []}
    return httpx.Response(status, json={**body, "errorData": data[0]} if data else body)


def unauthenticated() -> httpx.Response:
    return threw("Uncaught ConvexError: Unauthenticated", "Unauthenticated")


def on_stage(
    http: Http, scenario: Callable[[Stage, ConvexFunctions], Awaitable[None]], **options: Any
) -> None:
    async def run(stage: Stage) -> None:
        await scenario(stage, functions(stage.auth, URL, transport=http, **options))

    play(run)


@pytest.mark.parametrize("kind", ["query", "mutation", "action"])
def test_a_call_carries_the_token_and_converts_values(kind: str) -> None:
    http = Http(success({"big": {"$integer": "AQAAAAAAAAA="}, "raw": {"$bytes": "AQI="}}))

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_in("A")
        value = await getattr(deployment, kind)("messages:send", {"n": 1.5, "raw": b"\x01\x02"})
        assert value == {"big": convex.ConvexInt64(1), "raw": b"\x01\x02"}
        [(path, body, header)] = http.requests
        assert path == f"/api/{kind}"
        assert body["path"] == "messages:send"
        assert body["args"] == {"n": 1.5, "raw": {"$bytes": "AQI="}}
        assert header == f"Bearer {stage.token}"

    on_stage(http, scenario)


def test_signed_out_calls_go_without_a_token() -> None:
    http = Http()

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_out()
        await deployment.query("public:x")
        assert http.tokens == [None]

    on_stage(http, scenario)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("action", httpx.Response(401, json={"code": "InvalidAuthHeader", "message": "no"})),
        ("mutation", httpx.Response(401, json={"code": "InvalidAuthHeader", "message": "no"})),
        ("mutation", unauthenticated()),
        ("query", unauthenticated()),
    ],
)
def test_a_refused_call_is_sent_once_more_with_a_new_token(
    kind: str, answer: httpx.Response
) -> None:
    http = Http(answer, success(7.0))

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_in("A")
        assert await getattr(deployment, kind)("messages:send") == 7.0
        first, second = http.tokens
        assert first != second == stage.token

    on_stage(http, scenario)


def test_r4_a_call_that_meets_a_rotation_waits_for_the_new_session() -> None:
    http = Http(unauthenticated(), success("B"))

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        async def rotate() -> None:
            http.before = None
            stage.client.hold()
            asyncio.get_running_loop().call_later(1, stage.client.sign_in, "B")

        stage.client.sign_in("A")
        http.before = rotate
        assert await deployment.mutation("messages:send") == "B"
        assert http.tokens[-1] == stage.token
        assert stage.auth.session.value.session.id == "B"

    on_stage(http, scenario)


def test_an_action_that_threw_is_not_repeated() -> None:
    http = Http(unauthenticated())

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_in("A")
        with pytest.raises(convex.ConvexError) as caught:
            await deployment.action("messages:send")
        assert caught.value.data == "Unauthenticated"
        assert len(http.requests) == 1

    on_stage(http, scenario)


def test_f4_a_fresh_token_that_is_refused_too_is_the_end() -> None:
    no = httpx.Response(401, json={"code": "InvalidAuthHeader", "message": "no"})
    http = Http(no, no, no)

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_in("A")
        with pytest.raises(AuthRejected) as caught:
            await deployment.query("messages:list")
        assert (caught.value.status, caught.value.code) == (401, "InvalidAuthHeader")
        assert len(http.requests) == 2

    on_stage(http, scenario)


def test_r8_a_call_is_not_sent_again_with_the_same_token() -> None:
    http = Http(unauthenticated())

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_in("A")
        stage.client.then(await stage.auth.fetch_access_token())
        with pytest.raises(convex.ConvexError):
            await deployment.query("messages:list")
        assert len(http.requests) == 1

    on_stage(http, scenario)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (threw("full", {"code": "FULL"}), convex.ConvexError),
        (threw("full", {"code": "FULL"}, status=200), convex.ConvexError),
        (threw("[Request ID: 1] Server Error"), convex.ConvexExecutionError),
        (httpx.Response(404, json={"code": "NotFound", "message": "no"}), AuthRejected),
        (httpx.Response(400, text="no"), AuthRejected),
        (httpx.Response(429, json={"code": "TooMany", "message": "later"}), AuthUnavailable),
        (httpx.Response(503, text="<html>"), AuthUnavailable),
        (httpx.Response(200, text="<html>"), AuthUnavailable),
        (httpx.Response(200, json=[1]), AuthUnavailable),
        (httpx.Response(200, content=b"\xff\xfe\xff"), AuthUnavailable),
        (httpx.ConnectError("refused"), AuthUnavailable),
        (httpx.ReadTimeout("slow"), AuthTimeout),
    ],
)
def test_f6_each_answer_has_one_outcome(
    answer: httpx.Response | Exception, expected: type[Exception]
) -> None:
    http = Http(answer)

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        stage.client.sign_in("A")
        with pytest.raises(expected) as caught:
            await deployment.mutation("messages:send")
        assert type(caught.value) is expected
        assert len(http.requests) == 1
        assert str(stage.token) not in repr(caught.value) + str(caught.value)

    on_stage(http, scenario)


@pytest.mark.parametrize(
    "url", ["", "convex.cloud", "ftp://x.convex.cloud", "http://x.convex.cloud", None, "http://["]
)
def test_a_url_to_which_no_token_may_go_fails_at_the_call(url: Any) -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(ConfigurationError):
            functions(stage.auth, url)

    play(scenario)


def test_bad_arguments_fail_at_the_call() -> None:
    http = Http()

    async def scenario(stage: Stage, deployment: ConvexFunctions) -> None:
        with pytest.raises(ConfigurationError):
            functions(object(), URL)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            functions(stage.auth, URL, timeout=0)
        with pytest.raises(ConfigurationError):
            await deployment.query("")
        with pytest.raises(ConfigurationError):
            await deployment.query("a:b", [1])  # type: ignore[arg-type]
        assert repr(deployment) == "<ConvexFunctions at happy-animal-123.convex.cloud>"
        assert isinstance(stage.auth, AuthProvider)
        assert not http.requests

    on_stage(http, scenario)
