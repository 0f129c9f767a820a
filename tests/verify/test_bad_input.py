"""Whatever a client sends as a token, and whatever comes as a key set: never an acceptance, and
never an error of another tree."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import AuthUnavailable
from reactive_auth.verify import TokenRefused

from .support import World, play
from .test_bearer import CHALLENGE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["EdDSA", "RS256", "none", "HS256"]) | JSON,
        "kid": st.sampled_from(["key-0", "key-1"]) | JSON,
        "crit": JSON,
        "b64": JSON,
        "jku": st.just("https://evil.test/jwks"),
        "jwk": JSON,
    },
)
PARTS = st.one_of(
    HEADERS.map(part), JSON.map(part), st.binary(max_size=80).map(part), st.text(max_size=20)
)
TOKENS = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(exclude_categories=())),  # lone surrogates among them
    st.binary(),
    st.none(),
    st.integers(),
    st.lists(PARTS, min_size=1, max_size=5).map(".".join),
    st.tuples(HEADERS.map(part), JSON.map(part), st.binary(max_size=80).map(part)).map(".".join),
)


@given(token=TOKENS)
def test_s7_garbage_is_refused_and_nothing_else(token: Any) -> None:
    async def scenario(here: World) -> None:
        with pytest.raises(TokenRefused) as caught:
            await here.verifier.verify(token)
        assert CHALLENGE.fullmatch(caught.value.challenge)
        assert here.fetches <= 1
        assert {str(request.url.host) for request in here.issuer.requests} <= {"issuer.test"}

    play(scenario)


@given(
    position=st.integers(0, 10_000), character=st.sampled_from("AZaz09-_.=+/ \n"), cut=st.booleans()
)
def test_s7_no_altered_token_is_accepted(position: int, character: str, cut: bool) -> None:
    async def scenario(here: World) -> None:
        token = here.issuer.mint()
        place = position % len(token)
        altered = token[:place] if cut else token[:place] + character + token[place + 1 :]
        if altered == token:
            await here.verifier.verify(altered)
        else:
            with pytest.raises(TokenRefused):
                await here.verifier.verify(altered)

    play(scenario)


CLAIMS = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "x"])


@given(claims=st.dictionaries(CLAIMS, JSON))
def test_s7_any_signed_claims_are_accepted_in_full_or_refused(claims: dict[str, Any]) -> None:
    async def scenario(here: World) -> None:
        with contextlib.suppress(TokenRefused):
            verified = await here.verifier.verify(here.issuer.mint(**claims))
            assert verified.subject
            assert verified.expires_at.timestamp() > here.clock.wall() - 31

    play(scenario)


@pytest.mark.parametrize(
    "token",
    [
        "A" * 10_000_000,
        "." * 1_000_000,
        part(b"[" * 50_000) + ".e30.e30",
        part({"alg": "EdDSA", "kid": "key-0"}) + "." + part(b"[" * 40_000) + ".AAAA",
        part(b'{"alg": "EdDSA", "kid": ' + b"9" * 5000 + b"}") + ".e30.e30",
    ],
    ids=["long", "dots", "deep header", "deep payload", "long number"],
)
def test_a_token_made_to_be_expensive_is_refused(token: str) -> None:
    async def scenario(here: World) -> None:
        with pytest.raises(TokenRefused):
            await here.verifier.verify(token)

    play(scenario)


MEMBER = st.sampled_from(["kty", "crv", "alg", "kid", "use", "key_ops", "x", "y", "n", "e", "d"])
VALUE = JSON | st.sampled_from(
    ["RSA", "EC", "OKP", "oct", "Ed25519", "P-256", "EdDSA", "key-0", "sig", "AQAB", "AAAA"]
)


@given(keys=st.lists(st.dictionaries(MEMBER, VALUE) | JSON, max_size=4) | JSON, good=st.booleans())
def test_s8_any_key_set_serves_its_good_keys_or_is_unavailable(keys: Any, good: bool) -> None:
    async def scenario(here: World) -> None:
        listed = [*here.issuer.published, *keys] if good and isinstance(keys, list) else keys
        body = json.dumps({"keys": listed}).encode()
        here.issuer.answers = [httpx.Response(200, content=body)]
        token = here.issuer.mint()
        if listed is not keys:
            await here.verifier.verify(token)
        else:
            with pytest.raises((AuthUnavailable, TokenRefused)):
                await here.verifier.verify(token)

    play(scenario, algorithms=["EdDSA", "RS256", "ES256"])
