"""S1: with every logger at DEBUG, a whole run logs no secret."""

from __future__ import annotations

import asyncio
import logging

import pytest

from reactive_auth import AuthRejected, connect
from reactive_auth.client.redact import RedactSecrets

from .conftest import Server

PASSWORD, NEW, WRONG = "first-s3cr3t-password", "other-s3cr3t-password", "wrong-s3cr3t-password"


def test_s1_with_every_logger_at_debug_nothing_secret_is_logged(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    secrets: set[str] = {PASSWORD, NEW, WRONG}

    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with connect(server.url) as auth:

            def collect(token: object) -> None:
                if token is not None:
                    secrets.add(token.value.rsplit(".", 1)[1])  # type: ignore[attr-defined]
                for cookie in auth.client._jar._cookies.jar:
                    secrets.add(cookie.value or "")

            auth.token.subscribe(collect)
            email = server.new_email()
            await auth.client.sign_up_email(email=email, password=PASSWORD, name="Ada")
            with pytest.raises(AuthRejected):
                await auth.client.sign_in_email(email=email, password=WRONG)
            await auth.client.change_password(
                current_password=PASSWORD, new_password=NEW, revoke_other_sessions=True
            )
            secrets.add(await auth.client.generate_one_time_token())
            await auth.fetch_access_token(force_refresh=True)
            await auth.client.list_sessions()
            await auth.client.sign_out()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert "receive_response_headers" in caplog.text, "the HTTP stack was to be heard"
    assert len(secrets) >= 7
    for secret in secrets - {""}:
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "x [(b'Set-Cookie', b's3cr3t')]",
        'x [(b"set-cookie", b"s3cr3t\'s")]',
        "x [(b'SET-AUTH-TOKEN', b's3cr3t'), (b'a', b'b')]",
        "x [(b'set-auth-jwt', b's3cr3t')]",
        "x [(b'Set-Better-Auth-Cookie', b's3cr3t')]",
        "x [('authorization', 'Bearer s3cr3t')]",
        r"x [(b'Cookie', b'a=\'s3cr3t')]",
    ],
)
def test_s1_a_header_that_carries_a_secret_is_logged_without_it(line: str) -> None:
    record = logging.LogRecord("httpcore", logging.DEBUG, "", 1, "%s", (line,), None)
    assert RedactSecrets().filter(record)
    assert "s3cr3t" not in record.getMessage()
    assert "[redacted]" in record.getMessage()
