"""A Convex deployment in small: the sync protocol over a WebSocket, in a process of its own.

The real client holds the GIL while it waits for a socket, so a server in the same process could
not answer it. It is told what to do, and tells what it saw, in lines of JSON on its standard
streams (:mod:`.deployment` has the other end). Messages as in get-convex/convex-rs, sync_types.

A token is taken for what its claims say: no signature is checked. Whether its session lives is
asked at the other end, each time a function runs. Functions, by the first part of their path:

- ``private:*`` throw a ConvexError "Unauthenticated" without a live session, as a function does
  that looks the session up; else they return who asked and the number kept under their name.
- ``public:*`` return that number to anybody.
- ``null:*`` return null.
- ``fragile:*`` fail in some other way without a live session, as in production all errors look.
- ``broken:*`` throw a ConvexError that has nothing to do with authentication.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


@dataclass
class Identity:
    session: str
    user: str
    token: str


@dataclass(eq=False)
class Connection:
    """One client's state, versioned as the protocol has it."""

    socket: ServerConnection
    number: int
    identity: Identity | None = None
    version: dict[str, int] = field(default_factory=lambda: {"querySet": 0, "identity": 0, "ts": 0})
    queries: dict[int, dict[str, Any]] = field(default_factory=dict)
    sent: dict[int, Any] = field(default_factory=dict)
    over: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Server:
    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.numbers: dict[str, int] = {}
        self.refused: set[str] = set()
        self.refuse_dead = False
        self.refuse_next = 0
        self.mute = False
        self.questions: dict[int, asyncio.Future[bool]] = {}
        self.counter = itertools.count(1)
        self.clock = itertools.count(1)
        self.listener: Any = None
        self.port = 0

    # -- the other end -----------------------------------------------------------------------

    def tell(self, **line: Any) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def is_live(self, session: str) -> bool:
        number = next(self.counter)
        self.questions[number] = asyncio.get_running_loop().create_future()
        self.tell(ask=number, session=session)
        return await self.questions[number]

    async def obey(self, line: dict[str, Any]) -> None:
        match line["do"]:
            case "answer":
                self.questions.pop(line["ask"]).set_result(line["live"])
                return
            case "set":
                self.numbers[line["path"]] = line["number"]
                await self.rerun_all()
            case "rerun":
                await self.rerun_all()
            case "mute":  # take messages, answer none
                self.mute = line["on"]
            case "refuse":  # answer tokens with an AuthError frame
                self.refused |= set(line["tokens"])
                self.refuse_dead = line["dead"]
                self.refuse_next = line["next"]
            case "auth_error":  # unasked
                for connection in list(self.connections):
                    await self.auth_error(connection)
            case "listen":
                await asyncio.sleep(line["after"])
                await self.listen()
            case "vanish":  # nobody listens any more
                await self.vanish()
        self.tell(done=line["n"])

    async def listen(self) -> None:
        self.listener = await serve(self.connected, "127.0.0.1", self.port, compression=None)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        if self.listener is not None:
            self.listener.close(close_connections=False)
        for connection in list(self.connections):
            connection.socket.transport.abort()
        self.connections.clear()

    # -- the protocol ------------------------------------------------------------------------

    async def connected(self, socket: ServerConnection) -> None:
        connection = Connection(socket, next(self.counter))
        self.connections.add(connection)
        try:
            async for text in socket:
                message = json.loads(text)
                self.tell(message=message, connection=connection.number)
                async with connection.turn:
                    if not self.mute and not connection.over:
                        await self.handle(connection, message)
        except ConnectionClosed:
            pass
        finally:
            self.connections.discard(connection)

    async def handle(self, connection: Connection, message: dict[str, Any]) -> None:
        match message["type"]:
            case "Authenticate":
                if message["baseVersion"] != connection.version["identity"]:
                    await self.fatal(connection, "identity version")
                    return
                connection.identity = identity_of(message)
                if await self.refuses(connection.identity):
                    await self.auth_error(connection)
                    return
                connection.version["identity"] += 1
                await self.transition(connection, {"identity": message["baseVersion"]})
            case "ModifyQuerySet":
                if message["baseVersion"] != connection.version["querySet"]:
                    await self.fatal(connection, "query set version")
                    return
                for change in message["modifications"]:
                    if change["type"] == "Add":
                        connection.queries[change["queryId"]] = change
                    else:
                        connection.queries.pop(change["queryId"], None)
                        connection.sent.pop(change["queryId"], None)
                connection.version["querySet"] = message["newVersion"]
                await self.transition(connection, {"querySet": message["baseVersion"]})
            case "Mutation":
                await self.mutate(connection, message)

    async def refuses(self, identity: Identity | None) -> bool:
        if identity is None:
            return False
        if self.refuse_next > 0:
            self.refuse_next -= 1
            self.refused.add(identity.token)
        if self.refuse_dead and not await self.is_live(identity.session):
            self.refused.add(identity.token)
        return identity.token in self.refused

    async def auth_error(self, connection: Connection) -> None:
        version = connection.version["identity"]
        await self.send(connection, {"type": "AuthError", "error": "no", "baseVersion": version})
        await self.end(connection, "AuthError")

    async def fatal(self, connection: Connection, what: str) -> None:
        self.tell(fatal=what)
        await self.send(connection, {"type": "FatalError", "error": what})
        await self.end(connection, "FatalError")

    async def end(self, connection: Connection, reason: str) -> None:
        """As the original: after the error comes a close frame, and nothing more is read."""
        connection.over = True
        self.connections.discard(connection)
        await connection.socket.close(4000, reason)

    async def rerun_all(self) -> None:
        for connection in list(self.connections):
            async with connection.turn:
                if connection.queries and not connection.over:
                    await self.transition(connection, {})

    async def transition(self, connection: Connection, before: dict[str, int]) -> None:
        """Run the client's queries; send what changed, with the versions from and to."""
        start = {**connection.version, **before}
        identity = connection.identity
        live = identity is not None and await self.is_live(identity.session)
        connection.version["ts"] = next(self.clock)
        changes = []
        for number, query in connection.queries.items():
            outcome = self.run(query["udfPath"], identity if live else None)
            if connection.sent.get(number) != outcome:
                connection.sent[number] = outcome
                changes.append({"queryId": number, "logLines": [], "journal": None, **outcome})
        versions = {"startVersion": wire(start), "endVersion": wire(connection.version)}
        frame = {"type": "Transition", **versions, "modifications": changes}
        await self.send(connection, frame)
        failed = [change for change in changes if change["type"] == "QueryFailed"]
        self.tell(transition=len(changes), failed=len(failed))

    def run(self, path: str, identity: Identity | None) -> dict[str, Any]:
        path = path.replace(".js:", ":")  # as the client spells it when it connects again
        kind = path.partition(":")[0]
        number = self.numbers.get(path, 0)
        if kind == "public":
            return {"type": "QueryUpdated", "value": number}
        if kind == "null":
            return {"type": "QueryUpdated", "value": None}
        if kind == "broken":
            return {"type": "QueryFailed", "errorMessage": "full", "errorData": {"code": "FULL"}}
        if identity is None and kind == "fragile":
            return {"type": "QueryFailed", "errorMessage": "[Request ID: 1] Server Error"}
        if identity is None:
            message = "Uncaught ConvexError: Unauthenticated"
            return {
                "type": "QueryFailed",
                "errorMessage": message,
                "errorData": "Unauthenticated",
            }
        return {"type": "QueryUpdated", "value": {"user": identity.user, "number": number}}

    async def mutate(self, connection: Connection, message: dict[str, Any]) -> None:
        answer = {"type": "MutationResponse", "requestId": message["requestId"], "success": True}
        answer |= {"result": None, "ts": stamp(next(self.clock)), "logLines": []}
        await self.send(connection, answer)

    async def send(self, connection: Connection, frame: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.socket.send(json.dumps(frame))


def identity_of(message: dict[str, Any]) -> Identity | None:
    if message["tokenType"] == "None":
        return None
    payload = message["value"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return Identity(claims["sessionId"], claims["sub"], message["value"])


def stamp(number: int) -> str:
    return base64.b64encode(number.to_bytes(8, "little")).decode()


def wire(version: dict[str, int]) -> dict[str, Any]:
    return {**version, "ts": stamp(version["ts"])}


async def main() -> None:
    server = Server()
    await server.listen()
    server.tell(port=server.port)
    loop = asyncio.get_running_loop()
    work: set[asyncio.Task[None]] = set()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = asyncio.ensure_future(server.obey(json.loads(line)))
        work.add(task)
        task.add_done_callback(work.discard)
    await server.vanish()


if __name__ == "__main__":
    asyncio.run(main())
