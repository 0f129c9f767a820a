"""For resource servers: whether a token is the issuer's, for them, in time, of a live session."""

from .bearer import Reason, TokenRefused, bearer_token
from .claims import Binding, VerifiedClaims
from .verifier import JwksVerifier

__all__ = ["Binding", "JwksVerifier", "Reason", "TokenRefused", "VerifiedClaims", "bearer_token"]
