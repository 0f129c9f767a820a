"""The one place where HTTP is spoken. Everything comes out as an Answer or an AuthUnavailable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from typing import Any, Literal
from urllib.request import Request

import anyio
import httpx
import reactivex
from reactivex import Observable
from reactivex import operators as ops

from ..clock import Clock
from ..delivery import LoopDelivery
from ..errors import AuthClosed, AuthError, AuthTimeout, AuthUnavailable, ConfigurationError
from ..secrecy import discreet, without_frames
from ..signal import Signal
from .address import Address
from .body import ACCEPT_ENCODING, read_body
from .cookies import Jar
from .handshake import HandshakeGuard
from .redact import redact_transport_logs
from .tls import shared_tls

__all__ = ["Answer", "Wire", "WireEvent"]

#: No answer of the auth routes is larger (bytes); a proxy's error page may try.
_LARGEST_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One step of one request, without anything secret.

    ``number`` tells requests apart; ``at`` is monotonic seconds; ``status`` the HTTP status.
    """

    number: int
    phase: Literal["started", "answered", "failed", "cancelled"]
    method: str
    path: str
    at: float
    status: int | None = None
    error: AuthError | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """A complete response. Its body and headers may hold secrets and are not shown."""

    request: str
    response: httpx.Response
    body: bytes

    @property
    def status(self) -> int:
        return self.response.status_code

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.request}>"


class _Borrowed(httpx.AsyncBaseTransport):
    """A transport that somebody else closes."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


class _NoCookies(CookieJar):
    """Not even looked at: of malformed ones http.cookiejar warns."""

    def extract_cookies(self, response: HTTPResponse, request: Request) -> None:
        pass


class Wire:
    """Sends requests to one origin: no redirects, no cookies but the given jar's, bounded in
    time and size, and safe to cancel at any instant.
    """

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        redact_transport_logs()
        self._address = address
        self._clock = clock
        self._timeout = timeout
        self._headers = httpx.Headers(headers)
        if "cookie" in self._headers or "origin" in self._headers:
            raise ConfigurationError("headers must not set Cookie or Origin")
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._closed = False
        self._number = 0
        self._under_way: dict[asyncio.Task[Answer], anyio.CancelScope] = {}
        self.delivery = LoopDelivery()
        self._event: Signal[WireEvent | None] = Signal(None, self.delivery)

    @property
    def events(self) -> Observable[WireEvent]:
        """Every step of every request from now on."""
        return self._event.pipe(ops.skip(1), ops.flat_map(_present))

    @discreet
    async def send(
        self,
        method: str,
        path: str,
        jar: Jar,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Exchange one request.

        :raises AuthUnavailable: no complete answer could be had (AuthTimeout: in time).
        :raises AuthClosed: the client is closed.
        :raises ConfigurationError: the body is not JSON.
        """
        if self._closed:
            raise AuthClosed("the client is closed")
        label = f"{method} {path}"
        headers = httpx.Headers(self._headers)
        headers["origin"] = self._address.origin
        headers["accept"] = "application/json"
        headers["accept-encoding"] = ACCEPT_ENCODING
        if body is None and method != "GET":
            body = {}
        try:
            request = httpx.Request(
                method,
                self._address.url(path),
                params=query,
                headers=headers,
                json=body,
                extensions={
                    "timeout": httpx.Timeout(self._timeout).as_dict(),
                    "trace": HandshakeGuard(),
                },
            )
        except (TypeError, ValueError):
            raise ConfigurationError("the request is not JSON", request=label) from None
        jar.attach(request)
        self._number += 1
        number = self._number
        self._tell(WireEvent(number, "started", method, path, self._clock.monotonic()))
        try:
            answer = await self._guarded(label, request)
        except AuthError as error:
            at = self._clock.monotonic()
            self._tell(WireEvent(number, "failed", method, path, at, error=without_frames(error)))
            raise
        except asyncio.CancelledError:
            at = self._clock.monotonic()
            self._tell(WireEvent(number, "cancelled", method, path, at))
            raise
        at = self._clock.monotonic()
        self._tell(WireEvent(number, "answered", method, path, at, answer.status))
        return answer

    async def _guarded(self, label: str, request: httpx.Request) -> Answer:
        # The exchange has a task and a cancel scope of its own, because a native task.cancel()
        # inside httpx leaves a place of its connection pool taken for ever (HAZARDS K16).
        scope = anyio.CancelScope()
        task = asyncio.get_running_loop().create_task(self._exchange(scope, label, request))
        self._under_way[task] = scope
        task.add_done_callback(self._retire)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            scope.cancel()
            raise

    def _retire(self, task: asyncio.Task[Answer]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled():
            task.exception()  # retrieved, also when its caller has gone

    async def _exchange(
        self, scope: anyio.CancelScope, label: str, request: httpx.Request
    ) -> Answer:
        scope.deadline = anyio.current_time() + self._timeout
        with scope:
            try:
                response = await self._http().send(request, stream=True, follow_redirects=False)
                try:
                    body = await read_body(
                        response, label, largest=_LARGEST_BODY, what="the answer"
                    )
                    return Answer(label, response, body)
                finally:
                    await response.aclose()
                    # httpx's own refers to the response: a cycle that would keep the request,
                    # its cookies and its body, until the garbage collector runs.
                    response.stream = httpx.ByteStream(b"")
            except httpx.TimeoutException:
                raise AuthTimeout("the server did not answer in time", request=label) from None
            except httpx.ProtocolError:
                # Its text quotes what was received: a malformed Set-Cookie line, say.
                raise AuthUnavailable(
                    "no answer: it was cut short or is no HTTP", request=label
                ) from None
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
                raise AuthUnavailable(f"no answer: {reason}", request=label) from None
            except AuthError:
                raise
            except Exception as error:  # a transport of the user's own
                raise AuthUnavailable(
                    f"the transport raised {type(error).__name__}", request=label
                ) from None
        if self._closed:
            raise AuthClosed("the client was closed", request=label)
        raise AuthTimeout("the server did not answer in time", request=label)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            nothing = _NoCookies()
            if self._transport is None:
                self._client = httpx.AsyncClient(verify=shared_tls(), cookies=nothing)
            else:
                self._client = httpx.AsyncClient(
                    transport=_Borrowed(self._transport), cookies=nothing
                )
        return self._client

    def _tell(self, event: WireEvent) -> None:
        self._event.set(event)

    async def aclose(self) -> None:
        """Abort what is under way and close the connections. A borrowed transport stays open."""
        self._closed = True
        for scope in self._under_way.values():
            scope.cancel()
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=self._timeout)
        if self._client is not None:
            await self._client.aclose()
        self._event.complete()
        self.delivery.kick()


def _present(event: WireEvent | None) -> Observable[WireEvent]:
    return reactivex.empty() if event is None else reactivex.just(event)
