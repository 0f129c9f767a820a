"""What a view says about a state, in words; the same in every toolkit."""

from __future__ import annotations

from datetime import UTC, datetime

from ..models import AccessToken, AuthState

__all__ = ["headline", "remaining", "trouble"]


def headline(state: AuthState) -> str:
    """One line: who is signed in, or what is being waited for.

    An outage reads as "Reconnecting", with the user still there; a rotation changes nothing.
    """
    if state.status == "unknown":
        return "Connecting…" if state.error is None else "Reconnecting…"
    if state.status == "signed_out":
        return "Signed out"
    if state.status == "expired":
        return "Your session has ended: sign in again"
    user = state.user
    name = (user.name or user.email or user.id) if user is not None else "somebody"
    return f"{name} · reconnecting…" if state.error is not None else name


def remaining(token: AccessToken | None, *, now: datetime | None = None) -> str:
    """How long the token is still good, as ``14:59`` or ``1:59:59``; ``–`` without one."""
    if token is None:
        return "–"
    left = max(0, int((token.expires_at - (now or datetime.now(UTC))).total_seconds()))
    hours, minutes = divmod(left // 60, 60)
    return f"{hours}:{minutes:02}:{left % 60:02}" if hours else f"{minutes}:{left % 60:02}"


def trouble(state: AuthState) -> str:
    """Why the newest attempt failed; empty when it did not."""
    error = state.error
    if error is None:
        return ""
    return str(error.args[0]) if error.args else type(error).__name__  # which request is for logs
