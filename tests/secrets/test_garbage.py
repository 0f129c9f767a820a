"""S2: what was secret is not kept once it was used, garbage that nobody has collected included."""

from __future__ import annotations

import asyncio
import gc
import secrets
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from reactive_auth import AuthError, AuthProvider, BetterAuthClient, connect
from reactive_auth.embedded import EmbeddedServer
from reactive_auth.testing import FakeAuthClient

Auth = AuthProvider[BetterAuthClient]


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def holders(backwards: str) -> list[str]:
    """Whatever holds a string with this in it, written backwards lest it be found here."""
    return [
        f"{type(holder).__name__} {str(holder)[:200]}"
        for holder in gc.get_objects()
        for held in gc.get_referents(holder)
        if (isinstance(held, str) and backwards in held[::-1])
        or (isinstance(held, bytes) and backwards.encode() in held[::-1])
    ]


async def signs_in(auth: Auth, secret: str) -> None:
    await auth.client.sign_in_email(email="nobody@example.com", password=secret)


async def changes_password(auth: Auth, secret: str) -> None:
    await auth.client.change_password(current_password=secret, new_password=secret + "-new")


async def requests(auth: Auth, secret: str) -> None:
    await auth.client.request("POST", "/no-such-route", json={"a": secret})


async def hands_over(auth: Auth, secret: str) -> None:
    await auth.client.handle_redirect(f"https://app.test/?ott={secret}")


async def signs_up(auth: Auth, secret: str) -> None:
    email = f"{secrets.token_hex(4)}@example.com"
    await auth.client.sign_up_email(email=email, password=secret, name="Ada")


@pytest.mark.parametrize("call", [signs_in, changes_password, requests, hands_over, signs_up])
def test_s2_a_secret_is_gone_when_the_call_that_took_it_is_over(
    call: Callable[[Auth, str], Awaitable[None]],
) -> None:
    async def main(url: str) -> None:
        async with connect(url) as auth:
            await auth.client.refetch()
            secret = secrets.token_urlsafe(24)
            backwards = secret[::-1]
            with no_collector():
                with suppress(AuthError):
                    await call(auth, secret)
                del secret
                await asyncio.sleep(0)
                assert holders(backwards) == []

    with EmbeddedServer() as server, server.serve() as url:
        asyncio.run(main(url))


def test_s2_a_closed_provider_is_freed_without_the_garbage_collector() -> None:
    async def main(url: str) -> None:
        with no_collector():
            auth = connect(url)
            async with auth:
                await auth.client.sign_up_email(email="a@b.c", password="long-enough", name="A")
                await auth.fetch_access_token()
            await asyncio.sleep(0)
            left = [weakref.ref(auth), weakref.ref(auth.client), weakref.ref(auth.client._jar)]
            del auth
            assert [ref() for ref in left] == [None, None, None]

    with EmbeddedServer() as server, server.serve() as url:
        asyncio.run(main(url))


def test_s2_a_closed_provider_over_a_client_of_ones_own_is_freed_too() -> None:
    async def main() -> None:
        with no_collector():
            client = FakeAuthClient()
            auth = AuthProvider(client)
            async with auth:
                client.sign_in()
                await auth.fetch_access_token()
                client.sign_in("B")
                client.then(OSError("down"))
            await asyncio.sleep(0)
            left = weakref.ref(auth)
            del auth
            assert left() is None

    asyncio.run(main())
