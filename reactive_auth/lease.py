"""A token with the instants between which it may be used, and how they follow from its claims.

Nothing here verifies a signature: claims serve for scheduling and matching only (HAZARDS S7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from .clock import Clock
from .errors import InvalidToken, TokenMismatch
from .models import AccessToken, Session
from .policy import Policy

__all__ = ["Lease", "contradicts", "lease_seed", "lease_token", "read_claims"]

#: A longer lifetime is scheduled as if it were a day: finite delays, and dates that exist.
_LONGEST_LIFETIME = 86_400.0
_SHORTEST_LIFETIME = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A cached token. ``serial`` numbers the fetches of a provider; a seed has 0.

    The instants are in seconds of the two clocks of :class:`Clock`: ``usable`` asks both,
    because the monotonic one may stand still in suspend and the wall clock may be set back.
    """

    token: AccessToken
    value: str = field(repr=False)
    serial: int
    received: float
    refresh_at: float
    evict_at: float
    evict_wall: float

    def usable(self, clock: Clock) -> bool:
        """Whether more than the margin is left."""
        return clock.monotonic() < self.evict_at and clock.wall() < self.evict_wall


def read_claims(value: str) -> Mapping[str, object] | None:
    """The unverified claims of a JWT; None for an opaque token.

    Raises InvalidToken for something that has a JWT's header and then no JSON object.
    """
    if value.count(".") != 2:
        return None
    import jwt  # costs 27 ms, most of it cryptography: only a program that has a token pays

    try:
        jwt.get_unverified_header(value)
    except jwt.PyJWTError:
        return None
    except Exception:  # not with PyJWT 2.15: a header that is JSON but no object
        raise InvalidToken("the token's header is malformed") from None
    try:
        # Without signature verification PyJWT checks no registered claim either, so iat, aud
        # and sub of whatever type do not fail here (HAZARDS C7).
        claims = jwt.decode(value, options={"verify_signature": False})
    except Exception:
        raise InvalidToken("the token's payload is no JSON object") from None
    return MappingProxyType(claims)


def contradicts(claims: Mapping[str, object], session: Session) -> str | None:
    """The name of the claim that says this token is not of this session, if one does.

    ``sessionId`` decides where it is present (the convex plugin sets it), else ``sub`` against
    the user's id (the jwt plugin).
    """
    if "sessionId" in claims:
        return None if str(claims["sessionId"]) == session.id else "sessionId"
    if "sub" in claims and session.user_id is not None:
        return None if str(claims["sub"]) == session.user_id else "sub"
    return None


def lease_token(
    value: object, session: Session, *, serial: int, clock: Clock, policy: Policy
) -> Lease:
    """A token just received, its lifetime counted from now (HAZARDS C3).

    Raises InvalidToken where the value cannot be a token of this session.
    """
    claims = _checked(value, session)
    issued, expires = _instant(claims, "iat"), _instant(claims, "exp")
    lifetime = policy.opaque_ttl
    if expires is not None and issued is not None:
        lifetime = expires - issued
        if lifetime < _SHORTEST_LIFETIME:
            raise InvalidToken("the token's lifetime is shorter than a second")
    elif expires is not None and expires - clock.wall() >= _SHORTEST_LIFETIME:
        # With no iat this machine's clock is all there is. Where it says that a token received
        # this instant has expired, it is the clock that is wrong: the default lifetime stands.
        lifetime = expires - clock.wall()
    return _lease(str(value), claims, session, lifetime, lifetime, serial, clock, policy)


def lease_seed(value: str, session: Session, *, clock: Clock, policy: Policy) -> Lease | None:
    """A token that was handed over from elsewhere; None if it is of no use to this session."""
    try:
        claims = _checked(value, session)
        issued, expires = _instant(claims, "iat"), _instant(claims, "exp")
    except InvalidToken:
        return None
    left = policy.opaque_ttl if expires is None else expires - clock.wall()
    lifetime = left
    if expires is not None and issued is not None:
        lifetime = expires - issued
        left = min(left, lifetime)  # a clock that is behind must not prolong it
    if left < _SHORTEST_LIFETIME:
        return None
    return _lease(value, claims, session, lifetime, left, 0, clock, policy)


def _checked(value: object, session: Session) -> Mapping[str, object]:
    if not isinstance(value, str) or not value.strip():
        kind = "an empty string" if isinstance(value, str) else f"{type(value).__name__}"
        raise InvalidToken(f"the token source answered with {kind} where a token was due")
    if not value.isascii() or not value.isprintable() or " " in value:
        # RFC 6750, 2.1. No request could carry it, and a line break would add a header.
        raise InvalidToken("the token has characters that no token may have")
    claims = read_claims(value)
    if claims is None:
        return MappingProxyType({})
    claim = contradicts(claims, session)
    if claim is not None:
        raise TokenMismatch(f"the token's {claim} claim contradicts the current session")
    return claims


def _instant(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if name == "iat":
            return None
        raise InvalidToken(f"the token's {name} claim is no number")
    try:
        instant = float(value)
    except OverflowError:
        instant = math.inf
    if not math.isfinite(instant):
        if name == "iat":
            return None
        raise InvalidToken(f"the token's {name} claim is not finite")
    return instant


def _lease(
    value: str,
    claims: Mapping[str, object],
    session: Session,
    lifetime: float,
    left: float,
    serial: int,
    clock: Clock,
    policy: Policy,
) -> Lease:
    lifetime = max(_SHORTEST_LIFETIME, min(lifetime, _LONGEST_LIFETIME))
    left = min(left, lifetime)
    margin = min(policy.margin, lifetime / 10)
    ahead = max(margin, min(policy.refresh_ahead, lifetime / 4))
    now, wall = clock.monotonic(), clock.wall()
    return Lease(
        token=AccessToken(
            value=value,
            session_id=session.id,
            issued_at=datetime.fromtimestamp(wall + left - lifetime, UTC),
            expires_at=datetime.fromtimestamp(wall + left, UTC),
            claims=claims,
        ),
        value=value,
        serial=serial,
        received=now,
        refresh_at=now + max(policy.min_interval, left - ahead),
        evict_at=now + left - margin,
        evict_wall=wall + left - margin,
    )
