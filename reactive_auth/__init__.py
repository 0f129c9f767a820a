"""Who is signed in and which token is valid, as observable streams."""

from .blocking import BlockingAuth, connect_blocking
from .boundary import auth_boundary, is_auth_error
from .client import BetterAuthClient, WireEvent
from .client.redact import RedactSecrets, redact_logs
from .clock import Clock
from .connect import connect
from .derive import Derived, claim, is_authenticated, select, user
from .errors import (
    AuthClosed,
    AuthError,
    AuthRejected,
    AuthTimeout,
    AuthUnavailable,
    ConfigurationError,
    InvalidToken,
    NotAuthenticated,
    TokenMismatch,
    WrongThread,
)
from .http_auth import BearerAuth, bearer_auth, token_source
from .models import AccessToken, AuthState, Session, SessionState, SessionStatus, User
from .policy import Backoff
from .protocol import AuthClient
from .provider import AuthProvider
from .scoped import while_signed_in
from .signal import Signal

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "AuthClient",
    "AuthClosed",
    "AuthError",
    "AuthProvider",
    "AuthRejected",
    "AuthState",
    "AuthTimeout",
    "AuthUnavailable",
    "Backoff",
    "BearerAuth",
    "BetterAuthClient",
    "BlockingAuth",
    "Clock",
    "ConfigurationError",
    "Derived",
    "InvalidToken",
    "NotAuthenticated",
    "RedactSecrets",
    "Session",
    "SessionState",
    "SessionStatus",
    "Signal",
    "TokenMismatch",
    "User",
    "WireEvent",
    "WrongThread",
    "auth_boundary",
    "bearer_auth",
    "claim",
    "connect",
    "connect_blocking",
    "is_auth_error",
    "is_authenticated",
    "redact_logs",
    "select",
    "token_source",
    "user",
    "while_signed_in",
]
