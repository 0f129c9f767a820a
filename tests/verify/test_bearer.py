"""RFC 6750: the token in a request, and the challenge."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth.verify import TokenRefused, bearer_token

#: RFC 6750, 3: a challenge without parameters, or with quoted ones of its characters.
CHALLENGE = re.compile(
    r'Bearer( error="invalid_token", error_description="[\x20-\x21\x23-\x5B\x5D-\x7E]+")?'
)


@pytest.mark.parametrize("header", ["Bearer a.b-c_d~e+f/g==", "bearer  x", "BEARER x ", "Bearer x"])
def test_the_token_is_what_follows_the_scheme(header: str) -> None:
    assert bearer_token(header) == header[6:].strip()


@pytest.mark.parametrize(
    "header", [None, "", "Basic dTpw", "Token x", "Bear", " Bearer x", "x.y.z"]
)
def test_a_request_without_a_bearer_token_is_challenged_without_an_error(
    header: str | None,
) -> None:
    with pytest.raises(TokenRefused) as caught:
        bearer_token(header)
    assert (caught.value.reason, caught.value.challenge) == ("missing", "Bearer")


NONE = ["", " ", "x", "\tx", " x y", " x,y", ' "x"', " =", " x=y"]
NONE += [" ü", " x\n", " x, Bearer y", " \u0661"]


@pytest.mark.parametrize("rest", NONE)
def test_a_bearer_token_that_is_none_is_malformed(rest: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        bearer_token("Bearer" + rest)
    assert caught.value.reason == "malformed"
    assert CHALLENGE.fullmatch(caught.value.challenge)


@given(st.one_of(st.text(), st.text().map("Bearer ".__add__)))
def test_any_header_gives_a_token_or_a_refusal_that_does_not_repeat_it(header: str) -> None:
    with contextlib.suppress(TokenRefused):
        assert re.fullmatch(r"[\w.~+/-]+=*", bearer_token(header), re.ASCII)
        return
    with pytest.raises(TokenRefused) as caught:
        bearer_token(header)
    assert CHALLENGE.fullmatch(caught.value.challenge)
    assert len(header) < 12 or header not in str(caught.value)
