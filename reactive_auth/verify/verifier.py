"""Verification of a server's tokens, by whoever is handed them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

import anyio
import httpx

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import AuthTimeout, AuthUnavailable, ConfigurationError
from ..extras import require as import_extra
from ..policy import Backoff, seconds
from ..secrecy import discreet, discreet_call
from .bearer import TokenRefused
from .claims import Binding, VerifiedClaims, read_claims
from .endpoint import JwksEndpoint, parse_jwks_url
from .keys import ALGORITHMS
from .remote import RemoteKeySet

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["JwksVerifier"]

#: RFC 7515, 7.1: three parts of base64url, without padding.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
#: Characters. No server takes a longer header.
_LONGEST_TOKEN = 1 << 16


class JwksVerifier:
    """Verifies JWTs with the keys that their issuer publishes (RFC 7517, 7519, 8725).

    :param jwks_url: a Better Auth server's ``/api/auth/jwks`` or ``/api/auth/convex/jwks``.
        https, unless it is this machine's or ``allow_http`` is set.
    :param algorithms: which are accepted: ``["EdDSA"]`` for ``/jwks``, ``["RS256"]`` for
        ``/convex/jwks``. Only signatures; neither HMAC nor ``none``.
    :param issuer: what ``iss`` must be: the server's base URL.
    :param audience: what ``aud`` must be or contain, or several of which any will do:
        ``"convex"`` for ``/convex/token``, the server's base URL for ``/token``.
    :param leeway: by how much the clocks may differ when ``exp``, ``nbf`` and ``iat`` are
        checked.
    :param require: claims that must be there beside ``exp``, ``iss``, ``aud`` and ``sub``.
    :param require_session: refuse tokens that are bound to no session.
    :param session_claim: the claim that names it: ``sessionId`` in tokens of ``/convex/token``;
        those of ``/token`` have none.
    :param is_live: asked with the session's id whether that session still lives. Only True
        accepts; what it raises is AuthUnavailable. Implies ``require_session``.
    :param max_age: keys this old are fetched anew.
    :param max_stale: while that fails the last good ones serve until they are this old.
    :param min_interval: unknown key ids cause at most one fetch in this time.
    :param timeout: bound on one fetch, and on one ``is_live``.
    :param backoff: how failed fetches are repeated.
    :param transport: an httpx transport, or with ``http`` a client, that stays yours to close.
    :raises ConfigurationError: an argument that can never work.
    :raises ImportError: the extra ``[verify]`` is not installed.

    Durations are seconds or timedeltas. A verifier belongs to one event loop at a time.
    """

    @discreet_call
    def __init__(
        self,
        jwks_url: str,
        *,
        algorithms: Iterable[str],
        issuer: str,
        audience: str | Iterable[str],
        leeway: float | timedelta = 30.0,
        require: Iterable[str] = (),
        require_session: bool = False,
        session_claim: str = "sessionId",
        is_live: Callable[[str], Awaitable[bool]] | None = None,
        max_age: float | timedelta = 600.0,
        max_stale: float | timedelta = 3600.0,
        min_interval: float | timedelta = 60.0,
        timeout: float | timedelta = 5.0,
        backoff: Backoff | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        http: httpx.AsyncClient | None = None,
        allow_http: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._algorithms = frozenset(_names("algorithms", algorithms))
        for name in sorted(self._algorithms - ALGORITHMS):
            raise ConfigurationError(
                f"{name} is no signature algorithm for published keys; "
                f"there are {', '.join(sorted(ALGORITHMS))}"
            )
        (self._issuer,) = _names("issuer", (issuer,))
        self._audience = _names("audience", audience)
        self._leeway = seconds("leeway", leeway)
        self._require = _names("require", require, least=0)
        (self._session_claim,) = _names("session_claim", (session_claim,))
        if is_live is not None and not callable(is_live):
            raise ConfigurationError("is_live must be an async function of a session id")
        self._is_live = is_live
        self._require_session = require_session or is_live is not None
        self._timeout = seconds("timeout", timeout, least=0.001)
        if backoff is not None and not isinstance(backoff, Backoff):
            raise ConfigurationError("backoff must be a Backoff")
        self._clock = clock
        fresh = seconds("max_age", max_age, least=1.0)
        url = parse_jwks_url(jwks_url, allow_http=allow_http)
        self._url = str(url.copy_with(query=None))
        self._keys = RemoteKeySet(
            JwksEndpoint(url, timeout=self._timeout, transport=transport, http=http),
            self._algorithms,
            clock=clock,
            max_age=fresh,
            max_stale=seconds("max_stale", max_stale, least=fresh),
            min_interval=seconds("min_interval", min_interval, least=1.0),
            backoff=backoff or Backoff(),
        )
        # Now, not within the first request.
        import_extra("cryptography", extra="verify")
        import_extra("jwt", extra="verify")

    @discreet
    async def verify(self, token: str, **binding: Unpack[Binding]) -> VerifiedClaims:
        """What the token says, if it is to be believed.

        :param binding: ``session_id`` and ``subject``, if it must be of this session or user.
        :raises TokenRefused: it is not; answer 401.
        :raises AuthUnavailable: that cannot be told now; answer 503.
        :raises ConfigurationError: a binding that is no non-empty string.
        :raises AuthClosed: the verifier is closed.
        """
        _check_binding(binding)
        key_id, algorithm = self._read_header(token)
        key = await self._keys.find(key_id, algorithm)
        if key is None:
            raise TokenRefused("the issuer publishes no such key for the algorithm", reason="key")
        verified = read_claims(
            self._decode(token, key, algorithm),
            now=self._clock.wall(),
            leeway=self._leeway,
            require=self._require,
            session_claim=self._session_claim,
            require_session=self._require_session,
            binding=binding,
        )
        if self._is_live is not None and verified.session_id is not None:
            await self._check_session(self._is_live, verified.session_id)
        return verified

    async def refresh(self) -> None:
        """Fetch the keys now, at a program's start, say. Raises AuthUnavailable if that fails."""
        await self._keys.refresh()

    async def aclose(self) -> None:
        """Abort a fetch under way. What :meth:`verify` is asked later is AuthClosed."""
        await self._keys.aclose()

    def _read_header(self, token: str) -> tuple[str, str]:
        import jwt

        if not isinstance(token, str) or len(token) > _LONGEST_TOKEN:
            raise _malformed()
        if _COMPACT.fullmatch(token) is None:
            raise _malformed()
        try:
            header: dict[str, Any] = jwt.get_unverified_header(token)
            key_id, algorithm = header.get("kid"), header.get("alg")
            critical = "crit" in header or "b64" in header
        except Exception:  # PyJWT has a class for most of what is wrong, not for all
            raise _malformed() from None
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise TokenRefused("the token's algorithm is not accepted", reason="algorithm")
        if critical:
            raise TokenRefused("the token has extensions not understood here", reason="malformed")
        if not isinstance(key_id, str) or not key_id:
            raise TokenRefused("the token does not name its key", reason="key")
        return key_id, algorithm

    def _decode(self, token: str, key: PyJWK, algorithm: str) -> dict[str, Any]:
        import jwt

        try:
            # The rest is checked in claims.py: PyJWT reads the machine's clock.
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                },
            )
        except Exception as error:
            raise _refusal(error) from None

    async def _check_session(
        self, is_live: Callable[[str], Awaitable[bool]], session_id: str
    ) -> None:
        try:
            with anyio.fail_after(self._timeout):
                live = await is_live(session_id)
        except (TokenRefused, AuthUnavailable):
            raise
        except TimeoutError:
            raise AuthTimeout("whether the session lives was not said in time") from None
        except Exception as error:
            raise AuthUnavailable(f"is_live raised {type(error).__name__}") from error
        if live is not True:
            raise TokenRefused("the session has ended", reason="session")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<JwksVerifier {', '.join(sorted(self._algorithms))} of {self._url}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a JwksVerifier is live and cannot be pickled or copied")


def _refusal(error: Exception) -> TokenRefused:
    import jwt

    match error:
        case jwt.InvalidSignatureError():
            return TokenRefused("the signature is not the issuer's", reason="signature")
        case jwt.InvalidIssuerError():
            return TokenRefused("the token is of another issuer", reason="issuer")
        case jwt.InvalidAudienceError():
            return TokenRefused("the token is for another audience", reason="audience")
        case jwt.MissingRequiredClaimError():
            return TokenRefused("the token does not say who issued it for whom", reason="claims")
        case _:
            return _malformed()


def _malformed() -> TokenRefused:
    return TokenRefused("the token is no signed JWT", reason="malformed")


def _names(what: str, value: str | Iterable[str], *, least: int = 1) -> tuple[str, ...]:
    try:
        names = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        names = ()
        least = 1
    if len(names) < least or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"{what} must be given, as non-empty strings")
    return names


def _check_binding(binding: Binding) -> None:
    for name, value in binding.items():
        if name not in Binding.__annotations__:
            raise ConfigurationError(f"a token can be bound to session_id and subject, not {name}")
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{name} must be a non-empty string, or left out")
