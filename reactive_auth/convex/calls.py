"""Functions of a deployment over HTTP, without a socket whose client would stop the process."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal, cast

import httpx
from convex import ConvexError, ConvexExecutionError, convex_to_json, json_to_convex

from ..blocking import BlockingAuth
from ..client.address import is_loopback
from ..errors import AuthRejected, AuthTimeout, AuthUnavailable, ConfigurationError
from ..policy import seconds
from ..provider import AuthProvider
from ..secrecy import Masked
from .refusal import looks_like_auth_error

__all__ = ["ConvexFunctions", "functions"]

#: The status with which a deployment says that the function itself threw.
_FUNCTION_ERROR = 560


def functions(
    auth: AuthProvider[Any] | BlockingAuth,
    url: str,
    *,
    timeout: float | timedelta = 30.0,
    is_auth_error: Callable[[Exception], bool] = looks_like_auth_error,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ConvexFunctions:
    """Queries, mutations and actions of the deployment at ``url``, as whoever is signed in.

    :param timeout: bound on one request, in seconds or as a timedelta.
    :param is_auth_error: whether a function's error says that its token or session was not good.
    :param transport: an httpx transport instead of sockets; it is not closed.
    :raises ConfigurationError: no http(s) URL; one without TLS that is not this machine's.
    """
    if not isinstance(auth, (AuthProvider, BlockingAuth)):
        raise ConfigurationError("functions() needs what connect() or connect_blocking() gives")
    try:
        address = httpx.URL(url)
    except (TypeError, httpx.InvalidURL):
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise ConfigurationError("a deployment's URL is like https://happy-animal-123.convex.cloud")
    if address.scheme == "http" and not is_loopback(address.host):
        raise ConfigurationError("a deployment is reached by https; http is for this machine only")
    provider = auth.provider if isinstance(auth, BlockingAuth) else auth
    bound = seconds("timeout", timeout, least=0.001)
    return ConvexFunctions(provider, address, bound, is_auth_error, transport)


class ConvexFunctions:
    """What :func:`functions` returns. May be used on any event loop; there is nothing to close.

    Every method raises ``convex.ConvexError`` or ``convex.ConvexExecutionError`` when the function
    did, AuthRejected when a fresh token is refused, too, and AuthUnavailable when no answer could
    be had: then it is not known whether the function ran.

    A call that meets a rotation is sent once more with the new token: on a 401, when nothing was
    run, and when a query or mutation threw an auth error, and hence had no effect. Actions have
    effects before they throw, and are not repeated.
    """

    def __init__(
        self,
        provider: AuthProvider[Any],
        url: httpx.URL,
        timeout: float,
        is_auth_error: Callable[[Exception], bool],
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._provider = provider
        self._url = url
        self._timeout = timeout
        self._is_auth_error = is_auth_error
        self._transport = transport

    async def query(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Run a query once."""
        return await self._call("query", name, args)

    async def mutation(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Run a mutation. It is not queued behind others, as those over the socket are."""
        return await self._call("mutation", name, args)

    async def action(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Run an action."""
        return await self._call("action", name, args)

    def __repr__(self) -> str:
        return f"<ConvexFunctions at {self._url.host}>"

    async def _call(
        self,
        kind: Literal["query", "mutation", "action"],
        name: str,
        args: Mapping[str, Any] | None,
    ) -> Any:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError("a function's path is a string like 'messages:send'")
        body = {"path": name, "format": "convex_encoded_json", "args": _encoded(args)}
        token = Masked(await self._provider.fetch_access_token())
        try:
            return await self._send(kind, body, token)
        except Exception as error:
            threw = isinstance(error, (ConvexError, ConvexExecutionError))
            again = (kind != "action" and self._is_auth_error(error)) if threw else _is_401(error)
            if token.value is None or not again:
                raise
            fresh = Masked(await self._provider.fetch_access_token(rejected=token.value))
            if fresh.value is None or fresh.value == token.value:
                raise
        return await self._send(kind, body, fresh)

    async def _send(self, kind: str, body: dict[str, Any], token: Masked[str | None]) -> Any:
        # Not the mapping: that would be shown in a traceback.
        headers = httpx.Headers({"authorization": f"Bearer {token.value}"} if token.value else {})
        request = f"POST /api/{kind}"
        try:
            # A client for each call: a cancelled request leaves a shared one's pool with a place
            # taken for ever.
            async with httpx.AsyncClient(
                transport=self._transport and _Borrowed(self._transport),
                verify=_tls(),
                timeout=self._timeout,
            ) as http:
                url = self._url.join(f"/api/{kind}")
                response = await http.post(url, json=body, headers=headers)
        except httpx.TimeoutException:
            raise AuthTimeout("the deployment did not answer in time", request=request) from None
        except httpx.HTTPError as error:
            raise AuthUnavailable(
                f"the deployment could not be reached: {type(error).__name__}", request=request
            ) from None
        return _outcome(response, request)


def _outcome(response: httpx.Response, request: str) -> Any:
    status = response.status_code
    try:
        answer: Any = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        answer = None
    said = cast(dict[str, Any], answer) if isinstance(answer, dict) else {}
    if status in (200, _FUNCTION_ERROR) and said.get("status") == "success":
        return json_to_convex(said.get("value"))
    if status in (200, _FUNCTION_ERROR) and said.get("status") == "error":
        message = str(said.get("errorMessage", "the function threw"))
        if "errorData" in said:
            raise ConvexError(message, json_to_convex(said["errorData"]))
        raise ConvexExecutionError(message)
    if 400 <= status < 500 and status not in (408, 429):
        raise AuthRejected(
            f"the deployment refused the call: {said.get('message', status)}",
            status=status,
            code=said.get("code"),
            request=request,
        )
    raise AuthUnavailable(
        f"the deployment answered {status}, and nothing of use", status=status, request=request
    )


def _encoded(args: Mapping[str, Any] | None) -> Any:
    if args is not None and not isinstance(args, Mapping):
        raise ConfigurationError("a function's arguments are a mapping with string keys, or None")
    return convex_to_json(dict(args or {}))


def _is_401(error: Exception) -> bool:
    return isinstance(error, AuthRejected) and error.status == 401


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    # Making one costs 22 ms; it holds no state of any user.
    return httpx.create_ssl_context()


class _Borrowed(httpx.AsyncBaseTransport):
    """A transport that somebody else closes."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)
