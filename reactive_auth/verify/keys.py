"""A JSON Web Key Set (RFC 7517) as what may be verified with it: for each key the algorithms of
its type, and no others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["ALGORITHMS", "KeySet", "read_key_set"]

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
#: RFC 7518, 3.1; RFC 8037, 3.1; RFC 8812, 3.2. Only signatures: who can verify an HMAC can
#: forge it, and a published key is no secret.
_BY_TYPE: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("EC", "secp256k1"): ("ES256K",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
ALGORITHMS = frozenset(name for names in _BY_TYPE.values() for name in names)

#: RFC 7518, 3.3 (bits).
_SMALLEST_RSA = 2048


@dataclass(frozen=True, slots=True)
class KeySet:
    """``ids`` names every key there is, also those that no configured algorithm uses."""

    ids: frozenset[str]
    _keys: Mapping[tuple[str, str], PyJWK] = field(repr=False)

    def get(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key of this id, if it is one for this algorithm."""
        return self._keys.get((key_id, algorithm))


def read_key_set(body: bytes, algorithms: frozenset[str]) -> KeySet:
    """Parse a key set. Keys that cannot serve are left out, as RFC 7517, 5 asks.

    Raises ValueError if it is none, or holds no key for any of the algorithms.
    """
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the key set is no JSON") from None
    listed = cast("dict[str, Any]", data).get("keys") if isinstance(data, dict) else None
    ids: set[str] = set()
    keys: dict[tuple[str, str], PyJWK] = {}
    for jwk in _objects(listed):
        key_id = jwk.get("kid")
        if not isinstance(key_id, str) or not key_id:
            continue
        ids.add(key_id)
        for algorithm in algorithms.intersection(_algorithms_of(jwk)):
            key = _load(jwk, algorithm)
            if key is not None:
                keys.setdefault((key_id, algorithm), key)
    if not keys:
        raise ValueError(f"the key set has no usable key for {', '.join(sorted(algorithms))}")
    return KeySet(frozenset(ids), keys)


def _objects(listed: Any) -> list[dict[str, Any]]:
    entries: list[Any] = listed
    if not isinstance(listed, list):
        raise ValueError("the key set has no list of keys")
    return [entry for entry in entries if isinstance(entry, dict)]


def _algorithms_of(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    kind, curve, declared = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    operations = jwk.get("key_ops", ["verify"])
    for_signatures = jwk.get("use", "sig") == "sig" and (
        isinstance(operations, list) and "verify" in operations
    )
    # A private key that was published can be used by anybody.
    if not isinstance(kind, str) or not for_signatures or "d" in jwk:
        return ()
    if kind == "RSA":
        curve = None
    elif not isinstance(curve, str):
        return ()
    names = _BY_TYPE.get((kind, curve), ())
    return names if declared is None else tuple(name for name in names if name == declared)


def _load(jwk: dict[str, Any], algorithm: str) -> PyJWK | None:
    import jwt

    try:
        key = jwt.PyJWK(jwk, algorithm)
        bits = key.key.key_size if algorithm in _RSA else _SMALLEST_RSA
    except Exception:  # whatever PyJWT and cryptography make of nonsense
        return None
    return key if bits >= _SMALLEST_RSA else None
