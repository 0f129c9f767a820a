"""Telling an error about who asks from any other error of a function."""

from __future__ import annotations

import re

__all__ = ["looks_like_auth_error"]

# What Convex itself says of a token (401 and AuthError texts), what the Better Auth component
# throws, and what functions commonly throw when ctx.auth.getUserIdentity() is null.
_WORDS = re.compile(
    r"unauthenticated|unauthorized|not\s+(?:authenticated|logged\s+in|signed\s+in)"
    r"|invalid\s*(?:session|auth|token)|(?:session|token)\s+(?:has\s+)?expired"
    r"|could\s+not\s+(?:verify|validate|parse)\s.*token|no\s+auth\s+provider",
    re.IGNORECASE,
)


def looks_like_auth_error(error: Exception) -> bool:
    """Whether a function's error says that it did not know who asked.

    Goes by the message and a ConvexError's ``data``: there is nothing else to go by. In production
    Convex replaces the message of any other exception by "Server Error", so that functions should
    throw a ConvexError.
    """
    return bool(_WORDS.search(f"{error} {getattr(error, 'data', '')}"))
