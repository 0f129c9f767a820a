"""One tree of errors. Nothing in it ever carries a secret: not in args, str, repr or pickle."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AuthClosed",
    "AuthError",
    "AuthRejected",
    "AuthTimeout",
    "AuthUnavailable",
    "ConfigurationError",
    "InvalidToken",
    "NotAuthenticated",
    "TokenMismatch",
    "WrongThread",
]


class AuthError(Exception):
    """Base of every error this library raises or publishes in a state.

    ``request`` names the request it belongs to as ``"METHOD /path"`` (never a query string), or is
    None where no request was made.
    """

    def __init__(self, message: str, *, request: str | None = None) -> None:
        super().__init__(message)
        self.request = request

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else type(self).__name__
        return f"{message} [{self.request}]" if self.request else message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions rebuild from args alone; the keyword attributes travel in the state.
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(kind: type[AuthError], args: tuple[Any, ...], state: dict[str, Any]) -> AuthError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(AuthError, ValueError):
    """An argument or option that can never work. Raised at the call that brings it."""


class AuthClosed(AuthError, RuntimeError):
    """The provider or client was used after it was closed."""


class WrongThread(AuthError, RuntimeError):
    """A blocking call was made on the very thread that would have to answer it."""


class NotAuthenticated(AuthError):
    """Authoritative: the server itself said there is no session."""


class AuthRejected(AuthError):
    """The server understood the request and refused it (a wrong password, say).

    ``status`` is the HTTP status, ``code`` Better Auth's machine-readable code where it sent one.
    """

    def __init__(
        self, message: str, *, status: int, code: str | None = None, request: str | None = None
    ) -> None:
        super().__init__(message, request=request)
        self.status = status
        self.code = code


class AuthUnavailable(AuthError):
    """Transient: no answer could be had, which says nothing about the session.

    ``retry_after`` is the number of seconds the server asked for, or the time until the next
    attempt; None where neither is known. ``status`` is the HTTP status where there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        request: str | None = None,
    ) -> None:
        super().__init__(message, request=request)
        self.retry_after = retry_after
        self.status = status


class AuthTimeout(AuthUnavailable, TimeoutError):
    """The bound on an attempt or on a call ran out."""


class InvalidToken(AuthUnavailable):
    """The token source answered with something that is no usable token of the current session."""


class TokenMismatch(InvalidToken):
    """The token's claims name another session or user than the current one."""


def same_error(a: AuthError | None, b: AuthError | None) -> bool:
    """Whether two errors tell a user the same thing, so that a state need not change."""
    return a is b or (type(a) is type(b) and str(a) == str(b))
