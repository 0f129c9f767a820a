"""A Better Auth server inside the process, for demos, examples, notebooks and fast tests.

It stands on better-auth-server, a Python port with the same routes, and is no reference for
the wire: it differs in freshness checks, some error codes and cookie clearing.
"""

from .faults import Faults
from .server import EmbeddedServer, ServedRequest

__all__ = ["EmbeddedServer", "Faults", "ServedRequest"]
