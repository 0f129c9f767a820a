"""Bad arguments fail at the call, with an error of our tree and no secret in its text."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from reactive_auth import AuthError, AuthProvider, Backoff, ConfigurationError
from reactive_auth.testing import FakeAuthClient

OPTIONS: list[dict[str, Any]] = [
    {"margn": 3},
    {"margin": -1},
    {"margin": float("nan")},
    {"margin": "30"},
    {"margin": True},
    {"refresh_ahead": float("inf")},
    {"fetch_timeout": 0},
    {"timeout": timedelta(0)},
    {"opaque_ttl": -5},
    {"backoff": 3},
    {"initial_token": ""},
    {"initial_token": "  "},
    {"initial_token": b"s3cr3t"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(next(iter(options.items()))))
def test_an_option_that_can_never_work_is_refused_at_the_call(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        AuthProvider(FakeAuthClient(), **options)
    assert "s3cr3t" not in str(raised.value)
    assert isinstance(raised.value, ValueError)


class NoSession:
    async def fetch_token(self, session: object) -> None: ...


class NoFetch:
    session = FakeAuthClient().session


@pytest.mark.parametrize("client", [None, "client", NoSession(), NoFetch(), FakeAuthClient])
def test_what_is_no_client_is_refused_at_the_call(client: Any) -> None:
    with pytest.raises(ConfigurationError):
        AuthProvider(client)


@pytest.mark.parametrize("arguments", [{"base": 0}, {"base": 5, "cap": 1}, {"cap": float("nan")}])
def test_a_backoff_that_can_never_work_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Backoff(**arguments)


@pytest.mark.parametrize("rejected", [7, b"x", object()])
def test_a_rejected_token_that_is_none_is_refused(rejected: Any) -> None:
    async def main() -> None:
        async with AuthProvider(FakeAuthClient()) as auth:
            with pytest.raises(ConfigurationError):
                await auth.fetch_access_token(rejected=rejected)

    asyncio.run(main())


def test_durations_may_be_timedeltas() -> None:
    auth = AuthProvider(FakeAuthClient(), margin=timedelta(minutes=1), timeout=3)
    assert (auth.policy.margin, auth.policy.timeout) == (60.0, 3.0)


def test_made_without_a_loop_it_starts_when_it_is_first_entered_or_awaited() -> None:
    auth = AuthProvider(FakeAuthClient())
    assert auth.state.value.is_loading
    values: list[object] = []
    auth.state.subscribe(values.append)

    async def main() -> None:
        auth.client.sign_in("A")
        assert await auth.fetch_access_token() is not None
        await auth.aclose()

    asyncio.run(main())
    assert len(values) >= 3


def test_every_error_is_of_one_tree() -> None:
    import reactive_auth.errors as errors

    for name in errors.__all__:
        assert issubclass(getattr(errors, name), AuthError)
