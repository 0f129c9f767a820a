"""The command line: ``demo`` shows what this is for, ``watch`` follows a real sign-in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..errors import AuthError
from ..extras import require

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="reactive-auth", description="Who is signed in, and which token is valid, as streams."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="sign in, rotate, survive an outage, refresh, sign out")
    demo.add_argument("--url", help="a Better Auth server to run it against (default: embedded)")
    demo.add_argument("--plain", action="store_true", help="print only the end, without colour")
    watch = commands.add_parser("watch", help="sign in and follow the streams until Ctrl-C")
    watch.add_argument("url", help="the server's URL, https://app.example.com")
    watch.add_argument("--email", help="asked for if not given; the password always is")
    for command in (demo, watch):
        command.add_argument(
            "--token-path", help="the token route (default: /convex/token, /token)"
        )
        command.add_argument(
            "--allow-http", action="store_true", help="plain http to another machine, in the clear"
        )
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "demo":
            require("rich", extra="demo")
            from .demo import run_demo

            return run_demo(arguments)
        from .watch import run_watch

        return run_watch(arguments)
    except AuthError as error:
        parser.exit(1, f"reactive-auth: {error}\n")
    except ImportError as error:
        parser.exit(1, f"reactive-auth: {error}\n")
    except KeyboardInterrupt:
        return 0
