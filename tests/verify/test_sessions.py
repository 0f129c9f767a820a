"""S7: a token is accepted only for the session and user that were asked for, and while the
session lives. What is not said is never taken for yes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive_auth import AuthTimeout, AuthUnavailable, ConfigurationError
from reactive_auth.verify import TokenRefused

from .support import ABSENT, World, play, world


async def reason(here: World, token: str, **binding: Any) -> str | None:
    """Why it was refused; None if it was accepted."""
    try:
        await here.verifier.verify(token, **binding)
    except TokenRefused as error:
        return error.reason
    return None


#: Whatever a claim may hold, and its absence.
CLAIM = st.one_of(
    st.just(ABSENT),
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["A", "B", "a", " A", "A ", "", "u1", "u2", "null", "None"]),
    st.lists(st.just("A"), max_size=2),
    st.dictionaries(st.just("A"), st.just("A")),
)


@given(session=CLAIM, subject=CLAIM)
def test_s7_a_binding_is_met_by_the_very_string_and_by_nothing_else(
    session: Any, subject: Any
) -> None:
    async def scenario(here: World) -> None:
        token = here.issuer.mint(sessionId=session, sub=subject)
        named = isinstance(subject, str) and subject != ""
        sane = session is ABSENT or session is None or (isinstance(session, str) and session != "")
        assert (await reason(here, token) is None) == (named and sane)
        bound = await reason(here, token, session_id="A")
        assert (bound is None) == (named and isinstance(session, str) and session == "A")
        bound = await reason(here, token, subject="u1")
        assert (bound is None) == (sane and isinstance(subject, str) and subject == "u1")
        bound = await reason(here, token, session_id="A", subject="u1")
        assert (bound is None) == (session == "A" and subject == "u1")

    play(scenario)


@pytest.mark.parametrize("value", [None, "", 7, ["A"], True])
@pytest.mark.parametrize("name", ["session_id", "subject"])
def test_s7_binding_to_what_a_look_up_did_not_find_accepts_nobody(name: str, value: Any) -> None:
    async def scenario(here: World) -> None:
        for session in ("A", ABSENT):
            token = here.issuer.mint(sessionId=session)
            with pytest.raises(ConfigurationError):
                await here.verifier.verify(token, **{name: value})

    play(scenario)


@world()
async def test_binding_to_something_unknown_fails_at_the_call(here: World) -> None:
    with pytest.raises(ConfigurationError, match="organization"):
        await here.verifier.verify(here.issuer.mint(), organization="o1")  # type: ignore[call-arg]
    assert here.fetches == 0


@world(require_session=True)
async def test_s7_a_token_bound_to_no_session_is_refused_where_one_is_required(
    here: World,
) -> None:
    assert await reason(here, here.issuer.mint()) is None
    for session in (ABSENT, None, "", 7):
        assert await reason(here, here.issuer.mint(sessionId=session)) == "session"


@world(session_claim="sid", require_session=True)
async def test_the_session_claim_can_have_another_name(here: World) -> None:
    verified = await here.verifier.verify(here.issuer.mint(sid="B"), session_id="B")
    assert verified.session_id == "B"
    assert await reason(here, here.issuer.mint()) == "session"


# -- is_live ---------------------------------------------------------------------------------


def test_s7_a_session_that_lives_is_asked_for_by_id_and_accepted() -> None:
    asked: list[str] = []

    async def is_live(session_id: str) -> bool:
        asked.append(session_id)
        return True

    async def scenario(here: World) -> None:
        await here.verifier.verify(here.issuer.mint(sessionId="B"))
        assert asked == ["B"]
        # What is refused anyway asks nobody.
        for claims in ({"exp": 0}, {"sessionId": ABSENT}, {"aud": "other"}):
            assert await reason(here, here.issuer.mint(**claims)) is not None
        assert await reason(here, here.issuer.mint(), session_id="B") == "session"
        assert asked == ["B"]

    play(scenario, is_live=is_live)


@pytest.mark.parametrize("answer", [False, None, 0, 1, "", "yes", object(), [True]], ids=str)
def test_s7_whatever_is_not_true_is_no_living_session(answer: Any) -> None:
    async def is_live(session_id: str) -> Any:
        return answer

    async def scenario(here: World) -> None:
        assert await reason(here, here.issuer.mint()) == "session"

    play(scenario, is_live=is_live)


@pytest.mark.parametrize(
    "error", [OSError("s3cr3t"), AuthUnavailable("down"), TimeoutError(), KeyError("A")], ids=repr
)
def test_s7_a_look_up_that_fails_is_unavailable(error: Exception) -> None:
    async def is_live(session_id: str) -> bool:
        raise error

    async def scenario(here: World) -> None:
        with pytest.raises(AuthUnavailable) as caught:
            await here.verifier.verify(here.issuer.mint())
        assert "s3cr3t" not in str(caught.value)

    play(scenario, is_live=is_live)


def test_s7_a_look_up_that_is_no_coroutine_accepts_nobody() -> None:
    async def scenario(here: World) -> None:
        with pytest.raises(AuthUnavailable):
            await here.verifier.verify(here.issuer.mint())

    play(scenario, is_live=lambda session_id: True)


def test_a_look_up_may_refuse_in_its_own_words() -> None:
    async def is_live(session_id: str) -> bool:
        raise TokenRefused("the user is banned", reason="subject")

    async def scenario(here: World) -> None:
        assert await reason(here, here.issuer.mint()) == "subject"

    play(scenario, is_live=is_live)


def test_f3_a_look_up_that_hangs_is_a_timeout() -> None:
    async def is_live(session_id: str) -> bool:
        await asyncio.sleep(1e6)
        return True

    async def scenario(here: World) -> None:
        with pytest.raises(AuthTimeout):
            await here.verifier.verify(here.issuer.mint())
        assert here.clock.monotonic() < 6

    play(scenario, is_live=is_live, timeout=5)
