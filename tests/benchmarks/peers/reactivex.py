"""Bare reactivex: session, switch_map, replay; what one writes in ten minutes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, ClassVar

import httpx
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import BehaviorSubject, Subject

from .base import Hub, Peer, Rotor, Use, owner
from .server import PeerServer, oauth_answer

Fetch = Callable[[str], Awaitable[dict[str, Any]]]


class _Naive(Use):
    """The composition: refreshed by a timer, ahead of expiry; the last token is replayed."""

    def __init__(self, fetch: Fetch, user: str = "a") -> None:
        scheduler = AsyncIOScheduler(asyncio.get_running_loop())
        self._forced: Subject[object] = Subject()
        self.session: BehaviorSubject[str | None] = BehaviorSubject(user)

        def tokens(session: str | None) -> Observable[str | None]:
            if session is None:
                return reactivex.just(None)

            def fetched(_: object) -> Observable[str]:
                answer = asyncio.ensure_future(fetch(session))
                return reactivex.from_future(answer).pipe(ops.map(lambda a: a["access_token"]))

            due = reactivex.timer(0.0, 840.0, scheduler=scheduler)
            return reactivex.merge(due, self._forced).pipe(ops.switch_map(fetched))

        self.tokens = self.session.pipe(
            ops.distinct_until_changed(), ops.switch_map(tokens), ops.replay(1)
        )
        self.seen: str | None = None
        self.tokens.subscribe(self._see, lambda error: None)
        self.connection = self.tokens.connect()

    def _see(self, token: str | None) -> None:
        self.seen = token

    async def token(self) -> str | None:
        return await self.tokens.pipe(ops.first())

    async def force(self) -> str | None:
        if self.seen is None:
            await self.token()
        self._forced.on_next(None)
        return await self.tokens.pipe(ops.skip(1), ops.first())

    async def sign_out(self) -> None:
        self.session.on_next(None)

    async def switch(self, user: str) -> None:
        self.session.on_next(user)

    async def signed_in(self) -> bool:
        return self.session.value is not None

    def holds(self, user: str) -> bool:
        return owner(self.seen) == user


class _Rotor(Rotor):
    def __init__(self, use: _Naive) -> None:
        self._use = use
        self.observe = use.tokens.subscribe

    async def rotate(self, number: int) -> str | None:
        self._use.session.on_next(f"s{number}")
        # A read right now would be answered with the token of the session before.
        return await self._use.tokens.pipe(ops.skip(1), ops.first())


class _Hub(Hub):
    def __init__(self) -> None:
        subject: BehaviorSubject[int] = BehaviorSubject(0)
        self.observe = subject.subscribe
        self.emit = lambda: subject.on_next(1)


class _Reactivex(Peer):
    name = "bare reactivex"
    distribution = "reactivex"
    imports = "reactivex, reactivex.operators, reactivex.subject"
    path = "/oauth2/token"
    why: ClassVar[dict[str, str]] = {
        "threads": "confined to one event loop",
        "read": "`await tokens.pipe(first())`",
        "import": "without the HTTP client that it needs beside",
        "fan-out": "a BehaviorSubject",
        "rotate": "the session's subject, and the next token; fetched in the process",
        "clock": "refreshes by a timer, which stands still while the machine sleeps",
        "failure": "one error ends the stream, and is replayed to every later reader",
    }

    @contextlib.asynccontextmanager
    async def tasks(self, server: PeerServer) -> AsyncIterator[Use]:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:

            async def fetch(session: str) -> dict[str, Any]:
                answer = await http.post("/oauth2/token", data={"refresh_token": f"r.{session}"})
                answer.raise_for_status()
                return answer.json()  # type: ignore[no-any-return]

            use = _Naive(fetch)
            yield use
            use.connection.dispose()

    @contextlib.asynccontextmanager
    async def hub(self) -> AsyncIterator[Hub]:
        yield _Hub()

    @contextlib.asynccontextmanager
    async def rotor(self) -> AsyncIterator[Rotor]:
        use = _Naive(_fetch)
        await use.token()
        yield _Rotor(use)
        use.connection.dispose()

    async def hold(self, users: Sequence[str]) -> list[object]:
        kept = [_Naive(_fetch, user) for user in users]
        for use in kept:
            await use.token()
        return list(kept)


async def _fetch(session: str) -> dict[str, Any]:
    return oauth_answer(session, time.time())


PEER = _Reactivex()
