"""The embedded server behind a real socket: HTTP/1.1 by h11, which httpx brings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from email.utils import formatdate
from typing import Any, Protocol

import h11

from ..portal import PrivateLoop

__all__ = ["serve_sockets"]

_LARGEST_BODY = 1 << 20


class Answering(Protocol):
    async def answer(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, url: str
    ) -> ReplyLike | None: ...


class ReplyLike(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def body(self) -> bytes: ...


@contextlib.contextmanager
def serve_sockets(loop: PrivateLoop, server: Answering) -> Generator[str]:
    """Listen on a free port of 127.0.0.1 while the context lasts; gives the URL."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _Connection(server, reader, writer).run()
        except (OSError, h11.ProtocolError, asyncio.CancelledError):
            pass  # the other side went away, talks something else, or the server stops
        finally:
            connections.discard(task)
            writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(connected, "127.0.0.1", 0)

    async def stop() -> None:
        listener.close()
        for task in list(connections):
            task.cancel()
        if connections:
            await asyncio.wait(list(connections))
        await listener.wait_closed()

    listener = loop.wait(loop.submit(start))
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        loop.wait(loop.submit(stop))


class _Connection:
    def __init__(
        self, server: Answering, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while await self._one():
            self._http.start_next_cycle()

    async def _one(self) -> bool:
        event = await self._next()
        if not isinstance(event, h11.Request):
            return False
        body = b""
        while isinstance(data := await self._next(), h11.Data):
            body += data.data
            if len(body) > _LARGEST_BODY:
                return False
        if not isinstance(data, h11.EndOfMessage):
            return False
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers]
        target = event.target.decode("latin-1")
        host = dict(headers).get("host", "127.0.0.1")
        answering = asyncio.ensure_future(
            self._server.answer(
                event.method.decode("ascii"), target, headers, body, f"http://{host}{target}"
            )
        )
        gone = asyncio.ensure_future(self._reader.read(65_536))
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and not gone.result():
                return False  # the client hung up: whatever was being done for it is cancelled
            reply = await answering
        finally:
            await _end(answering)
            await _end(gone)
        if reply is None:
            return False
        if gone.done() and not gone.cancelled() and gone.result():
            self._http.receive_data(gone.result())
        await self._send(reply)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _send(self, reply: ReplyLike) -> None:
        headers = [(n.lower(), v) for n, v in reply.headers]
        headers = [(n, v) for n, v in headers if n not in ("content-length", "date")]
        headers += [("content-length", str(len(reply.body))), ("date", formatdate(usegmt=True))]
        start = h11.Response(status_code=reply.status, headers=headers)
        for event in (start, h11.Data(data=reply.body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65_536))
        return event


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel and await, so that nothing outlives its request."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task
