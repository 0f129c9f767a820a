"""S7: which tokens are accepted, and why each other is refused."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import pickle
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from reactive_auth import AuthError, AuthUnavailable
from reactive_auth.verify import TokenRefused

from .support import ABSENT, AUDIENCE, KINDS, URL, World, jwk_of, play, private_key, world


async def refused(here: World, token: Any, **binding: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        await here.verifier.verify(token, **binding)
    return caught.value


def part(data: object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_token_is_accepted_and_typed(kind: str) -> None:
    async def scenario(here: World) -> None:
        now = int(here.clock.wall())
        token = here.issuer.mint()
        verified = await here.verifier.verify(token)
        assert (verified.subject, verified.session_id) == ("u1", "A")
        assert verified.issued_at == datetime.fromtimestamp(now, UTC)
        assert verified.expires_at == datetime.fromtimestamp(now + 900, UTC)
        assert verified.claims["secret"] == "s3cr3t"
        assert here.fetches == 1

    play(scenario, kind=kind)


@world()
async def test_verified_claims_are_frozen_and_show_no_claim_they_need_not(here: World) -> None:
    verified = await here.verifier.verify(here.issuer.mint())
    assert "s3cr3t" not in repr(verified)
    with pytest.raises(AttributeError):
        verified.subject = "u2"  # type: ignore[misc]
    with pytest.raises(TypeError):
        verified.claims["sub"] = "u2"  # type: ignore[index]
    for twin in (pickle.loads(pickle.dumps(verified)), copy.deepcopy(verified)):
        assert twin == verified
        assert hash(twin) == hash(verified)
    assert await here.verifier.verify(here.issuer.mint()) == verified


#: Claims that spoil a token, and the reason. T is the time at which it is verified.
T = 1_767_225_600
SPOILED: list[tuple[dict[str, Any], str]] = [
    ({"iss": "https://issuer.test.evil"}, "issuer"),
    ({"iss": URL + "/"}, "issuer"),
    ({"iss": "https://issuer"}, "issuer"),
    ({"iss": [URL]}, "issuer"),
    ({"iss": ABSENT}, "claims"),
    ({"aud": "other"}, "audience"),
    ({"aud": "conve"}, "audience"),
    ({"aud": ["other"]}, "audience"),
    ({"aud": {AUDIENCE: 1}}, "audience"),
    ({"aud": [AUDIENCE, 1]}, "audience"),
    ({"aud": []}, "claims"),
    ({"aud": ABSENT}, "claims"),
    ({"exp": T - 31}, "expired"),
    ({"exp": T - 30}, "expired"),
    ({"exp": 0}, "expired"),
    ({"exp": -1e300}, "expired"),
    ({"exp": ABSENT}, "claims"),
    ({"exp": None}, "claims"),
    ({"exp": str(T + 900)}, "claims"),
    ({"exp": True}, "claims"),
    ({"exp": float("nan")}, "claims"),
    ({"exp": float("inf")}, "claims"),
    ({"exp": 10**400}, "claims"),
    ({"exp": 1e18}, "claims"),
    ({"nbf": T + 31}, "not_yet_valid"),
    ({"nbf": 10**400}, "claims"),
    ({"nbf": str(T)}, "claims"),
    ({"nbf": None}, "claims"),
    ({"iat": T + 31}, "not_yet_valid"),
    ({"iat": "now"}, "claims"),
    ({"iat": None}, "claims"),
    ({"iat": -1e18}, "claims"),
    ({"sub": ABSENT}, "subject"),
    ({"sub": None}, "subject"),
    ({"sub": ""}, "subject"),
    ({"sub": 7}, "subject"),
    ({"sub": ["u1"]}, "subject"),
    ({"sessionId": 7}, "session"),
    ({"sessionId": ""}, "session"),
    ({"sessionId": ["A"]}, "session"),
]


@pytest.mark.parametrize(("claims", "reason"), SPOILED, ids=lambda value: str(value)[:40])
def test_s7_a_signed_token_with_a_bad_claim_is_refused(claims: dict[str, Any], reason: str) -> None:
    async def scenario(here: World) -> None:
        error = await refused(here, here.issuer.mint(**claims))
        assert error.reason == reason
        assert here.fetches == 1

    play(scenario)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": T - 29},
        {"nbf": T + 30},
        {"iat": T + 30},
        {"iat": ABSENT},
        {"exp": T + 0.5},
        {"aud": ["other", AUDIENCE]},
        {"sessionId": ABSENT},
        {"sessionId": None},
    ],
    ids=str,
)
def test_a_token_within_the_leeway_or_with_an_optional_claim_absent_is_accepted(
    claims: dict[str, Any],
) -> None:
    async def scenario(here: World) -> None:
        verified = await here.verifier.verify(here.issuer.mint(**claims))
        assert (verified.issued_at is None) == (claims.get("iat") is ABSENT)
        assert (verified.session_id is None) == ("sessionId" in claims)

    play(scenario)


def test_times_are_read_on_the_injected_clock_alone() -> None:
    async def scenario(here: World) -> None:
        token = here.issuer.mint()
        await here.verifier.verify(token)
        here.clock.skew = 899
        await here.verifier.verify(token)
        here.clock.skew = 900
        assert (await refused(here, token)).reason == "expired"
        here.clock.skew = -1
        assert (await refused(here, token)).reason == "not_yet_valid"
        here.clock.skew = 0
        at = here.clock.wall()
        # RFC 7519, 4.1.4: "on or after"; 4.1.5: "after or equal".
        assert (await refused(here, here.issuer.mint(exp=at))).reason == "expired"
        await here.verifier.verify(here.issuer.mint(nbf=at, iat=at))

    play(scenario, leeway=timedelta(0))


def test_a_token_that_expires_while_the_keys_are_fetched_is_refused() -> None:
    async def scenario(here: World) -> None:
        token = here.issuer.mint(exp=here.clock.wall() + 0.005)
        assert (await refused(here, token)).reason == "expired"

    play(scenario, leeway=0)


def test_any_of_several_audiences_will_do() -> None:
    async def scenario(here: World) -> None:
        await here.verifier.verify(here.issuer.mint(aud="b"))
        await here.verifier.verify(here.issuer.mint(aud=["a", "z"]))
        assert (await refused(here, here.issuer.mint(aud=AUDIENCE))).reason == "audience"

    play(scenario, audience=["a", "b"])


def test_required_claims_must_be_there() -> None:
    async def scenario(here: World) -> None:
        await here.verifier.verify(here.issuer.mint(org="o1"))
        for org in (ABSENT, None):
            assert (await refused(here, here.issuer.mint(org=org))).reason == "claims"

    play(scenario, require=["org"])


# -- the key and the algorithm ---------------------------------------------------------------


def unsigned(header: dict[str, Any], token: str, signature: bytes = b"") -> str:
    return ".".join([part(header), token.split(".")[1], part(signature)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alg", ["none", "None", "", None, 7, ["EdDSA"], "HS256", "RS512"])
def test_s7_an_algorithm_that_was_not_asked_for_is_refused_before_anything_is_fetched(
    kind: str, alg: Any
) -> None:
    async def scenario(here: World) -> None:
        for kid in ("key-0", "unknown"):
            forged = unsigned({"alg": alg, "kid": kid}, here.issuer.mint(), b"x")
            assert (await refused(here, forged)).reason == "algorithm"
        assert here.fetches == 0

    play(scenario, kind=kind)


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_s7_hs256_signed_with_the_public_key_is_refused(kind: str) -> None:
    async def scenario(here: World) -> None:
        key = here.issuer.signing["key-0"].public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        jwk = json.dumps(here.issuer.published[0]).encode()
        for secret in (pem, jwk):
            head = part({"alg": "HS256", "kid": "key-0"}) + "." + here.issuer.mint().split(".")[1]
            signature = hmac.new(secret, head.encode(), hashlib.sha256).digest()
            assert (await refused(here, f"{head}.{part(signature)}")).reason == "algorithm"

    play(scenario, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_s7_an_algorithm_that_is_not_the_keys_is_refused(kind: str) -> None:
    async def scenario(here: World) -> None:
        for alg in ("EdDSA", "RS256", "ES256", "PS256"):
            forged = unsigned({"alg": alg, "kid": "key-0"}, here.issuer.mint(), b"x" * 64)
            expected = {"key"} if alg != KINDS[kind] else {"signature"}
            if kind == "RSA" and alg == "PS256":
                expected = {"signature"}  # any RSA key that declares no algorithm will do both
            assert {(await refused(here, forged)).reason} == expected
        assert here.fetches == 1

    play(scenario, kind=kind, algorithms=["EdDSA", "RS256", "ES256", "PS256"])


def test_s7_a_key_that_declares_an_algorithm_serves_no_other() -> None:
    async def scenario(here: World) -> None:
        here.issuer.published[0]["alg"] = "PS256"
        assert (await refused(here, here.issuer.mint())).reason == "key"

    play(scenario, kind="RSA", algorithms=["RS256", "PS256"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_by_another_key_or_of_another_text_is_refused(kind: str) -> None:
    async def scenario(here: World) -> None:
        head, _, signature = here.issuer.mint().split(".")
        other = here.issuer.mint(sub="u2").split(".")[1]
        assert (await refused(here, f"{head}.{other}.{signature}")).reason == "signature"
        here.issuer.signing["key-0"] = private_key(kind, 99)
        assert (await refused(here, here.issuer.mint())).reason == "signature"

    play(scenario, kind=kind)


@pytest.mark.parametrize("kid", [ABSENT, "", None, 7, ["key-0"]], ids=lambda kid: repr(kid)[:12])
def test_a_token_that_does_not_name_its_key_is_refused_without_a_fetch(kid: Any) -> None:
    async def scenario(here: World) -> None:
        header = {"alg": "EdDSA"} | ({} if kid is ABSENT else {"kid": kid})
        error = await refused(here, unsigned(header, here.issuer.mint(), b"x"))
        assert error.reason in ("key", "malformed")
        assert here.fetches == 0

    play(scenario)


@pytest.mark.parametrize(
    "extra", [{}, {"crit": ["exp"]}, {"crit": []}, {"b64": True}, {"crit": ["b64"], "b64": True}]
)
def test_extensions_that_would_have_to_be_understood_are_refused(extra: dict[str, Any]) -> None:
    async def scenario(here: World) -> None:
        header = part({"alg": "EdDSA", "kid": "key-0", **extra})
        text = header + "." + here.issuer.mint().split(".")[1]
        token = text + "." + part(here.issuer.signing["key-0"].sign(text.encode()))
        if extra:
            assert (await refused(here, token)).reason == "malformed"
            assert here.fetches == 0
        else:
            await here.verifier.verify(token)

    play(scenario)


@world()
async def test_a_token_longer_than_any_header_is_refused_though_signed(here: World) -> None:
    await here.verifier.verify(here.issuer.mint(pad="x" * 10_000))
    assert (await refused(here, here.issuer.mint(pad="x" * 70_000))).reason == "malformed"


@world()
async def test_only_the_compact_form_is_a_token(here: World) -> None:
    token = here.issuer.mint()
    await here.verifier.verify(token)
    head, claims, signature = token.split(".")
    for other in (token + "==", head + "=." + claims + "." + signature, token + ".", "." + token):
        assert (await refused(here, other)).reason == "malformed"
    for other in (token + "\n", " " + token, token.encode(), f"Bearer {token}", [token]):
        assert (await refused(here, other)).reason == "malformed"


@world()
async def test_a_private_key_that_the_issuer_gave_away_is_left_out(here: World) -> None:
    here.issuer.add("key-1")
    private = json.loads(OKPAlgorithm.to_jwk(here.issuer.signing["key-0"]))
    here.issuer.published[0]["d"] = private["d"]
    assert (await refused(here, here.issuer.mint())).reason == "key"


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC"},
        {"kty": 7},
        {"crv": "X25519"},
        {"crv": "P-256"},
        {"crv": 7},
        {"x": "AAAA"},
        {"x": 7},
        {"x": None},
        {"alg": "RS256"},
        {"alg": 7},
        {"kid": 7},
        {"kid": ""},
    ],
    ids=str,
)
def test_a_key_that_cannot_serve_is_left_out_and_the_others_serve(members: dict[str, Any]) -> None:
    async def scenario(here: World) -> None:
        here.issuer.add("key-1")
        here.issuer.published[0] |= members
        here.issuer.published.insert(0, "no key")  # type: ignore[arg-type]
        assert (await refused(here, here.issuer.mint())).reason == "key"
        await here.verifier.verify(here.issuer.mint("key-1"))

    play(scenario, algorithms=["EdDSA", "RS256"])


def test_an_rsa_key_below_2048_bits_is_left_out() -> None:
    async def scenario(here: World) -> None:
        here.issuer.signing["weak"] = private_key("RSA-1024")
        here.issuer.published.append(jwk_of(here.issuer.signing["weak"], kid="weak"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyJWT's, of signing with it
            token = here.issuer.mint("weak")
        assert (await refused(here, token)).reason == "key"
        await here.verifier.verify(here.issuer.mint())

    play(scenario, kind="RSA")


# -- what is said of a refusal ---------------------------------------------------------------


@world(require_session=True)
async def test_s2_no_refusal_holds_anything_of_the_token(here: World) -> None:
    tokens = [here.issuer.mint(**claims) for claims, _ in SPOILED]
    tokens += [here.issuer.mint()[:-4] + "AAAA", "s3cr3t", here.issuer.mint() + ".s3cr3t"]
    for token in tokens:
        error = await refused(here, token)
        for text in (str(error), repr(error), error.challenge, repr(pickle.dumps(error))):
            assert "s3cr3t" not in text
            assert token not in text
            assert token.rsplit(".")[-1] not in text
        assert pickle.loads(pickle.dumps(error)).reason == error.reason


def test_a_refusal_is_no_outage_and_no_outage_is_a_refusal() -> None:
    assert issubclass(TokenRefused, AuthError)
    assert not issubclass(TokenRefused, AuthUnavailable)
    assert not issubclass(AuthUnavailable, TokenRefused)
