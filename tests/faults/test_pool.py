"""K16: cancelling never leaves a place of the connection pool taken."""

from __future__ import annotations

import asyncio
import random

from reactive_auth import connect
from reactive_auth.embedded import EmbeddedServer

PASSWORD = "correct-horse-battery"


def test_k16_after_hundreds_of_fetches_cancelled_in_flight_the_pool_is_whole() -> None:
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
