"""When a fault hits, and what must hold then. Each phase is an outage from beginning to end."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from reactive_auth import AuthTimeout, AuthUnavailable

from .stage import Stage
from .table import SESSION, TOKEN, Fault

__all__ = ["PHASES", "Outcome", "Phase"]


@dataclass(frozen=True)
class Phase:
    """``route`` is the one that a fault must be able to hit."""

    play: Callable[[Stage, Fault], Awaitable[Outcome]]
    route: str


#: Delays of 0.5, 1, 2, 4, 8, 16 and 30 seconds: no more attempts than this fit in a minute.
_ATTEMPTS_A_MINUTE = 8


@dataclass(frozen=True)
class Outcome:
    """What a user saw of a minute of it."""

    status: str
    #: The cached one is handed out, or there is none.
    token: str
    error: str
    requests: int
    #: Seconds from the server's recovery to a token and no error; None where it was closed.
    recovered: float | None


async def session_asked_for(stage: Stage, fault: Fault) -> Outcome:
    """Signed in, with a token; the session is looked at."""
    await _signed_in(stage)
    token = stage.auth.token.value
    before = await stage.strike(fault, SESSION)
    stage.auth.client.online()
    await stage.pass_time(_first(fault), until=lambda: stage.auth.state.value.error is not None)

    async def served() -> None:
        assert stage.auth.token.value is token is not None
        assert await stage.ask() == token.value

    await stage.pass_time(60, served)
    requests = _bounded(stage, fault, before, SESSION)
    return await _got_over(stage, fault, "kept", requests)


async def token_refreshed_ahead(stage: Stage, fault: Fault) -> Outcome:
    """Signed in, with a token that is still good; the next one is fetched."""
    await _signed_in(stage)
    token = stage.auth.token.value
    before = await stage.strike(fault, TOKEN)
    await _leap(stage, 785)
    await stage.pass_time(_first(fault), until=lambda: stage.auth.state.value.error is not None)

    async def served() -> None:
        assert stage.auth.token.value is token is not None
        assert await stage.ask() == token.value

    await stage.pass_time(40, served)
    requests = _bounded(stage, fault, before, TOKEN)
    outcome = await _got_over(stage, fault, "kept", requests)
    assert stage.auth.token.value is not token
    return outcome


async def token_needed(stage: Stage, fault: Fault) -> Outcome:
    """Signed in, and the token has expired; many callers need one."""
    await _signed_in(stage)
    before = await stage.strike(fault, TOKEN)
    await _leap(stage, 880)
    outcome = await _asked_in_vain(stage, fault, before, TOKEN)
    assert stage.auth.state.value.session is not None
    return outcome


async def first_contact(stage: Stage, fault: Fault) -> Outcome:
    """Nothing is known yet; many callers need a token."""
    before = await stage.strike(fault, SESSION, TOKEN)
    return await _asked_in_vain(stage, fault, before, SESSION)


async def closed_meanwhile(stage: Stage, fault: Fault) -> Outcome:
    """Signed in; closed while both routes fail and callers wait."""
    await _signed_in(stage)
    before = await stage.strike(fault, *fault.routes)
    await _leap(stage, 880)
    stage.auth.client.online()
    callers = [asyncio.ensure_future(stage.auth.fetch_access_token()) for _ in range(5)]
    await stage.rest()
    await stage.auth.aclose()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(end).__name__ for end in ends} == {"AuthClosed"}, ends
    return Outcome("closed", "none", "AuthClosed", len(stage.starts) - before, None)


PHASES: Mapping[str, Phase] = {
    "session": Phase(session_asked_for, SESSION),
    "refresh": Phase(token_refreshed_ahead, TOKEN),
    "no token": Phase(token_needed, TOKEN),
    "first contact": Phase(first_contact, SESSION),
    "closing": Phase(closed_meanwhile, TOKEN),
}


# -- what they have in common ----------------------------------------------------------------


async def _signed_in(stage: Stage) -> None:
    await stage.pass_time(5, until=stage.is_well)
    assert stage.is_well(), stage.auth.state.value


async def _leap(stage: Stage, seconds: float) -> None:
    """To the instant that matters, at which everything due happens."""
    await stage.rest()
    stage.clock.advance(seconds)
    await stage.backend.passed()


def _first(fault: Fault) -> float:
    """Until the first attempt has failed."""
    return 11 if fault.hangs else 3


async def _asked_in_vain(stage: Stage, fault: Fault, before: int, route: str) -> Outcome:
    status = stage.auth.state.value.status
    began = len(stage.states.values)
    waiting = [asyncio.ensure_future(stage.ask()) for _ in range(20)]
    answers: list[str | AuthUnavailable] = []

    async def ask_again() -> None:
        nonlocal waiting
        assert stage.auth.cached_access_token() is None
        assert stage.auth.token.value is None
        if all(one.done() for one in waiting):
            answers.extend([one.result() for one in waiting])
            waiting = [asyncio.ensure_future(stage.ask()) for _ in range(20)]

    await stage.pass_time(60, ask_again)
    assert answers
    assert all(isinstance(answer, AuthUnavailable) for answer in answers), answers
    assert {state.status for state in stage.states.values[began:]} <= {status}
    state = stage.auth.state.value
    assert not state.has_token
    requests = _bounded(stage, fault, before, route)
    outcome = await _got_over(stage, fault, "none", requests, status)
    # Whoever still waits gets the new one.
    late = await asyncio.gather(*waiting)
    token = stage.auth.cached_access_token()
    assert token is not None
    assert all(isinstance(answer, AuthUnavailable) or answer == token for answer in late), late
    return outcome


def _bounded(stage: Stage, fault: Fault, before: int, route: str) -> int:
    """The requests of the outage: some, few, and as far apart as the server asked."""
    mine = stage.starts[before:]
    assert {hit.path for hit in mine} <= {SESSION, TOKEN}
    tried = [hit.at for hit in mine if hit.path == route]
    assert 2 <= len(tried) <= _ATTEMPTS_A_MINUTE, tried
    assert len(mine) <= 2 * _ATTEMPTS_A_MINUTE
    gaps = [late - early for early, late in itertools.pairwise(tried)]
    assert min(gaps) >= max(0.5, fault.retry_after) - 0.01, gaps
    if fault.level in ("answer", "greeting"):
        arrived = len(stage.backend.hits(route)) - sum(
            hit.path == route for hit in stage.starts[:before]
        )
        assert arrived == len(tried), "requests that the client does not know of"
    return len(mine)


async def _got_over(
    stage: Stage, fault: Fault, token: str, requests: int, status: str = "signed_in"
) -> Outcome:
    """The error is there as it should be; then the server is well, and it goes."""
    state, error = stage.auth.state.value, stage.auth.state.value.error
    assert state.status == status
    assert isinstance(error, fault.raises), error
    assert re.search(fault.says, str(error)), error
    assert isinstance(error, AuthTimeout) is (fault.raises is AuthTimeout)
    await stage.heal()
    recovered = await stage.recovers()
    assert {seen.status for seen in stage.states.values} <= {"unknown", "signed_in"}
    if status == "signed_in":
        known = [seen.status for seen in stage.states.values]
        assert "unknown" not in known[known.index("signed_in") :]
    return Outcome(state.status, token, type(error).__name__, requests, recovered)
