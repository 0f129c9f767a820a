"""Bearer tokens in requests and the challenge for one that is refused (RFC 6750)."""

from __future__ import annotations

import re
from typing import Literal

from ..errors import AuthError
from ..secrecy import discreet_call

__all__ = ["Reason", "TokenRefused", "bearer_token"]

Reason = Literal[
    "missing",
    "malformed",
    "algorithm",
    "key",
    "signature",
    "issuer",
    "audience",
    "subject",
    "session",
    "expired",
    "not_yet_valid",
    "claims",
]

#: RFC 6750, 2.1: ``b64token``; the scheme's name is case-insensitive (RFC 9110, 11.1).
_CREDENTIALS = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE | re.ASCII)


class TokenRefused(AuthError):
    """The token, or its absence, gives no access: a resource server answers 401.

    ``reason`` says which check failed, for metrics and tests. Neither it nor the message
    contains anything of the token.
    """

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    @property
    def challenge(self) -> str:
        """The value of WWW-Authenticate (RFC 6750, 3). A request without a token is told no
        error code."""
        if self.reason == "missing":
            return "Bearer"
        return f'Bearer error="invalid_token", error_description="{self.args[0]}"'


@discreet_call
def bearer_token(authorization: str | None) -> str:
    """The token in an Authorization header.

    Raises TokenRefused where there is none: no header, another scheme, or no token in it.
    """
    if authorization is None or authorization[:6].lower() != "bearer":
        raise TokenRefused("the request carries no bearer token", reason="missing")
    credentials = _CREDENTIALS.fullmatch(authorization)
    if credentials is None:
        raise TokenRefused("the Authorization header is malformed", reason="malformed")
    return credentials[1]
