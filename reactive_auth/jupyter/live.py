"""One live provider for each server, however often its cell is run (HAZARDS U9)."""

from __future__ import annotations

import asyncio
import threading
from typing import Unpack
from weakref import WeakKeyDictionary

from ..client import BetterAuthClient
from ..connect import ConnectOptions
from ..connect import connect as connect_anew
from ..provider import AuthProvider
from ..secrecy import discreet_call

__all__ = ["connect"]

_Live = tuple[AuthProvider[BetterAuthClient], ConnectOptions]

#: By event loop: a kernel has one for its notebook and user, but a server of apps that are
#: notebooks may run one for each visitor, and two users never share a provider (HAZARDS S9).
_live: WeakKeyDictionary[object, dict[str, _Live]] = WeakKeyDictionary()


@discreet_call
def connect(url: str, **options: Unpack[ConnectOptions]) -> AuthProvider[BetterAuthClient]:
    """As :func:`reactive_auth.connect`, for a cell that is run more than once.

    Called again for the same URL with equal options it returns the provider there is, still
    signed in; with other options that one is closed first, in the background.
    """
    live = _live_here()
    known = live.get(url)
    if known is not None and not known[0].closed:
        if known[1] == options:
            return known[0]
        _close(known[0])
    made = connect_anew(url, **options)
    live[url] = (made, options)
    return made


def _live_here() -> dict[str, _Live]:
    here: object
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = threading.current_thread()
    for other in list(_live):  # a provider holds its loop: it would stay for ever
        if isinstance(other, asyncio.AbstractEventLoop) and other.is_closed():
            del _live[other]
    return _live.setdefault(here, {})


def _close(provider: AuthProvider[BetterAuthClient]) -> None:
    closing = asyncio.ensure_future(provider.aclose())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
