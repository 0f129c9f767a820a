"""``watch``: a real sign-in, followed as it happens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import sys

from ..connect import ConnectOptions, connect
from ..errors import AuthError
from ..secrecy import Masked
from ..timeline import record

__all__ = ["run_watch"]


def run_watch(arguments: argparse.Namespace) -> int:
    """Ask for the password, sign in, print what happens until Ctrl-C, sign out."""
    if not sys.stdin.isatty() and arguments.email is None:
        raise SystemExit("reactive-auth: pass --email when standard input is no terminal")
    email = arguments.email or input("Email: ")
    password = Masked(getpass.getpass("Password: "))
    options: ConnectOptions = {"allow_http": arguments.allow_http}
    if arguments.token_path:
        options["token_path"] = arguments.token_path
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(arguments.url, email, password, options))
    return 0


async def _watch(url: str, email: str, password: Masked[str], options: ConnectOptions) -> None:
    async with connect(url, **options) as auth:
        timeline = record(auth)
        shown = 0

        def show() -> None:
            nonlocal shown
            mark = timeline.last
            shown += 1
            print(f"{mark.at:9.3f}  {mark.row:<8} {mark.text}", flush=True)

        timeline.watch(show)
        try:
            await auth.client.sign_in_email(email=email, password=password.value)
            await asyncio.Event().wait()
        finally:
            timeline.dispose()
            with contextlib.suppress(AuthError):
                await auth.client.sign_out()
            print("\nsigned out")
            print(timeline.marbles())
