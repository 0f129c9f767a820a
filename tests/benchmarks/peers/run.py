"""All measures of the peers that are there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from ..compare import Comparison
from ..server import serve
from . import NAMES, clocks, footprint, load, races, requests, speed
from .base import Peer
from .server import PeerServer
from .sizes import FULL, Sizes

__all__ = ["PARTS", "compare"]

PARTS = ("requests", "races", "clocks", "speed", "footprint")


def compare(
    names: Iterable[str] = NAMES, sizes: Sizes = FULL, parts: Iterable[str] = PARTS
) -> Comparison:
    """Measure them side by side. Raises ImportError where one is not installed."""
    wanted = set(parts)
    # What they warn about (a full connection pool, a retry) is counted, not shown.
    logging.disable(logging.CRITICAL)
    try:
        peers = {name: load(name) for name in names}
        table = Comparison([peer.name for peer in peers.values()])
        asyncio.run(_measure(table, list(peers.values()), sizes, wanted))
        if "footprint" in wanted:
            footprint.run(table, peers, sizes)
        return table
    finally:
        logging.disable(logging.NOTSET)


async def _measure(table: Comparison, peers: list[Peer], sizes: Sizes, wanted: set[str]) -> None:
    with serve(PeerServer(sizes.latency)) as server:
        if "requests" in wanted:
            await requests.run(table, peers, server, sizes)
        if "races" in wanted:
            await races.run(table, peers, server, sizes)
        server.latency = 0.0
        if "clocks" in wanted:
            await clocks.run(table, peers, server, sizes)
        if "speed" in wanted:
            await speed.run(table, peers, server, sizes)
