"""The vocabulary: what a session, a token and the state derived from both look like.

All of it is frozen and compares by value; datetimes are aware; no secret is part of a repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from typing import Literal, NoReturn

from .errors import AuthError, ConfigurationError, same_error

__all__ = ["AccessToken", "AuthState", "Session", "SessionState", "SessionStatus", "User"]

SessionStatus = Literal["unknown", "signed_in", "signed_out", "expired"]


def _nothing() -> Mapping[str, object]:
    return {}  # a plain dict, which pickles; its type lets nobody write to it


def _aware(owner: str, name: str, value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        raise ConfigurationError(f"{owner}.{name} must be an aware datetime")


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in. ``extra`` holds whatever else the server says of the user."""

    id: str
    email: str | None = None
    name: str | None = None
    email_verified: bool = False
    image: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extra: Mapping[str, object] = field(default_factory=_nothing, repr=False, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise ConfigurationError("User.id must be a non-empty string")


@dataclass(frozen=True, slots=True)
class Session:
    """The server's record of a sign-in. The session's own secret token is not part of it.

    ``expires_at`` is read on this machine's clock. ``extra`` holds plugin fields (an active
    organization, say).
    """

    id: str
    user_id: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ip_address: str | None = field(default=None, repr=False)
    user_agent: str | None = field(default=None, repr=False)
    extra: Mapping[str, object] = field(default_factory=_nothing, repr=False, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise ConfigurationError("Session.id must be a non-empty string")
        for name in ("expires_at", "created_at", "updated_at"):
            _aware("Session", name, getattr(self, name))


@dataclass(frozen=True, slots=True, eq=False)
class SessionState:
    """What is known of the session.

    ``refreshing`` means that an own request is under way which may change the session: tokens
    are held until it is answered. ``error`` is why the newest attempt to ask failed, if it did;
    an error never changes ``status``.
    """

    status: SessionStatus
    session: Session | None = None
    user: User | None = None
    refreshing: bool = False
    error: AuthError | None = None

    def __post_init__(self) -> None:
        if self.status not in ("unknown", "signed_in", "signed_out", "expired"):
            raise ConfigurationError(f"unknown session status {self.status!r}")
        if (self.status == "signed_in") != (self.session is not None):
            raise ConfigurationError("a session belongs to the status signed_in and to no other")

    @classmethod
    def unknown(cls, *, error: AuthError | None = None) -> SessionState:
        """Nobody has answered yet."""
        return cls("unknown", error=error)

    @classmethod
    def signed_in(cls, session: Session, user: User | None = None) -> SessionState:
        """The server said there is this session."""
        return cls("signed_in", session, user)

    @classmethod
    def signed_out(cls) -> SessionState:
        """The server said there is no session, or the user signed out here."""
        return cls("signed_out")

    @classmethod
    def expired(cls) -> SessionState:
        """The session reached its end without being renewed."""
        return cls("expired")

    def with_(self, *, refreshing: bool, error: AuthError | None) -> SessionState:
        """The same session with other circumstances; itself where nothing changes."""
        if refreshing == self.refreshing and same_error(error, self.error):
            return self
        return replace(self, refreshing=refreshing, error=error)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SessionState)
            and self.status == other.status
            and self.session == other.session
            and self.user == other.user
            and self.refreshing == other.refreshing
            and same_error(self.error, other.error)
        )

    def __hash__(self) -> int:
        return hash((self.status, self.session, self.refreshing))

    def _repr_html_(self) -> str:
        return _card(
            self.status,
            user=self.user,
            session=self.session,
            error=self.error,
            notes=["refreshing"] if self.refreshing else [],
        )


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A short-lived JWT (or opaque token) of one session.

    ``value`` is a secret and stays out of repr, hash and pickle. ``issued_at`` and
    ``expires_at`` are on this machine's clock, counted from the moment the token was received.
    ``claims`` are **not verified**: they are here for scheduling, matching and display.
    """

    value: str = field(repr=False, hash=False)
    session_id: str
    issued_at: datetime
    expires_at: datetime
    claims: Mapping[str, object] = field(default_factory=_nothing, repr=False, hash=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AccessToken holds a secret and cannot be pickled or copied")

    def _repr_html_(self) -> str:
        until = escape(self.expires_at.isoformat(timespec="seconds"))
        session = _short(self.session_id)
        return f"<code>AccessToken</code> of session <code>{session}</code> until {until}"


@dataclass(frozen=True, slots=True, eq=False)
class AuthState:
    """One value for a view: what to show and whether a token is at hand.

    ``is_authenticated`` says that the user is signed in; ``has_token`` that a usable token is
    cached right now. The two differ after a rotation, before the first fetch and in an outage.
    """

    status: SessionStatus
    is_loading: bool
    is_authenticated: bool
    is_refreshing: bool
    has_token: bool
    session: Session | None
    user: User | None
    error: AuthError | None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, AuthState)
            and self.status == other.status
            and self.is_refreshing == other.is_refreshing
            and self.has_token == other.has_token
            and self.session == other.session
            and self.user == other.user
            and same_error(self.error, other.error)
        )

    def __hash__(self) -> int:
        return hash((self.status, self.session, self.is_refreshing, self.has_token))

    def _repr_html_(self) -> str:
        notes = ["token" if self.has_token else "no token"]
        if self.is_refreshing:
            notes.append("refreshing")
        return _card(
            self.status, user=self.user, session=self.session, error=self.error, notes=notes
        )


def _short(session_id: str) -> str:
    return escape(session_id if len(session_id) <= 8 else session_id[:8] + "…")


def _card(
    status: SessionStatus,
    *,
    user: User | None,
    session: Session | None,
    error: AuthError | None,
    notes: list[str],
) -> str:
    parts = [f"<b>{escape(status.replace('_', ' '))}</b>"]
    if user is not None:
        parts.append(escape(user.email or user.name or user.id))
    if session is not None:
        parts.append(f"session <code>{_short(session.id)}</code>")
    parts.extend(escape(note) for note in notes)
    if error is not None:
        parts.append(f"<i>{escape(str(error))}</i>")
    return "<span>" + " · ".join(parts) + "</span>"
