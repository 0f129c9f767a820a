"""A local clock that is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

from reactive_auth.lease import read_claims

from ..compare import Cell, Comparison, number
from .base import Peer, call, opened
from .server import LIFETIME, PeerServer
from .sizes import Sizes

__all__ = ["run"]

_HOUR = 3600.0
#: Longer than a token lives.
_NAP = LIFETIME + 100.0


async def run(table: Comparison, peers: list[Peer], server: PeerServer, sizes: Sizes) -> None:
    reads = sizes.clock_reads
    for skew, nap, what, best in (
        (_HOUR, 0.0, f"clock 1 h ahead: requests for {reads} reads", _requests),
        (0.0, _NAP, f"{_NAP:,.0f} s asleep: expired tokens in {reads} reads", _expired),
        (-_HOUR, _NAP, f"  the same, clock 1 h behind: expired tokens in {reads} reads", _expired),
    ):
        cells = {peer.name: await _reads(peer, server, skew, nap, reads, best) for peer in peers}
        table.add(what, cells, "least")


Count = Callable[[PeerServer, Peer, int, list[str]], int]


async def _reads(
    peer: Peer, server: PeerServer, skew: float, nap: float, reads: int, count: Count
) -> Cell:
    """Read that often, on a wall clock that is off, after it jumped by ``nap`` seconds: what a
    sleep of the machine looks like, in which the monotonic clock stands still."""
    import time_machine

    with time_machine.travel(time.time() + skew, tick=True) as clock:
        server.skew = skew
        try:
            async with opened(peer, server) as use:
                await call(use.token)
                clock.shift(nap)
                before = server.requests[peer.path]
                tokens = [await call(use.token) for _ in range(reads)]
                found = count(server, peer, before, tokens)
        except Exception as error:
            return Cell(f"error {type(error).__name__}", float(reads), peer.why.get("clock", ""))
        finally:
            server.skew = 0.0
    return number(found, peer.why.get("clock", ""))


def _requests(server: PeerServer, peer: Peer, before: int, tokens: list[str]) -> int:
    return server.requests[peer.path] - before


def _expired(server: PeerServer, peer: Peer, before: int, tokens: list[str]) -> int:
    claims = [read_claims(token) or {} for token in tokens]
    return sum(float(str(claim["exp"])) <= server.now for claim in claims)
