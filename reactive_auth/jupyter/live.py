"""One live provider for each server, however often its cell is run (HAZARDS U9)."""

from __future__ import annotations

import asyncio
from typing import Unpack

from ..client import BetterAuthClient
from ..connect import ConnectOptions
from ..connect import connect as connect_anew
from ..provider import AuthProvider

__all__ = ["connect"]

_Live = tuple[AuthProvider[BetterAuthClient], ConnectOptions]

#: Of this kernel. A notebook has one namespace and one user.
_live: dict[str, _Live] = {}


def connect(url: str, **options: Unpack[ConnectOptions]) -> AuthProvider[BetterAuthClient]:
    """As :func:`reactive_auth.connect`, for a cell that is run more than once.

    Called again for the same URL with equal options it returns the provider there is, still
    signed in; with other options that one is closed first, in the background.
    """
    known = _live.get(url)
    if known is not None and not known[0].closed:
        if known[1] == options:
            return known[0]
        _close(known[0])
    made = connect_anew(url, **options)
    _live[url] = (made, options)
    return made


def _close(provider: AuthProvider[BetterAuthClient]) -> None:
    closing = asyncio.ensure_future(provider.aclose())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
