"""What users would pick instead, measured side by side: ``python -m tests.benchmarks.peers``.

One adapter for each peer, behind the interface of ``base``; it drives the peer's own public API
against a local server that speaks what the peer expects. An adapter imports its peer when it is
loaded, never before.
"""

from __future__ import annotations

from importlib import import_module

from .base import Peer

__all__ = ["NAMES", "OURS", "load"]

OURS = "ours"
#: The adapters, in the order of the columns.
NAMES = (
    OURS,
    "supabase",
    "msal",
    "google",
    "authlib",
    "httpx_auth",
    "anthropic",
    "reactivex",
)


def load(name: str) -> Peer:
    """The adapter of that name. Raises ImportError where the peer is not installed."""
    peer: Peer = import_module(f"{__package__}.{name}").PEER
    return peer
