"""The convex-style token route, which the Python port does not have."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

__all__ = ["Issuer"]

_KEY_ID = "embedded"


class Issuer:
    """Mints the tokens that @convex-dev/better-auth mints at ``/convex/token``, but with EdDSA,
    whose keys are made at once; the default there is RS256."""

    def __init__(self, lifetime: int) -> None:
        self.lifetime = lifetime
        self._key = Ed25519PrivateKey.generate()

    def mint(self, session: dict[str, Any], user: dict[str, Any], issuer: str) -> str:
        """A token of this session; seconds since the epoch, as JWTs have it."""
        now = int(time.time())
        claims = {
            "iat": now,
            "name": user["name"],
            "email": user["email"],
            "emailVerified": user["emailVerified"],
            "createdAt": _milliseconds(user["createdAt"]),
            "updatedAt": _milliseconds(user["updatedAt"]),
            "sessionId": session["id"],
            "sub": user["id"],
            "exp": now + self.lifetime,
            "iss": issuer,
            "aud": "convex",
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": _KEY_ID})

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        key = json.loads(OKPAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": _KEY_ID, "alg": "EdDSA", "use": "sig"}]}


def _milliseconds(value: object) -> object:
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else value
