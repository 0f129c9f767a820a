"""What an answer means: every status and body maps to exactly one outcome (HAZARDS F1, F6, F12).

===================================  =========================================================
answer                               outcome
===================================  =========================================================
2xx with JSON                        ``ok``
401, 403 with JSON or nothing        ``refused``; from the token route: no session, authoritative
other 4xx with JSON or nothing       ``refused``
408, 425, 429, every 5xx             ``unavailable``
3xx                                  ``unavailable``: redirects are not followed
anything else, HTML, broken JSON     ``unavailable``
===================================  =========================================================

get-session has no session exactly when it answers 200 with a JSON ``null``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast

from ..errors import AuthRejected, AuthUnavailable, NotAuthenticated
from ..models import Session, SessionState, User
from .wire import Answer

__all__ = ["classify", "read_command", "read_session", "read_token", "retry_after", "server_time"]

Outcome = Literal["ok", "refused", "unavailable"]

_TRANSIENT = frozenset({408, 425, 429})
#: Codes of a 401 that are about the session and not about the credentials in the request.
_SESSION_CODES = frozenset({None, "UNAUTHORIZED", "SESSION_NOT_FOUND", "SESSION_REQUIRED"})


def classify(status: int) -> Outcome:
    """The outcome of a well-formed answer with this status."""
    if 200 <= status < 300:
        return "ok"
    if 400 <= status < 500 and status not in _TRANSIENT:
        return "refused"
    return "unavailable"


def read_session(answer: Answer, offset: timedelta) -> SessionState:
    """The state that a get-session answer tells. ``offset`` is the server's clock minus ours.

    Raises AuthUnavailable for everything that is neither a session nor a JSON null.
    """
    if answer.status != 200:
        raise unavailable(answer)
    data = _json(answer)
    if data is None:
        return SessionState.signed_out()
    if not isinstance(data, dict):
        raise AuthUnavailable("the session answer is no object", request=answer.request)
    fields = cast("dict[str, Any]", data)
    user = read_user(fields.get("user"))
    session = _session(fields.get("session"), offset)
    if session is None or user is None:
        raise AuthUnavailable("the session answer has no id", request=answer.request)
    return SessionState.signed_in(session, user)


def read_token(answer: Answer) -> str:
    """The token of a token route.

    Raises NotAuthenticated on a 401 or 403 of the route itself (an HTML page comes from
    something in between), AuthRejected on another refusal, AuthUnavailable otherwise.
    """
    if answer.status in (401, 403) and _own(answer):
        raise NotAuthenticated("the server says there is no session", request=answer.request)
    data = read_command(answer)
    token = cast("dict[str, Any]", data).get("token") if isinstance(data, dict) else None
    if not isinstance(token, str) or not token:
        raise AuthUnavailable("the token answer has no token", request=answer.request)
    return token


def read_command(answer: Answer) -> Any:
    """The JSON of any other route.

    Raises AuthRejected when the server refused, NotAuthenticated when it did so for want of a
    session, AuthUnavailable otherwise.
    """
    outcome = classify(answer.status)
    if outcome == "ok":
        return _json(answer) if answer.body else None
    if outcome == "unavailable" or not _own(answer):
        raise unavailable(answer)
    code, message = _refusal(answer)
    if answer.status == 401 and code in _SESSION_CODES:
        raise NotAuthenticated("the server says there is no session", request=answer.request)
    if answer.status == 404 and not answer.body:
        message = "the server has no such route"
    raise AuthRejected(
        message or f"the server refused with {answer.status}",
        status=answer.status,
        code=code,
        request=answer.request,
    )


def unavailable(answer: Answer) -> AuthUnavailable:
    """The error for an answer that tells nothing."""
    if 300 <= answer.status < 400:
        message = f"the server redirects ({answer.status}), which is not followed"
    elif answer.status == 429:
        message = "the server limits the rate of requests"
    elif classify(answer.status) == "unavailable":
        message = f"the server answered {answer.status}"
    else:
        message = f"something in between answered {answer.status}, not the auth server"
    return AuthUnavailable(
        message,
        status=answer.status,
        retry_after=retry_after(answer.response.headers),
        request=answer.request,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from Retry-After (RFC 9110, 10.2.3: a number or a date) or Better Auth's
    X-Retry-After."""
    value = headers.get("x-retry-after") or headers.get("retry-after")
    if not value:
        return None
    with contextlib.suppress(ValueError):
        delay = float(value)
        return max(0.0, delay) if math.isfinite(delay) else None
    date = _http_date(value)
    now = server_time(headers) or datetime.now(UTC)
    return max(0.0, (date - now).total_seconds()) if date is not None else None


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The server's clock, from the Date header."""
    return _http_date(headers.get("date", ""))


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def read_user(data: object) -> User | None:
    """A user object; None if it has no id."""
    if not isinstance(data, dict):
        return None
    fields = dict(cast("dict[str, Any]", data))
    identity = _identity(fields.pop("id", None))
    if identity is None:
        return None
    return User(
        id=identity,
        email=_text(fields.pop("email", None)),
        name=_text(fields.pop("name", None)),
        email_verified=fields.pop("emailVerified", None) is True,
        image=_text(fields.pop("image", None)),
        created_at=_time(fields.pop("createdAt", None)),
        updated_at=_time(fields.pop("updatedAt", None)),
        extra=fields,
    )


def _session(data: object, offset: timedelta) -> Session | None:
    if not isinstance(data, dict):
        return None
    fields = dict(cast("dict[str, Any]", data))
    fields.pop("token", None)  # the session's own secret
    identity = _identity(fields.pop("id", None))
    if identity is None:
        return None
    expires_at = _time(fields.pop("expiresAt", None))
    if expires_at is not None:
        with contextlib.suppress(OverflowError):
            expires_at -= offset
    return Session(
        id=identity,
        user_id=_identity(fields.pop("userId", None)),
        expires_at=expires_at,
        created_at=_time(fields.pop("createdAt", None)),
        updated_at=_time(fields.pop("updatedAt", None)),
        ip_address=_text(fields.pop("ipAddress", None)),
        user_agent=_text(fields.pop("userAgent", None)),
        extra=fields,
    )


read_listed_session = _session


def _json(answer: Answer) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        raise AuthUnavailable(
            "the answer is no JSON", status=answer.status, request=answer.request
        ) from None


def _own(answer: Answer) -> bool:
    """Whether a refusal comes from the auth server: it sends JSON or nothing."""
    if not answer.body.strip():
        return True
    try:
        return isinstance(answer.json(), dict)
    except (ValueError, RecursionError):
        return False


def _refusal(answer: Answer) -> tuple[str | None, str | None]:
    if not answer.body.strip():
        return None, None
    fields = cast("dict[str, Any]", answer.json())
    # The device routes speak OAuth (RFC 6749, 5.2) where the others have code and message.
    code = _text(fields.get("code")) or _text(fields.get("error"))
    message = _text(fields.get("message")) or _text(fields.get("error_description"))
    return code, message


def _identity(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: object) -> datetime | None:
    """An ISO 8601 instant, or a number of milliseconds as JavaScript has it."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
