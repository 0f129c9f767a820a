"""A sign-out and an account switch while a refresh is under way, and a refresh that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ..compare import Cell, Comparison
from .base import Peer, Use, call, opened, owner
from .server import PeerServer
from .sizes import Sizes

__all__ = ["run"]

#: How long an answer is waited for that may never come (seconds).
_PATIENCE = 10.0
#: How long a read may take that need not wait for the refresh under way (seconds).
_SOON = 1.0


async def run(table: Comparison, peers: list[Peer], server: PeerServer, sizes: Sizes) -> None:
    # Which of the two it is decides what some peers do, so both are told.
    for force, kind in ((False, "an ordinary"), (True, "a forced")):
        ends = {peer.name: await _sign_out(peer, server, sizes.later, force) for peer in peers}
        _rows(
            table,
            ends,
            f"sign-out during {kind} refresh, {sizes.later:g} s after: signed in",
            f"  a token is served then ({kind} refresh)",
        )
    for force, kind in ((False, "an ordinary"), (True, "a forced")):
        switches = {peer.name: await _switch(peer, server, force) for peer in peers}
        _rows(
            table,
            switches,
            f"switch from user A to B during {kind} refresh of A: its caller gets the token of",
            f"  one who asks right after the switch gets ({kind} refresh)",
            f"  one who asks when A's answer is in gets ({kind} refresh)",
            f"  A's token is cached then ({kind} refresh)",
        )
    fails = {peer.name: await _failure(peer, server) for peer in peers}
    _rows(table, fails, "one 503 to a refresh: the caller gets", "  the next one gets")


def _rows(table: Comparison, found: dict[str, list[Cell]], *measures: str) -> None:
    for index, measure in enumerate(measures):
        table.add(measure, {peer: cells[index] for peer, cells in found.items()}, "least")


@contextlib.asynccontextmanager
async def _refreshing(
    use: Use, peer: Peer, server: PeerServer, force: bool, user: str = "a"
) -> AsyncIterator[asyncio.Future[object]]:
    """A refresh whose request has come in and is answered when the block ends: forced
    while the old token is still good, or begun by a read that found none."""
    method = use.force if force else use.token
    assert method is not None
    if force:
        await call(use.token)
    before = server.requests[peer.path]
    server.hold(user)
    try:
        refresh = asyncio.ensure_future(call(method))
        await call(server.wait_for, peer.path, before + 1)
        yield refresh
    finally:
        server.release(user)
    await asyncio.wait([refresh], timeout=_PATIENCE)


async def _sign_out(peer: Peer, server: PeerServer, later: float, force: bool) -> list[Cell]:
    async with opened(peer, server) as use:
        if use.sign_out is None or use.signed_in is None:
            return [Cell("–", note=peer.why["sign-out"])] * 2
        if force and use.force is None:
            return [Cell("–", note=peer.why["force"])] * 2
        async with _refreshing(use, peer, server, force) as refresh:
            signing_out = asyncio.ensure_future(call(use.sign_out))
            await asyncio.wait([signing_out], timeout=_SOON)
        await asyncio.sleep(later)
        # Where nothing says so but the cache, look before anything is asked of it.
        signed_in = bool(await call(use.signed_in))
        before = server.requests[peer.path]
        served = await _answer(use)
        text = "no" if served in (None, "") else "yes"
        if text == "yes" and server.requests[peer.path] > before:
            text = "a new one"
        await asyncio.gather(refresh, signing_out, return_exceptions=True)
        note = peer.why.get("sign-out", "")
        return [
            Cell("yes" if signed_in else "no", float(signed_in), note),
            Cell(text, float(text != "no"), note),
        ]


async def _switch(peer: Peer, server: PeerServer, force: bool) -> list[Cell]:
    async with opened(peer, server) as use:
        if use.switch is None or use.holds is None:
            return [Cell("–", note=peer.why["switch"])] * 4
        if force and use.force is None:
            return [Cell("–", note=peer.why["force"])] * 4
        async with _refreshing(use, peer, server, force) as refresh:
            await call(use.switch, "b")
            soon = asyncio.ensure_future(_answer(use))
            await asyncio.wait([soon], timeout=_SOON)
            held_up = not soon.done()
        early = await asyncio.gather(refresh, return_exceptions=True)
        waited = early[0] if isinstance(early[0], str) else None
        then = await _answer(use)
        cached = use.holds("a")
        note = peer.why.get("switch", "")
        return [
            _owned(waited if waited is not None else _failed(early[0]), note),
            _owned(await soon, note, ", after A's" if held_up else ""),
            _owned(then, note),
            Cell("yes" if cached else "no", float(cached), note),
        ]


async def _failure(peer: Peer, server: PeerServer) -> list[Cell]:
    async with opened(peer, server) as use:
        server.failures = 1
        first = await _answer(use)
        server.failures = 0
        second = await _answer(use)
        note = peer.why.get("failure", "")
        return [_got(first, note), _got(second, note)]


async def _answer(use: Use) -> str | None:
    """A token, None, or the name of an error."""
    try:
        token = await asyncio.wait_for(call(use.token), _PATIENCE)
    except Exception as error:
        return _failed(error)
    return token  # type: ignore[no-any-return]


def _failed(error: object) -> str | None:
    return f"error {type(error).__name__}" if isinstance(error, BaseException) else None


def _owned(answer: str | None, note: str, remark: str = "") -> Cell:
    if answer is None or answer.startswith("error"):
        return Cell((answer or "nothing") + remark, 1.0, note)
    user = str(owner(answer)).upper()
    return Cell(user + remark, float(user != "B"), note)


def _got(answer: str | None, note: str) -> Cell:
    if answer is None or answer.startswith("error"):
        return Cell(answer or "nothing", 1.0, note)
    return Cell("a token", 0.0, note)
