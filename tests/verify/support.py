"""An issuer in memory, whose keys, answers and clock are a test's to choose."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from reactive_auth import Backoff
from reactive_auth.testing import VirtualClock, run_virtual
from reactive_auth.verify import JwksVerifier

URL = "https://issuer.test"
JWKS = URL + "/api/auth/jwks"
AUDIENCE = "convex"
ABSENT: Any = object()

#: How a key of each kind signs.
KINDS = {"Ed25519": "EdDSA", "RSA": "RS256", "P-256": "ES256"}


@functools.cache
def private_key(kind: str, number: int = 0) -> Any:
    """The same for the same arguments: an RSA key takes a tenth of a second to make."""
    if kind == "Ed25519":
        return Ed25519PrivateKey.generate()
    if kind == "P-256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65_537, int(kind.partition("-")[2] or 2048))


def jwk_of(key: Any, **members: Any) -> dict[str, Any]:
    """The public key as a JWK."""
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        data = OKPAlgorithm.to_jwk(public)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        data = ECAlgorithm.to_jwk(public)
    else:
        data = RSAAlgorithm.to_jwk(public)
    return {**json.loads(data), **members}


class Issuer(httpx.AsyncBaseTransport):
    """Publishes keys, signs tokens, and remembers when it was asked."""

    def __init__(self, clock: VirtualClock, kind: str = "Ed25519") -> None:
        self.clock = clock
        self.kind = kind
        self.signing: dict[str, Any] = {}
        self.published: list[dict[str, Any]] = []
        #: The monotonic times of the fetches.
        self.asked: list[float] = []
        self.requests: list[httpx.Request] = []
        #: What the next fetches get instead of the keys; the last one for ever after.
        self.answers: list[httpx.Response | Exception] = []
        #: Set it to have fetches wait.
        self.gate: asyncio.Event | None = None
        self.aborted = 0
        self.closed = False
        self.add("key-0")

    def add(self, kid: str, kind: str | None = None, **members: Any) -> None:
        """Publish one more key."""
        key = private_key(kind or self.kind, len(self.signing))
        self.signing[kid] = key
        self.published.append(jwk_of(key, kid=kid, **members))

    def withdraw(self, kid: str) -> None:
        """Publish it no longer."""
        self.published = [jwk for jwk in self.published if jwk.get("kid") != kid]

    def mint(
        self, kid: str = "key-0", *, headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A good token but for what is given; ABSENT leaves a claim out."""
        now = int(self.clock.server())
        good = {
            "iss": URL,
            "aud": AUDIENCE,
            "sub": "u1",
            "sessionId": "A",
            "iat": now,
            "exp": now + 900,
            "secret": "s3cr3t",
        }
        everything = {name: value for name, value in (good | claims).items() if value is not ABSENT}
        # jwt.encode would refuse some of what is to be tested.
        return jwt.api_jws.encode(
            json.dumps(everything).encode(),
            self.signing[kid],
            KINDS[self.kind],
            headers={"kid": kid, **(headers or {})},
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(self.clock.monotonic())
        self.requests.append(request)
        try:
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        if self.answers:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer
        return httpx.Response(200, json={"keys": self.published})

    async def aclose(self) -> None:
        self.closed = True


class World:
    """A verifier over an issuer in virtual time."""

    def __init__(self, clock: VirtualClock, kind: str, options: dict[str, Any]) -> None:
        self.clock = clock
        self.issuer = Issuer(clock, kind)
        self.verifier = JwksVerifier(
            JWKS,
            **{
                "algorithms": [KINDS[kind]],
                "issuer": URL,
                "audience": AUDIENCE,
                "transport": self.issuer,
                "clock": clock,
                "backoff": Backoff(draw=lambda: 1.0),
                **options,
            },
        )

    @property
    def fetches(self) -> int:
        return len(self.issuer.asked)

    def call(self, token: str, **binding: Any) -> asyncio.Task[Any]:
        return asyncio.ensure_future(self.verifier.verify(token, **binding))


Scenario = Callable[[World], Awaitable[None]]


def play(scenario: Scenario, *, kind: str = "Ed25519", **options: Any) -> None:
    """Run a scenario in virtual time; nothing may be left at its end."""
    clock = VirtualClock()

    async def main() -> None:
        here = World(clock, kind, options)
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: problems.append(context)
        )
        try:
            await scenario(here)
        finally:
            await here.verifier.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not problems, problems
            assert not here.issuer.closed, "a borrowed transport was closed"

    run_virtual(main(), clock)


def world(**options: Any) -> Callable[[Scenario], Callable[[], None]]:
    """Make a test out of a scenario."""

    def decorate(scenario: Scenario) -> Callable[[], None]:
        @functools.wraps(scenario)
        def test() -> None:
            play(scenario, **options)

        del test.__wrapped__  # pytest would read the scenario's parameters as fixtures
        return test

    return decorate


async def turn(times: int = 20) -> None:
    """Let everything that is due now happen."""
    for _ in range(times):
        await asyncio.sleep(0)
