"""Twenty readers, ten password changes that revoke all other sessions: what the readers are shown.

The functions look the session up, as the Better Auth component does: the instant the old session
is deleted all of them are run again and fail, before the client has heard of the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import convex
import httpx
import pytest
from reactivex.disposable import CompositeDisposable

from reactive_auth import AccessToken, AuthProvider, connect
from reactive_auth.convex import bind
from reactive_auth.embedded import EmbeddedServer

from .deployment import Deployment
from .support import Shown

READERS = [f"private:reader{number}" for number in range(20)]
ROTATIONS = 10


class Rotating(httpx.AsyncBaseTransport):
    """Has the deployment's functions run again before an answer that rotated the session."""

    def __init__(self, server: EmbeddedServer, deployment: Deployment) -> None:
        self._inner = server.transport
        self._deployment = deployment

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if request.url.path.endswith("/change-password"):
            await asyncio.to_thread(self._deployment.rerun)
        return response


def rotate(
    deployment: Deployment,
    watch: Callable[[AuthProvider[Any], convex.ConvexClient], Awaitable[Watching]],
) -> Watching:
    async def main() -> Watching:
        server = EmbeddedServer()
        deployment.is_live = lambda session: session in server.sessions()
        transport = Rotating(server, deployment)
        async with connect(server.url, transport=transport) as auth:
            await auth.client.sign_up_email(email="a@example.com", name="Ada", password="password0")
            watching = await watch(auth, convex.ConvexClient(deployment.url))
            for turn in range(ROTATIONS):
                await auth.client.change_password(
                    current_password=f"password{turn}",
                    new_password=f"password{turn + 1}",
                    revoke_other_sessions=True,
                )
                for path in READERS:
                    deployment.set(path, turn + 1)
                await watching.reach(turn + 1)
            watching.end()
        deployment.is_live = lambda session: False
        server.close()
        return watching

    return asyncio.run(main())


class Watching:
    """What the readers were shown; errors and gaps are counted."""

    def reach(self, number: int) -> Awaitable[None]:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    @property
    def errors(self) -> int:
        raise NotImplementedError

    @property
    def gaps(self) -> int:
        raise NotImplementedError


class Bridged(Watching):
    def __init__(self, auth: AuthProvider[Any], client: convex.ConvexClient) -> None:
        self.bridge = bind(auth, client)
        self.shown = [Shown(self.bridge.query(path)) for path in READERS]

    async def reach(self, number: int) -> None:
        for shown in self.shown:
            await shown.number(number)

    def end(self) -> None:
        self.bridge.dispose()

    @property
    def errors(self) -> int:
        return sum(len(shown.errors) for shown in self.shown)

    @property
    def gaps(self) -> int:
        return sum(shown.values[1:].count(None) for shown in self.shown)


class Naive(Watching):
    """What one would write: set the token when there is one, clear it when there is none."""

    def __init__(self, auth: AuthProvider[Any], client: convex.ConvexClient) -> None:
        self.client = client
        self.found = 0
        self.numbers = dict.fromkeys(READERS, -1.0)
        self.news = asyncio.Event()
        self.subscription: Any = CompositeDisposable()
        self.auth = auth
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        watch = self.client.watch_all()
        self.subscription.add(self.auth.token.subscribe(self.push))
        await watch.__anext__()
        self.tasks = [asyncio.ensure_future(self.read(path)) for path in READERS]

    def push(self, token: AccessToken | None) -> None:
        if token is None:
            self.client.clear_auth()
        else:
            self.client.set_auth(token.value)

    async def read(self, path: str) -> None:
        subscription = self.client.subscribe(path)
        while True:
            try:
                self.numbers[path] = (await subscription.__anext__())["number"]
            except convex.ConvexError:
                self.found += 1
            self.news.set()

    async def reach(self, number: int) -> None:
        async with asyncio.timeout(30):
            while set(self.numbers.values()) != {number}:
                self.news.clear()
                await self.news.wait()

    def end(self) -> None:
        self.subscription.dispose()
        for task in self.tasks:
            task.cancel()

    @property
    def errors(self) -> int:
        return self.found

    @property
    def gaps(self) -> int:
        return 0


def test_r6_ten_password_changes_under_twenty_queries_show_no_error_and_no_gap(
    deployment: Deployment,
) -> None:
    async def watch(auth: AuthProvider[Any], client: convex.ConvexClient) -> Watching:
        watching = Bridged(auth, client)
        await watching.reach(0)
        return watching

    watching = rotate(deployment, watch)
    assert (watching.errors, watching.gaps) == (0, 0)
    # They were there to be shown: the client was sent an error for each query and rotation.
    assert sum(deployment.failed) >= len(READERS) * ROTATIONS
    deployment.wait(lambda: deployment.tokens()[-1] is None)
    tokens = deployment.tokens()
    assert len(tokens) == len(set(tokens)) == ROTATIONS + 2  # the first one's, and the end


@pytest.mark.parametrize("tells_none", [True, False])
def test_without_the_bridge_the_same_shows_errors(deployment: Deployment, tells_none: bool) -> None:
    async def watch(auth: AuthProvider[Any], client: convex.ConvexClient) -> Watching:
        watching = Naive(auth, client)
        if not tells_none:
            watching.push = lambda token: token and client.set_auth(token.value)  # type: ignore
        await watching.start()
        await watching.reach(0)
        return watching

    watching = rotate(deployment, watch)
    assert watching.errors >= len(READERS)
