"""The wire: a Better Auth server as a session stream, and its routes as methods."""

from .better_auth import BetterAuthClient, ClientOptions
from .wire import WireEvent

__all__ = ["BetterAuthClient", "ClientOptions", "WireEvent"]
