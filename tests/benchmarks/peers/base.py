"""What is asked of a peer; and how a peer is called the same way, blocking or not."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ClassVar

from reactive_auth.lease import read_claims

from .server import PeerServer

__all__ = ["Hub", "Peer", "Rotor", "Use", "call", "maybe", "opened", "owner"]

#: For blocking calls: more than any scenario makes at once.
_POOL = ThreadPoolExecutor(128, thread_name_prefix="peer")

Method = Callable[..., Any]


class Use:
    """One signed-in user (``a``) of a peer, whose token is missing or has expired.

    ``token`` gives a token, refreshed if need be; ``force`` a new one in any case; ``switch``
    signs in as another user; ``holds`` says whether a token of that user is cached. All of them
    coroutine functions, or all of them blocking. None: there is no such thing.
    """

    token: Method
    force: Method | None = None
    sign_out: Method | None = None
    switch: Method | None = None
    signed_in: Method | None = None
    holds: Callable[[str], bool] | None = None


class Rotor:
    """A peer that answers itself, with no socket: ``rotate(n)`` signs in as user n in place of the
    one before, and gives n's token."""

    rotate: Method
    #: Adds an observer of the changes; None where there is no such thing.
    observe: Callable[[Callable[..., None]], object] | None = None


class Hub:
    """A stream of changes: ``observe`` adds an observer, ``emit`` makes a change."""

    observe: Callable[[Callable[..., None]], object]
    emit: Callable[[], object]


class Peer:
    """An adapter. What a peer has not is left as it is here, and ``why`` says so."""

    #: The column's head, the distribution whose version is told, and what a program imports.
    name: ClassVar[str]
    distribution: ClassVar[str]
    imports: ClassVar[str]
    #: The route by which it gets tokens.
    path: ClassVar[str]
    #: Whether its asyncio API blocks the event loop: nothing can be raced against it there.
    blocks: ClassVar[bool] = False
    #: By measure, why it has no meaning here; or, where there is a figure, what it means.
    why: ClassVar[dict[str, str]] = {}

    def tasks(self, server: PeerServer) -> AbstractAsyncContextManager[Use] | None:
        """Its asyncio API."""
        return None

    def threads(self, server: PeerServer) -> AbstractContextManager[Use] | None:
        """Its blocking API."""
        return None

    def hub(self) -> AbstractAsyncContextManager[Hub] | None:
        """Its stream of changes."""
        return None

    def rotor(self) -> AbstractAsyncContextManager[Rotor] | None:
        """It, answering itself."""
        return None

    async def hold(self, users: Sequence[str]) -> list[object]:
        """One client for each user, signed in, its token cached, nothing under way."""
        raise NotImplementedError


async def call(method: Method, *args: object) -> Any:
    """Await a coroutine function; run a blocking one on a thread."""
    if inspect.iscoroutinefunction(method):
        return await method(*args)
    return await asyncio.get_running_loop().run_in_executor(_POOL, method, *args)


async def maybe(result: object) -> Any:
    """Await what can be awaited."""
    return await result if isinstance(result, Awaitable) else result


@contextlib.asynccontextmanager
async def opened(peer: Peer, server: PeerServer) -> AsyncIterator[Use]:
    """Its asyncio API where it has one, else its blocking one."""
    tasks = None if peer.blocks else peer.tasks(server)
    if tasks is not None:
        async with tasks as use:
            yield use
        return
    threads = peer.threads(server)
    assert threads is not None
    use = await call(threads.__enter__)
    try:
        yield use
    finally:
        await call(threads.__exit__, None, None, None)


def owner(token: str | None) -> str | None:
    """Whose token it is."""
    return None if token is None else str((read_claims(token) or {}).get("sessionId"))
