"""The other end of :mod:`.server`: start it, tell it what to do, see what a client sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 30.0


class Deployment:
    """A server in a process of its own.

    :param is_live: asked, on a thread of its own, whether a session is there.
    """

    def __init__(self, is_live: Callable[[str], bool] = lambda session: True) -> None:
        self.is_live = is_live
        #: What clients sent, in order; each with the number of its ``connection``.
        self.messages: list[dict[str, Any]] = []
        #: How many results of each transition were errors.
        self.failed: list[int] = []
        self.fatal: list[str] = []
        self.port = 0
        self._done: set[int] = set()
        self._count = 0
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait(lambda: self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- what it is told ---------------------------------------------------------------------

    def set(self, path: str, number: int) -> None:
        """Change the number a function returns; whoever subscribed is sent it."""
        self._tell("set", path=path, number=number)

    def rerun(self) -> None:
        """Run all queries again, as when the session they had looked up is deleted."""
        self._tell("rerun")

    def refuse(self, *tokens: str, dead: bool = False, following: int = 0) -> None:
        """From now on answer these tokens, with ``dead`` those of dead sessions, and the next
        ``following`` ones with an AuthError frame."""
        self._tell("refuse", tokens=tokens, dead=dead, next=following)

    def auth_error(self) -> None:
        """Send an AuthError frame to every client, unasked."""
        self._tell("auth_error")

    def mute(self, on: bool = True) -> None:
        """Take messages and answer none."""
        self._tell("mute", on=on)

    def vanish(self) -> None:
        """Drop all connections and accept no new one."""
        self._tell("vanish")

    def listen(self) -> None:
        """Come back."""
        self._tell("listen", after=0)

    def outage(self, seconds: float) -> None:
        """Vanish, and come back after so long, whatever this process does meanwhile."""
        self.vanish()
        self._write(do="listen", after=seconds, n=0)

    # -- what it saw -------------------------------------------------------------------------

    def tokens(self) -> list[str | None]:
        """The tokens clients sent, None where they sent that they have none. What a client
        sends again by itself when it connects again is left out."""
        tokens: list[str | None] = []
        connection, first = None, True
        for message in list(self.messages):
            if message["type"] == "Connect":
                first = connection is not None
                connection = message["connection"]
            elif message["type"] == "Authenticate":
                token = message.get("value")
                if not (first and tokens and tokens[-1] == token):
                    tokens.append(token)
                first = False
        return tokens

    def steps(self) -> list[str]:
        """What clients sent, a word or two for each message or modification."""
        steps: list[str] = []
        for message in list(self.messages):
            if message["type"] == "ModifyQuerySet":
                for change in message["modifications"]:
                    name = change.get("udfPath") or change["queryId"]
                    steps.append(f"{change['type']} {name}")
            elif message["type"] == "Authenticate":
                steps.append(f"Authenticate {message['tokenType']}")
            else:
                steps.append(message["type"])
        return steps

    def subscribed(self) -> set[int]:
        """The queries that the clients of the newest connection have subscribed to."""
        queries: set[int] = set()
        for message in list(self.messages):
            if message["type"] == "Connect":
                queries = set()
            for change in message.get("modifications", ()):
                if change["type"] == "Add":
                    queries.add(change["queryId"])
                else:
                    queries.discard(change["queryId"])
        return queries

    def wait(self, condition: Callable[[], Any], patience: float = PATIENCE) -> None:
        """Until something is so of what clients sent."""
        with self._news:
            assert self._news.wait_for(condition, patience), self.steps()

    async def until(self, condition: Callable[[], Any], patience: float = PATIENCE) -> None:
        """As :meth:`wait`, for an event loop."""
        await asyncio.to_thread(self.wait, condition, patience)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
        self._process.stdout.close()

    def _tell(self, what: str, **how: Any) -> None:
        with self._news:
            self._count += 1
            number = self._count
        self._write(do=what, n=number, **how)
        self.wait(lambda: number in self._done)

    def _write(self, **line: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            if "ask" in line:
                live = self.is_live(line["session"])
                with contextlib.suppress(OSError, ValueError):
                    self._write(do="answer", ask=line["ask"], live=live)
                continue
            with self._news:
                if "message" in line:
                    self.messages.append({**line["message"], "connection": line["connection"]})
                elif "failed" in line:
                    self.failed.append(line["failed"])
                elif "fatal" in line:
                    self.fatal.append(line["fatal"])
                elif "port" in line:
                    self.port = line["port"]
                elif "done" in line:
                    self._done.add(line["done"])
                self._news.notify_all()


@contextlib.contextmanager
def deployed(is_live: Callable[[str], bool] = lambda session: True) -> Iterator[Deployment]:
    deployment = Deployment(is_live)
    try:
        yield deployment
    finally:
        deployment.close()


def seconds_of(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
