"""What the example apps talk to: a server of their own, or the one that ``--url`` names."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..embedded import EmbeddedServer

__all__ = ["EMAIL", "PASSWORD", "ExampleServer", "arguments", "example_server"]

#: The account that the server in the process has.
EMAIL = "ada@example.com"
PASSWORD = "correct horse"  # noqa: S105


@dataclass(frozen=True)
class ExampleServer:
    """Where to connect, and an outage at will where the server is ours."""

    url: str
    embedded: EmbeddedServer | None = None

    @property
    def hint(self) -> str:
        """What somebody who just wants to look needs to know."""
        return f"Try {EMAIL} with “{PASSWORD}”" if self.embedded is not None else self.url

    def toggle_outage(self) -> bool:
        """Make the server unreachable, or reachable again; whether it is down now."""
        if self.embedded is None:
            return False
        faults = self.embedded.faults
        (faults.up if faults.is_down else faults.down)()
        return faults.is_down


def arguments(toolkit: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """``--url`` and, where the app is served to browsers, ``--port``."""
    parser = argparse.ArgumentParser(prog=f"python -m reactive_auth.examples.{toolkit}")
    parser.add_argument("--url", help="a Better Auth server (default: one in this process)")
    parser.add_argument("--port", type=int, default=0, help="of web apps (default: any free one)")
    return parser.parse_args(argv)


@contextlib.contextmanager
def example_server(url: str | None = None) -> Generator[ExampleServer]:
    """The server at ``url``, or one in this process with an account to sign in with."""
    if url is not None:
        yield ExampleServer(url)
        return
    from ..blocking import connect_blocking
    from ..embedded import EmbeddedServer

    server = EmbeddedServer(token_lifetime=120)
    try:
        with server.serve() as own:
            with connect_blocking(own) as auth:
                auth.client.sign_up_email(email=EMAIL, password=PASSWORD, name="Ada Lovelace")
                auth.client.sign_out()
            yield ExampleServer(own, server)
    finally:
        server.close()
