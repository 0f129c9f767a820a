"""What the bridge makes of silence, over hours of virtual time and a client that is none."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from reactive_auth.convex import bind
from reactive_auth.convex.line import Line
from tests.core.support import Stage, staged


class Watch:
    """What ``watch_all`` gives: something each time the deployment is heard."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __anext__(self) -> dict[str, Any]:
        self._client.waiting = asyncio.get_running_loop().create_future()
        return await self._client.waiting


class Client:
    """Remembers what was set, and when."""

    def __init__(self) -> None:
        self.set: list[tuple[float, str | None]] = []
        self.waiting: asyncio.Future[dict[str, Any]] | None = None

    def set_auth(self, token: str) -> None:
        self.set.append((asyncio.get_running_loop().time(), token))

    def clear_auth(self) -> None:
        self.set.append((asyncio.get_running_loop().time(), None))

    def subscribe(self, name: str, args: Any = None) -> Any:
        raise AssertionError("subscribed without an answer")

    def watch_all(self) -> Watch:
        return Watch(self)

    def answer(self) -> None:
        assert self.waiting is not None
        self.waiting.set_result({})

    @property
    def intervals(self) -> list[float]:
        times = [at for at, _ in self.set]
        return [later - at for at, later in itertools.pairwise(times)]


@staged(lifetime=86_400.0)
async def test_f4_unanswered_tokens_are_replaced_ever_more_rarely(stage: Stage) -> None:
    client = Client()
    with bind(stage.auth, client, patience=10):
        stage.client.sign_in("A")
        await asyncio.sleep(3600)
        assert [round(pause) for pause in client.intervals[:7]] == [10, 20, 40, 80, 160, 320, 320]
        tokens = [token for _, token in client.set]
        assert len(set(tokens)) == len(tokens) == len(stage.client.fetches) < 20


@staged(lifetime=86_400.0)
async def test_f4_an_answer_ends_the_doubling(stage: Stage) -> None:
    client = Client()
    with bind(stage.auth, client, patience=10):
        stage.client.sign_in("A")
        await asyncio.sleep(100)
        client.answer()
        await asyncio.sleep(1000)
        count = len(client.set)
        stage.client.sign_in("B")
        await asyncio.sleep(15)
        assert len(client.set) == count + 2
        assert round(client.intervals[-1]) == 10


@staged(lifetime=86_400.0)
async def test_r8_the_same_token_again_is_not_set_again(stage: Stage) -> None:
    client = Client()
    with bind(stage.auth, client, patience=10):
        stage.client.sign_in("A")
        await stage.rest()
        for _ in range(4):
            stage.client.then(stage.token)
        await asyncio.sleep(300)
        assert len(stage.client.fetches) == 5
        assert [token for _, token in client.set] == [stage.token]


@staged(lifetime=86_400.0)
async def test_silence_evicts_no_token(stage: Stage) -> None:
    """An outage of the deployment is no reason to leave others without a token."""
    with bind(stage.auth, Client(), patience=10):
        stage.client.sign_in("A")
        await stage.rest()
        token = stage.token
        for _ in range(3):
            stage.client.then(OSError("that one is away, too"))
        had: list[bool] = []
        stage.auth.state.subscribe(lambda state: had.append(state.has_token))
        await asyncio.sleep(10.01)
        assert stage.token == token
        assert all(had)


@staged(lifetime=86_400.0)
async def test_the_heartbeat_asks_only_after_silence(stage: Stage) -> None:
    client = Client()
    with bind(stage.auth, client, heartbeat=60) as bridge:
        stage.client.sign_in("A")
        await stage.rest()
        client.answer()
        line: Line = bridge._line
        await asyncio.sleep(50)
        line.hear()
        await asyncio.sleep(50)
        assert len(client.set) == 1
        await asyncio.sleep(15)
        assert len(client.set) == 2
        assert client.set[0][1] == client.set[1][1]
        client.answer()
        await asyncio.sleep(120)
        assert len(client.set) > 2


@staged(lifetime=86_400.0)
async def test_nothing_runs_on_after_dispose_or_sign_out(stage: Stage) -> None:
    client = Client()
    with bind(stage.auth, client, patience=10, heartbeat=10):
        stage.client.sign_in("A")
        await stage.rest()
        stage.client.sign_out()
        await asyncio.sleep(3600)
        assert [token is None for _, token in client.set] == [False, True]
        assert len(stage.client.fetches) == 1
        stage.client.sign_in("B")
        await stage.rest()
    await asyncio.sleep(3600)
    assert [token is None for _, token in client.set] == [False, True, False, True]
    assert len(stage.client.fetches) == 2


@staged(lifetime=86_400.0)
async def test_a_push_from_another_thread_is_not_repeated_while_the_loop_has_not_heard_of_it(
    stage: Stage,
) -> None:
    client = Client()
    with bind(stage.auth, client) as bridge:
        line: Line = bridge._line
        to_come: list[Any] = []
        line._on_loop = lambda *call: to_come.append(call)
        stage.client.sign_in("A")
        await stage.rest()
        waiting = asyncio.ensure_future(line.up("A"))
        await stage.rest()
        assert len(client.set) == 1
        del line._on_loop
        for call, *arguments in to_come:
            call(*arguments)
        await stage.rest()
        client.answer()
        assert await waiting == stage.auth.token.value
        assert len(client.set) == 1
