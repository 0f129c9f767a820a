"""One thing of the state, told only when it changes."""

from __future__ import annotations

from typing import Any

import pytest

from reactive_auth import ConfigurationError, claim, is_authenticated, select, user
from tests.core.support import Seen, Stage, staged


@staged()
async def test_u3_user_and_is_authenticated_stand_through_rotation_refresh_and_outage(
    stage: Stage,
) -> None:
    users, flags = Seen(user(stage.auth)), Seen(is_authenticated(stage.auth))
    stage.client.sign_in("A", "u1")
    await stage.auth.fetch_access_token()
    stage.client.sign_in("B", "u1")
    stage.client.then(OSError("down"))
    await stage.auth.fetch_access_token(force_refresh=True)
    stage.client.hold()
    stage.client.release()
    assert [u and u.id for u in users.values] == [None, "u1"]
    assert flags.values == [False, True]
    stage.client.sign_out()
    stage.client.sign_in("C", "u2")
    assert [u and u.id for u in users.values] == [None, "u1", None, "u2"]
    assert flags.values == [False, True, False, True]
    assert user(stage.auth).value == users.values[-1]
    assert is_authenticated(stage.auth).value is True


@staged()
async def test_a_claim_stands_between_two_tokens_of_one_user_and_goes_with_the_user(
    stage: Stage,
) -> None:
    role = claim(stage.auth, "role", "none")
    seen = Seen(role)

    async def sign_in(session_id: str, user_id: str, **claims: Any) -> None:
        stage.client.then(OSError("down"))  # so that there is a while without a token
        session = stage.client.sign_in(session_id, user_id)
        await stage.rest()
        stage.client.then(stage.client.token_for(session, **claims))
        await stage.auth.fetch_access_token()

    await sign_in("A", "u1", role="admin")
    assert role.value == "admin"
    await sign_in("B", "u1", role="admin")
    assert seen.values == ["none", "admin"]
    await sign_in("C", "u1", role="guest")
    assert seen.values == ["none", "admin", "guest"]
    await sign_in("D", "u2", role="admin")
    assert seen.values == ["none", "admin", "guest", "none", "admin"]
    stage.client.then(OSError("down"))
    stage.client.sign_in("E", "u2")
    await stage.rest()
    assert (stage.auth.token.value, role.value) == (None, "admin")
    stage.client.sign_out()
    assert role.value == "none"
    assert seen.values[-1] == "none"


@staged()
async def test_a_claim_that_is_subscribed_to_keeps_the_token_fresh(stage: Stage) -> None:
    stage.client.sign_in("A")
    seen = Seen(claim(stage.auth, "sub"))
    await stage.rest()
    assert seen.values == [None, "u1"]
    seen.subscription.dispose()
    assert not stage.auth.token.observed


@staged()
async def test_select_tells_distinct_values_and_completes_with_the_provider(stage: Stage) -> None:
    status = select(stage.auth.state, lambda state: state.status)
    seen = Seen(status)
    stage.client.sign_in("A")
    stage.client.sign_in("B")
    stage.client.sign_out()
    assert seen.values == ["unknown", "signed_in", "signed_out"]
    assert status.value == "signed_out"
    assert repr(status) == "Derived('signed_out')"
    await stage.auth.aclose()
    assert seen.completed == 1


@staged()
async def test_what_can_never_work_is_refused_at_the_call(stage: Stage) -> None:
    bad: list[Any] = [
        lambda: select(stage.auth.state, "status"),  # type: ignore[arg-type]
        lambda: select(stage.auth, str),  # type: ignore[arg-type]
        lambda: claim(stage.auth, ""),
        lambda: claim(stage.auth, 7),  # type: ignore[arg-type]
    ]
    for call in bad:
        with pytest.raises(ConfigurationError):
            call()
