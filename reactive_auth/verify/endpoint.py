"""The JWKS URL, and one request to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx

from ..client.address import is_loopback
from ..client.answers import retry_after
from ..client.body import ACCEPT_ENCODING, read_body
from ..client.handshake import HandshakeGuard
from ..client.tls import shared_tls
from ..errors import AuthTimeout, AuthUnavailable, ConfigurationError

__all__ = ["JwksEndpoint", "parse_jwks_url"]

#: No issuer publishes more (bytes).
_LARGEST_BODY = 1 << 18


def parse_jwks_url(url: str, *, allow_http: bool) -> httpx.URL:
    """Check a JWKS URL. Raises ConfigurationError for what can never work, and for plain http
    to another machine unless ``allow_http`` is set: whoever is in between could send their keys.
    """
    try:
        parsed = httpx.URL(url.strip()) if isinstance(url, str) else httpx.URL("")
    except (httpx.InvalidURL, ValueError):
        raise ConfigurationError("the JWKS URL is malformed") from None
    if parsed.scheme not in ("https", "http") or not parsed.host:
        raise ConfigurationError("the JWKS URL must be absolute: https://host[:port]/path")
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise ConfigurationError("the JWKS URL's port is none")
    if parsed.userinfo or parsed.fragment:
        raise ConfigurationError("the JWKS URL must not carry a password or a fragment")
    if parsed.scheme == "http" and not allow_http and not is_loopback(parsed.host):
        raise ConfigurationError(
            f"keys sent over plain http by {parsed.host} could be anybody's: "
            "use https, or pass allow_http=True"
        )
    return parsed


class JwksEndpoint:
    """Fetches the key set: no redirects, bounded in time and size.

    An httpx client per fetch, which is rare: between fetches no connection is open, and no event
    loop is held on to. A client or transport of the caller's is left open.
    """

    def __init__(
        self,
        url: httpx.URL,
        *,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
        http: httpx.AsyncClient | None,
    ) -> None:
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise ConfigurationError("transport must be an httpx.AsyncBaseTransport")
        if http is not None and not isinstance(http, httpx.AsyncClient):
            raise ConfigurationError("http must be an httpx.AsyncClient")
        if transport is not None and http is not None:
            raise ConfigurationError("pass transport or http, not both")
        self._url = url
        self._timeout = timeout
        self._transport = transport
        self._http = http
        self.label = f"GET {url.path}"

    async def get(self, scope: anyio.CancelScope) -> bytes:
        """The body of the answer. Cancelling the scope aborts; cancelling the task may leave a
        place of the client's pool taken (HAZARDS K16).

        Raises AuthUnavailable for everything but a complete answer with status 200.
        """
        scope.deadline = anyio.current_time() + self._timeout
        with scope:
            try:
                return await self._get()
            except httpx.TimeoutException:
                pass
            except httpx.ProtocolError:
                # Its text quotes what was received.
                raise AuthUnavailable(
                    "no answer: it was cut short or is no HTTP", request=self.label
                ) from None
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
                raise AuthUnavailable(f"no answer: {reason}", request=self.label) from None
            except AuthUnavailable:
                raise
            except Exception as error:  # a transport or client of the user's own
                raise AuthUnavailable(
                    f"the transport raised {type(error).__name__}", request=self.label
                ) from None
        raise AuthTimeout("the keys were not sent in time", request=self.label)

    async def _get(self) -> bytes:
        async with (
            self._client() as client,
            client.stream(
                "GET",
                self._url,
                headers={
                    "accept": "application/jwk-set+json, application/json",
                    "accept-encoding": ACCEPT_ENCODING,
                },
                follow_redirects=False,
                timeout=self._timeout,
                extensions={"trace": HandshakeGuard()},
            ) as response,
        ):
            if response.status_code != 200:
                raise AuthUnavailable(
                    f"the server answered {response.status_code} where keys were due",
                    status=response.status_code,
                    retry_after=retry_after(response.headers),
                    request=self.label,
                )
            return await read_body(response, self.label, largest=_LARGEST_BODY, what="the key set")

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[httpx.AsyncClient]:
        if self._http is not None:
            yield self._http
        elif self._transport is not None:
            # Not closed, because that would close the transport; it holds nothing else.
            yield httpx.AsyncClient(transport=self._transport)
        else:
            async with httpx.AsyncClient(verify=shared_tls()) as client:
                yield client
