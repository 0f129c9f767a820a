"""A Better Auth server's routes as methods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, cast

from ..errors import AuthRejected, AuthUnavailable, ConfigurationError
from ..models import Session, SessionState, User
from ..secrecy import discreet
from .address import route
from .answers import read_listed_session, read_user
from .keeper import ClientOptions, SessionKeeper
from .redirect import split_redirect

__all__ = ["BetterAuthClient", "ClientOptions"]


class BetterAuthClient(SessionKeeper):
    """An :class:`~reactive_auth.AuthClient` over HTTP with cookies.

    :param url: the server's origin, ``https://app.example.com``; a path in it replaces the
        default base path ``/api/auth``.

    Options: ``base_path``; ``token_path`` (default ``/convex/token``, and ``/token`` where that
    is a 404); ``cookies`` to start from; ``session_cookie``, how the session cookie's name ends
    (default ``session_token``); extra ``headers``; ``allow_http`` for plain http to another
    machine; ``transport``, an httpx transport that stays yours to close; ``request_timeout``
    (10 s); ``poll_interval`` to look at the session regularly (off); ``backoff``; ``clock``.

    Methods raise AuthUnavailable when no answer could be had, AuthRejected when the server
    refused, NotAuthenticated when it did so for want of a session, AuthClosed after closing.
    """

    # -- sign-up, sign-in, sign-out ----------------------------------------------------------

    @discreet
    async def sign_up_email(
        self, *, email: str, password: str, name: str, **fields: object
    ) -> User | None:
        """Create an account; signed in when it returns, unless the server wants more first.

        Raises AuthRejected (``USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL``, ``PASSWORD_TOO_SHORT``).
        """
        body = {**fields, "email": email, "password": password, "name": name}
        del password
        return _user_in(await self.command("/sign-up/email", body))

    @discreet
    async def sign_in_email(
        self, *, email: str, password: str, remember_me: bool = True
    ) -> User | None:
        """Sign in; the new session and its token are on the streams when it returns.

        :returns: the user, or None where the server wants a second factor first.
        :raises AuthRejected: ``INVALID_EMAIL_OR_PASSWORD`` for either.
        """
        body = {"email": email, "password": password, "rememberMe": remember_me}
        del password
        return _user_in(await self.command("/sign-in/email", body))

    # -- the account -------------------------------------------------------------------------

    @discreet
    async def change_password(
        self, *, current_password: str, new_password: str, revoke_other_sessions: bool = False
    ) -> User | None:
        """Change the password. With ``revoke_other_sessions`` the session id rotates: tokens are
        held meanwhile, and the new session and token are on the streams when it returns.

        Raises AuthRejected (``INVALID_PASSWORD``, ``PASSWORD_TOO_SHORT``).
        """
        body = {
            "currentPassword": current_password,
            "newPassword": new_password,
            "revokeOtherSessions": revoke_other_sessions,
        }
        del current_password, new_password
        return _user_in(await self.command("/change-password", body))

    @discreet
    async def update_user(self, **fields: object) -> None:
        """Change fields of the user, named as the server names them (``name``, ``image``)."""
        if not fields:
            raise ConfigurationError("update_user needs at least one field")
        await self.command("/update-user", fields)

    @discreet
    async def delete_user(self, *, password: str | None = None) -> None:
        """Delete the account and be signed out. Raises AuthRejected (``SESSION_EXPIRED``) where
        the session is not fresh and no password is given."""
        body = {} if password is None else {"password": password}
        del password
        await self.command("/delete-user", body)

    # -- sessions ----------------------------------------------------------------------------

    @discreet
    async def get_session(self) -> SessionState:
        """Ask the server now, past its cookie cache, and return what it said."""
        return await self.refetch()

    @discreet
    async def list_sessions(self) -> list[Session]:
        """The user's live sessions. Raises AuthRejected (``SESSION_NOT_FRESH``)."""
        return [session for session, _ in await self._listed()]

    @discreet
    async def revoke_session(self, session_id: str) -> None:
        """End one of the user's sessions, this one too. Raises AuthRejected if there is none."""
        for session, secret in await self._listed():
            if session.id == session_id:
                if not isinstance(secret, str) or not secret:
                    raise AuthUnavailable(
                        "the session is listed without its token", request="GET /list-sessions"
                    )
                await self.command("/revoke-session", {"token": secret})
                return
        raise AuthRejected("the user has no such session", status=404, code="SESSION_NOT_FOUND")

    @discreet
    async def revoke_other_sessions(self) -> None:
        """End all of the user's sessions but this one."""
        await self.command("/revoke-other-sessions", {})

    @discreet
    async def revoke_sessions(self) -> None:
        """End all of the user's sessions, this one too."""
        await self.command("/revoke-sessions", {})

    async def _listed(self) -> list[tuple[Session, object]]:
        data = await self.command("/list-sessions", None, method="GET")
        if not isinstance(data, list):
            raise AuthUnavailable("the answer is no list", request="GET /list-sessions")
        listed: list[tuple[Session, object]] = []
        for row in cast("list[object]", data):
            session = read_listed_session(row, timedelta(seconds=self.clock_offset))
            if session is not None:
                listed.append((session, cast("dict[str, object]", row).get("token")))
        return listed

    # -- one-time tokens ---------------------------------------------------------------------

    @discreet
    async def generate_one_time_token(self) -> str:
        """A short-lived secret with which another client takes this session over."""
        data = await self.command("/one-time-token/generate", None, method="GET")
        token = cast("dict[str, Any]", data).get("token") if isinstance(data, dict) else None
        if not isinstance(token, str) or not token:
            raise AuthUnavailable("the answer has no token", request="GET /one-time-token/generate")
        return token

    @discreet
    async def verify_one_time_token(self, token: str) -> None:
        """Take over the session a one-time token was made for. Raises AuthRejected if it is
        spent, expired or unknown."""
        body = {"token": token}
        del token
        await self.command(
            "/one-time-token/verify",
            body,
            # What Convex deployments on a domain of their own have instead.
            fallback="/cross-domain/one-time-token/verify",
        )

    @discreet
    async def handle_redirect(self, url: str) -> str:
        """Take over the session that a redirect hands over: verify the one-time token in the
        URL's ``ott`` parameter, and return the URL without it, to go on with.

        A URL without one is returned as it is, and nothing is asked. When it returns, session
        and token are the new ones. Raises AuthRejected if the token is malformed, spent, expired
        or another server's; the session is then what it was.
        """
        clean, token = split_redirect(url)
        del url
        if token is not None:
            await self.verify_one_time_token(token)
        return clean

    # -- every other route -------------------------------------------------------------------

    @discreet
    async def request(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        changes_session: bool | None = None,
    ) -> Any:
        """Call any route, and return its JSON (None for an empty answer).

        :param path: relative to the base path: ``/two-factor/verify-totp``.
        :param changes_session: hold tokens until it is answered, because it may rotate or end
            the session. By default the known routes do.
        """
        if method not in ("GET", "POST"):
            raise ConfigurationError("Better Auth's routes are GET or POST")
        return await self.command(
            route(path), json, method=method, query=query, hold=changes_session
        )


def _user_in(data: object) -> User | None:
    return read_user(cast("dict[str, Any]", data).get("user")) if isinstance(data, dict) else None
