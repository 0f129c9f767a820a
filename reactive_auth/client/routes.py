"""Which routes may change the session, also without a new cookie.

The first list is where the official client refetches (its exact paths and those of the
plugins), and where a native client would see the session cookie change.
"""

from __future__ import annotations

__all__ = ["may_change_session"]

_EXACT = frozenset(
    {
        "/change-email",
        "/change-password",
        "/cross-domain/one-time-token/verify",
        "/delete-user",
        "/device/approve",
        "/one-time-token/verify",
        "/reset-password",
        "/revoke-other-sessions",
        "/revoke-session",
        "/revoke-sessions",
        "/update-session",
        "/update-user",
        "/verify-email",
    }
)
_BELOW = (
    "/admin/impersonate-user",
    "/admin/stop-impersonating",
    "/email-otp/",
    "/magic-link/verify",
    "/multi-session/",
    "/organization/create",
    "/organization/delete",
    "/organization/leave",
    "/organization/set-active",
    "/passkey/verify-",
    "/phone-number/verify",
    "/sign-in/",
    "/sign-out",
    "/sign-up/",
    "/siwe/verify",
    "/two-factor/",
)


def may_change_session(path: str) -> bool:
    """Whether tokens are held while a request to this route is under way, and the session is
    looked at after it succeeded."""
    return path in _EXACT or path.startswith(_BELOW)
