"""Bad arguments of client and connect: a clear error of our tree, at the call, without secrets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactive_auth import AuthError, BetterAuthClient, ConfigurationError, connect

URLS = [
    None,
    7,
    b"https://app.example.com",
    "",
    "  ",
    "app.example.com",
    "/api/auth",
    "ftp://app.example.com",
    "https://",
    "https://user:s3cr3t@app.example.com",
    "https://app.example.com?token=s3cr3t",
    "https://app.example.com/#s3cr3t",
    "http://app.example.com",
    "http://10.0.0.1",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "https://[::1",
    "https://app.example.com:99999",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", URLS)
def test_s12_a_url_that_cannot_work_or_is_not_safe_is_refused(url: Any) -> None:
    for make in (BetterAuthClient, connect):
        with pytest.raises(ConfigurationError) as raised:
            make(url)
        assert "s3cr3t" not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://app.example.com", "https://app.example.com/api/auth"),
        ("https://app.example.com/", "https://app.example.com/api/auth"),
        ("https://app.example.com:8443/auth/", "https://app.example.com:8443/auth"),
        ("http://localhost:3000", "http://localhost:3000/api/auth"),
        ("http://127.8.9.1", "http://127.8.9.1/api/auth"),
        ("http://[::1]:3000", "http://[::1]:3000/api/auth"),
        ("http://app.localhost", "http://app.localhost/api/auth"),
        (" HTTPS://App.Example.com ", "https://app.example.com/api/auth"),
    ],
)
def test_a_url_that_works_and_what_it_stands_for(url: str, base: str) -> None:
    assert base in repr(BetterAuthClient(url))


def test_s12_plain_http_to_another_machine_must_be_asked_for_by_name() -> None:
    assert BetterAuthClient("http://10.0.0.1", allow_http=True)


OPTIONS: list[dict[str, Any]] = [
    {"tokn_path": "/token"},
    {"token_path": "token"},
    {"token_path": "//evil.example/token"},
    {"token_path": "/a/../../token"},
    {"token_path": "/token?x=s3cr3t"},
    {"token_path": 7},
    {"base_path": "api"},
    {"base_path": "/a b"},
    {"request_timeout": 0},
    {"request_timeout": "s3cr3t"},
    {"poll_interval": 0.01},
    {"poll_interval": float("nan")},
    {"transport": "s3cr3t"},
    {"cookies": {"a b": "s3cr3t"}},
    {"cookies": {"": "s3cr3t"}},
    {"cookies": {"a": "s3cr3t; Domain=evil"}},
    {"cookies": {"a": "s3cr3t\r\nX: y"}},
    {"cookies": {"a": 7}},
    {"headers": {"Cookie": "s3cr3t"}},
    {"headers": {"origin": "https://evil.example"}},
    {"margin": -3},
    {"initial_token": ""},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(next(iter(options))))
def test_an_option_that_can_never_work_is_refused_at_the_call(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        connect("https://app.example.com", **options)
    assert "s3cr3t" not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/x", None),
        ("GET", "x", None),
        ("GET", "https://evil.example/x", None),
        ("GET", "/../../x", None),
        ("GET", "/x?token=s3cr3t", None),
        ("POST", "/x", {"a": object()}),
        ("POST", "/x", {"a": float("nan")}),
    ],
)
def test_a_request_that_can_never_work_is_refused_before_it_is_sent(
    method: Any, path: str, body: Any
) -> None:
    async def main() -> None:
        async with BetterAuthClient("http://127.0.0.1:9") as client:
            with pytest.raises(ConfigurationError) as raised:
                await client.request(method, path, json=body)
            assert "s3cr3t" not in str(raised.value)
            with pytest.raises(ConfigurationError):
                await client.update_user()

    asyncio.run(main())


def test_a_dead_server_is_a_clear_error_that_names_the_request() -> None:
    async def main() -> None:
        async with BetterAuthClient("http://127.0.0.1:9") as client:
            with pytest.raises(AuthError, match="GET /get-session"):
                await client.refetch()

    asyncio.run(main())
