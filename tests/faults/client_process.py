"""A client in a process of its own: takes URL and cookies, and fetches whenever it is told to."""

from __future__ import annotations

import asyncio
import json
import sys

from reactive_auth import connect


async def main() -> None:
    start = json.loads(sys.stdin.readline())
    async with connect(start["url"], cookies=start["cookies"]) as auth:
        force = False
        while True:
            token = await auth.fetch_access_token(force_refresh=force)
            answer = {"status": auth.state.value.status, "has_token": token is not None}
            print(json.dumps(answer), flush=True)
            force = True
            if not sys.stdin.readline():
                return


if __name__ == "__main__":
    asyncio.run(main())
