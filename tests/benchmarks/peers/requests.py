"""How many token requests are made when many call at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from ..compare import Cell, Comparison
from .base import Peer, call
from .server import PeerServer
from .sizes import Sizes

__all__ = ["run"]


async def run(table: Comparison, peers: list[Peer], server: PeerServer, sizes: Sizes) -> None:
    for callers in sizes.tasks:
        cells = {peer.name: await _tasks(peer, server, callers) for peer in peers}
        table.add(f"token requests: {_of(callers, 'task')}, no valid token", cells, "least")
    for callers in sizes.threads:
        cells = {peer.name: await _threads(peer, server, callers) for peer in peers}
        table.add(f"token requests: {_of(callers, 'thread')}, no valid token", cells, "least")
    many = sizes.forced
    cells = {peer.name: await _tasks(peer, server, many, force=True) for peer in peers}
    table.add(f"token requests: {many:,} tasks that force a refresh", cells, "least")
    many = min(sizes.forced, sizes.threads[-1])
    cells = {peer.name: await _threads(peer, server, many, force=True) for peer in peers}
    table.add(f"token requests: {many:,} threads that force a refresh", cells, "least")


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count > 1)}"


async def _tasks(peer: Peer, server: PeerServer, callers: int, *, force: bool = False) -> Cell:
    opened = peer.tasks(server)
    if opened is None:
        return Cell("–", note=peer.why["tasks"])
    async with opened as use:
        if force:
            if use.force is None:
                return Cell("–", note=peer.why["force"])
            await use.token()
        method = use.force if force else use.token
        before = server.requests[peer.path]
        calls = [method() for _ in range(callers)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        return _count(peer, server.requests[peer.path] - before, answers, "tasks", force)


async def _threads(peer: Peer, server: PeerServer, callers: int, *, force: bool = False) -> Cell:
    opened = peer.threads(server)
    if opened is None:
        return Cell("–", note=peer.why["threads"])

    def measure() -> Cell:
        with opened as use, ThreadPoolExecutor(callers) as pool:
            if force:
                if use.force is None:
                    return Cell("–", note=peer.why["force"])
                use.token()
            method = use.force if force else use.token
            together = threading.Barrier(callers)

            def one(_: int) -> object:
                together.wait()
                try:
                    return method()
                except Exception as error:
                    return error

            before = server.requests[peer.path]
            answers = list(pool.map(one, range(callers)))
            return _count(peer, server.requests[peer.path] - before, answers, "threads", force)

    return await call(measure)  # type: ignore[no-any-return]


def _count(peer: Peer, made: int, answers: list[object], kind: str, force: bool) -> Cell:
    failed = sum(not isinstance(answer, str) for answer in answers)
    note = peer.why.get("force" if force else kind, "")
    if not failed:
        return Cell(f"{made:,}", made, note)
    # Callers left without a token: no count of requests makes that better or worse than another.
    causes = Counter(
        type(answer.__cause__ or answer).__name__ if isinstance(answer, Exception) else "no token"
        for answer in answers
        if not isinstance(answer, str)
    )
    told = ", ".join(f"{count:,} {name}" for name, count in causes.most_common())
    why = f"callers that failed: {told}; the server shares process and machine with them"
    return Cell(f"{made:,}, {failed:,} failed", None, f"{note}; {why}" if note else why)
