"""The table of standing.py, row by row."""

from __future__ import annotations

import pytest

from reactive_auth import AuthUnavailable, Session, SessionState, User
from reactive_auth.standing import UNHEARD, Ended, Standing, advance

A = SessionState.signed_in(Session("A"), User("u"))
B = SessionState.signed_in(Session("B"), User("u"))
OUT = SessionState.signed_out()
ERROR = AuthUnavailable("x")


def refreshing(state: SessionState) -> SessionState:
    return state.with_(refreshing=True, error=None)


def held(state: SessionState, key: str | None) -> Standing:
    return Standing(refreshing(state), key, held=True)


IN_A = Standing(A, "A", held=False)
SIGNED_OUT = Standing(OUT, None, held=False)

ROWS = [
    (UNHEARD, SessionState.unknown(), UNHEARD),
    (UNHEARD, A, IN_A),
    (UNHEARD, OUT, SIGNED_OUT),
    (IN_A, SessionState.unknown(), held(A, "A")),
    (SIGNED_OUT, SessionState.unknown(), held(OUT, None)),
    (held(A, "A"), SessionState.unknown(), held(A, "A")),
    (held(A, "A"), A, IN_A),
    (IN_A, B, Standing(B, "B", held=False)),
    (IN_A, refreshing(A), held(A, "A")),
    (SIGNED_OUT, refreshing(OUT), held(OUT, None)),
    (IN_A, OUT, SIGNED_OUT),
    (IN_A, SessionState.expired(), Standing(SessionState.expired(), None, held=False)),
    (IN_A, Ended("A", "signed_out"), SIGNED_OUT),
    (IN_A, Ended("A", "expired"), Standing(SessionState.expired(), None, held=False)),
    (IN_A, Ended("B", "signed_out"), IN_A),
    (SIGNED_OUT, Ended("A", "expired"), SIGNED_OUT),
    (UNHEARD, Ended("A", "signed_out"), UNHEARD),
]


@pytest.mark.parametrize(("before", "event", "after"), ROWS, ids=range(len(ROWS)))
def test_a_transition(before: Standing, event: SessionState | Ended, after: Standing) -> None:
    assert advance(lambda session: session.id)(before, event) == after


def test_an_error_is_shown_and_changes_nothing_else() -> None:
    step = advance(lambda session: session.id)
    after = step(IN_A, SessionState.unknown(error=ERROR))
    assert (after.state.error, after.key, after.state.status) == (ERROR, "A", "signed_in")
    assert step(UNHEARD, SessionState.unknown(error=ERROR)).state.status == "unknown"


def test_r12_keys_are_told_apart_by_value() -> None:
    def key() -> tuple[str, str]:
        return ("org", str(len(ROWS)))

    before = Standing(A, key(), held=False)
    assert before.key is not key()
    assert advance(lambda _: key())(before, Ended(key(), "signed_out")) == SIGNED_OUT
