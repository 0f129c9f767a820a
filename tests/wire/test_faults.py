"""Real sockets that fail in every way: nobody is signed out, and it recovers by itself."""

from __future__ import annotations

import asyncio
import socket

import pytest

from reactive_auth import AuthUnavailable, Backoff, connect
from reactive_auth.embedded import EmbeddedServer
from tests.core.support import Seen

from .raw_server import RawServer, Talk, http, with_linger_off

PASSWORD = "correct-horse-battery"
SESSION = (
    b'{"session":{"id":"s1","userId":"u1","token":"x"},"user":{"id":"u1","email":"u@example.com"}}'
)
JSON = "Content-Type: application/json"


def sends(data: bytes, *, then_reset: bool = False) -> Talk:
    def talk(connection: socket.socket, _: bytes) -> None:
        if data:
            connection.sendall(data)
        if then_reset:
            with_linger_off(connection)

    return talk


def drips(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(100_000):
        connection.sendall(b" ")
        connection.settimeout(0.05)
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            continue


FAULTS: dict[str, Talk] = {
    "reset before an answer": sends(b"", then_reset=True),
    "reset inside the body": sends(http(200, b'{"sess', JSON, length=500), then_reset=True),
    "black hole": lambda connection, _: None,
    "slow drip": drips,
    "no HTTP": sends(b"SSH-2.0-OpenSSH_9.6\r\n", then_reset=True),
    "503 with HTML": sends(http(503, b"<html>down</html>", "Content-Type: text/html")),
    "200 with HTML": sends(http(200, b"<html>hello</html>", "Content-Type: text/html")),
    "200 and nothing": sends(http(200, b"")),
    "truncated JSON": sends(http(200, SESSION[:40], JSON)),
    "broken gzip": sends(http(200, b"\x1f\x8b\x00garbage", JSON, "Content-Encoding: gzip")),
    "huge body": sends(http(200, b" " * (2 << 20), JSON)),
    "429": sends(http(429, b'{"message":"x"}', JSON, "X-Retry-After: 1")),
    "redirect elsewhere": sends(http(302, b"", "Location: http://127.0.0.1:9/evil")),
    "malformed headers": sends(b"HTTP/1.1 200 OK\r\n: x\r\n\r\n", then_reset=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_f1_f2_a_fault_signs_nobody_out_and_is_got_over(fault: str) -> None:
    good = sends(http(200, SESSION, JSON))

    async def main() -> None:
        with RawServer(good) as server:
            options = {"backoff": Backoff(base=0.05, cap=0.2), "request_timeout": 0.4}
            async with connect(server.url, **options) as auth:  # type: ignore[arg-type]
                await auth.client.refetch()
                seen = Seen(auth.state)
                server.talk = FAULTS[fault]
                with pytest.raises(AuthUnavailable) as raised:
                    await auth.client.refetch()
                assert raised.value.request == "GET /get-session"
                assert auth.state.value.error is not None
                server.talk = good
                await until(auth.state, lambda state: state.error is None)
                assert all(state.is_authenticated for state in seen.values)

    asyncio.run(main())


def test_f1_f2_a_server_that_is_down_and_comes_back_is_found_again() -> None:
    good = sends(http(200, SESSION, JSON))

    async def main() -> None:
        with RawServer(good) as server:
            port = server.port
            backoff = Backoff(base=0.05, cap=0.2)
            async with connect(server.url, backoff=backoff) as auth:
                await auth.client.refetch()
                server.__exit__(None, None, None)
                with pytest.raises(AuthUnavailable):
                    await auth.client.refetch()
                assert auth.state.value.is_authenticated
                with RawServer(good, port):
                    await until(auth.state, lambda state: state.error is None)
                    assert auth.state.value.is_authenticated

    asyncio.run(main())


def test_s4_a_redirect_to_another_origin_brings_it_neither_request_nor_cookie() -> None:
    async def main() -> None:
        with RawServer(sends(http(200, b"{}", JSON))) as evil:
            location = f"Location: {evil.url}/api/auth/get-session"
            with RawServer(sends(http(307, b"", location))) as server:
                async with connect(server.url, cookies={"a.session_token": "s3cr3t"}) as auth:
                    with pytest.raises(AuthUnavailable):
                        await auth.client.refetch()
            assert evil.requests == 0

    asyncio.run(main())


def test_k16_after_hundreds_of_fetches_cancelled_in_flight_the_pool_is_whole() -> None:
    import random

    choice = random.Random(16)

    async def main() -> None:
        server = EmbeddedServer()
        with server.serve() as url:
            async with connect(url) as auth:
                await auth.client.sign_up_email(email="a@example.com", password=PASSWORD, name="A")
                session = auth.session.value.session
                assert session is not None
                for _ in range(400):
                    calls = [
                        asyncio.ensure_future(auth.client.fetch_token(session)),
                        asyncio.ensure_future(auth.fetch_access_token(force_refresh=True)),
                        asyncio.ensure_future(auth.client.refetch()),
                    ]
                    for _ in range(choice.randrange(30)):
                        await asyncio.sleep(0)
                    for call in calls:
                        call.cancel()
                    await asyncio.wait(calls)
                assert await auth.fetch_access_token(force_refresh=True) is not None
                http_client = auth.client._wire._client
                assert http_client is not None
                await asyncio.wait_for(auth.client.refetch(), 5)
                pool = http_client._transport._pool  # type: ignore[attr-defined]
                assert all(not request.is_queued() for request in pool._requests)
                busy = [c for c in pool.connections if not (c.is_idle() or c.is_closed())]
                assert not busy
        server.close()

    asyncio.run(main())


async def until(signal, condition) -> None:  # type: ignore[no-untyped-def]
    """Wait for a state, at most ten seconds."""
    reached = asyncio.Event()
    subscription = signal.subscribe(lambda value: condition(value) and reached.set())
    async with asyncio.timeout(10):
        await reached.wait()
    subscription.dispose()
