"""What the tests of the bridge share: a scripted provider, and what a query showed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import convex
from reactivex import Observable

from reactive_auth import AuthProvider, Session
from reactive_auth.convex import ConvexBridge, bind
from reactive_auth.policy import Backoff
from reactive_auth.testing import FakeAuthClient, FakeFetch

from .deployment import PATIENCE, Deployment


class Shown:
    """What an observable of results gave; waits for more of it."""

    def __init__(self, results: Observable[Any]) -> None:
        self.values: list[Any] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self._news = asyncio.Event()
        self.subscription = results.subscribe(self._next, self._error, self._done)

    @property
    def numbers(self) -> list[Any]:
        return [value["number"] for value in self.values if value is not None]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def number(self, number: int) -> None:
        """Until this is what it shows."""
        await self.until(lambda: self.numbers[-1:] == [number])

    def _next(self, value: Any) -> None:
        self.values.append(value)
        self._news.set()

    def _error(self, error: Exception) -> None:
        self.errors.append(error)
        self._news.set()

    def _done(self) -> None:
        self.completed += 1
        self._news.set()


class Source(FakeAuthClient):
    """Tells when a fetch begins."""

    def __init__(self, *, manual: bool) -> None:
        super().__init__(manual=manual)
        self._began = asyncio.Event()

    async def fetch_token(self, session: Session) -> Any:
        self._began.set()
        return await super().fetch_token(session)

    async def fetch(self) -> FakeFetch:
        """The one that is under way, or the next."""
        async with asyncio.timeout(PATIENCE):
            while not self.open_fetches:
                self._began.clear()
                await self._began.wait()
                await asyncio.sleep(0)
        return self.open_fetches[0]

    async def answer(self) -> None:
        """Answer it with a token."""
        fetch = await self.fetch()
        fetch.resolve(self.token_for(fetch.session))


@dataclass
class Scene:
    """A bound client of a deployment. Sessions are live while they are in ``live``."""

    deployment: Deployment
    fake: Source
    auth: AuthProvider[Source]
    client: convex.ConvexClient
    bridge: ConvexBridge
    live: set[str]
    reported: list[Exception] = field(default_factory=list)

    def show(self, path: str = "private:me", **how: Any) -> Shown:
        return Shown(self.bridge.query(path, **how))

    def sign_in(self, session: str, user: str = "u1") -> None:
        self.live.add(session)
        self.fake.sign_in(session, user)

    @property
    def token(self) -> str:
        token = self.auth.token.value
        assert token is not None
        return token.value

    def seen(self) -> list[tuple[str, str] | None]:
        """The tokens that arrived, as the session and the number of the fetch."""
        return [token and claims(token) for token in self.deployment.tokens()]

    async def sent(self, *tokens: tuple[str, str] | None) -> None:
        """Until exactly these arrived."""
        await self.deployment.until(lambda: self.seen()[-len(tokens) :] == list(tokens))
        assert self.seen() == list(tokens)


def claims(token: str) -> Any:
    from reactive_auth.lease import read_claims

    found = read_claims(token)
    assert found is not None
    return found["sessionId"], found["n"]


def on_stage(
    deployment: Deployment,
    play: Callable[[Scene], Awaitable[None]],
    *,
    manual: bool = False,
    by_url: bool = False,
    waits: float = 30.0,
    **options: Any,
) -> None:
    """Play a scene in real time, and see that it leaves no task and no error of the loop."""

    async def main() -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        live: set[str] = set()
        deployment.is_live = live.__contains__
        fake = Source(manual=manual)
        reported: list[Exception] = []
        client = None if by_url else convex.ConvexClient(deployment.url)
        backoff = Backoff(base=0.01, cap=0.05)
        async with AuthProvider(
            fake, backoff=backoff, timeout=waits, on_observer_error=reported.append
        ) as auth:
            with bind(auth, client or deployment.url, **options) as bridge:
                await play(Scene(deployment, fake, auth, bridge.client, bridge, live, reported))
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others
        assert not errors, errors
        assert not deployment.fatal

    asyncio.run(main())
