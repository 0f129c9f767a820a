"""What a verified token says, and the checks of its claims. Each fails closed: a claim that a
check needs and that is absent, or of another type, is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypedDict

from .bearer import Reason, TokenRefused

__all__ = ["Binding", "VerifiedClaims", "read_claims"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Binding(TypedDict, total=False):
    """What a token must be bound to. A key that is left out binds to nothing; None is refused
    with ConfigurationError, so that a lookup which found nothing does not accept everybody."""

    session_id: str
    subject: str


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """The claims of a token whose signature, issuer, audience and times were verified.

    ``issued_at`` is None where the token does not say. ``claims`` is all of them, read-only.
    """

    subject: str
    session_id: str | None
    issued_at: datetime | None
    expires_at: datetime
    claims: Mapping[str, Any] = field(repr=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy does not pickle.
        fields = (self.subject, self.session_id, self.issued_at, self.expires_at)
        return (type(self), (*fields, dict(self.claims)))


def read_claims(
    claims: Mapping[str, Any],
    *,
    now: float,
    leeway: float,
    require: Iterable[str],
    session_claim: str,
    require_session: bool,
    binding: Binding,
) -> VerifiedClaims:
    """Check the claims of a token whose signature, issuer and audience are good.

    ``now`` is seconds since the Unix epoch. Raises TokenRefused.
    """
    for name in require:
        if claims.get(name) is None:
            raise TokenRefused("the token lacks a required claim", reason="claims")
    expires, issued = _instant(claims, "exp"), _instant(claims, "iat")
    not_before = _instant(claims, "nbf")
    if expires is None:
        raise TokenRefused("the token has no exp claim", reason="claims")
    if now >= expires + leeway:
        raise TokenRefused("the token has expired", reason="expired")
    if not_before is not None and not_before > now + leeway:
        raise TokenRefused("the token is not valid yet", reason="not_yet_valid")
    if issued is not None and issued > now + leeway:
        raise TokenRefused("the token was issued in the future", reason="not_yet_valid")
    subject = _identifier(claims, "sub", "subject")
    session_id = _identifier(claims, session_claim, "session")
    if subject is None:
        raise TokenRefused("the token has no sub claim", reason="subject")
    if "subject" in binding and subject != binding["subject"]:
        raise TokenRefused("the token is of another subject", reason="subject")
    if session_id is None and require_session:
        raise TokenRefused("the token is bound to no session", reason="session")
    if "session_id" in binding and session_id != binding["session_id"]:
        raise TokenRefused("the token is of another session", reason="session")
    return VerifiedClaims(
        subject=subject,
        session_id=session_id,
        issued_at=None if issued is None else _date(issued, "iat"),
        expires_at=_date(expires, "exp"),
        claims=claims,
    )


def _identifier(claims: Mapping[str, Any], name: str, reason: Reason) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise TokenRefused(f"the claim of the {reason} is no non-empty string", reason=reason)
    return value


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, 2); None only if the claim is absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            instant = float(value)
        except OverflowError:
            instant = math.inf
        if math.isfinite(instant):
            return instant
    raise TokenRefused(f"the {name} claim is no finite number", reason="claims")


def _date(instant: float, name: str) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=instant)
    except OverflowError:
        raise TokenRefused(f"the {name} claim is no date", reason="claims") from None
