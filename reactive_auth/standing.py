"""What is presented of the session, given what the client and the token route say of it.

A table of transitions, apart from any I/O:

==================  =====================  ==========================================
before              event                  after
==================  =====================  ==========================================
unknown             unknown                unknown, held
signed in A         unknown                signed in A, refreshing, held: nothing resets
signed out          unknown                signed out, refreshing, held
anything            signed in A            signed in A; held while it says refreshing
anything            signed out / expired   the same; held while it says refreshing
signed in A         A ended                signed out (or expired)
anything else       A ended                unchanged: late news of a session that is gone
==================  =====================  ==========================================
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal

from .models import Session, SessionState

__all__ = ["UNHEARD", "Ended", "Identity", "Standing", "advance"]

Identity = Callable[[Session], Hashable]


@dataclass(frozen=True, slots=True)
class Standing:
    """``key`` is the identity of the session, None without one; ``held`` makes callers wait."""

    state: SessionState
    key: Hashable | None
    held: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The session with this key is over: the token route said so, or its time is up."""

    key: Hashable
    status: Literal["signed_out", "expired"]


UNHEARD = Standing(SessionState.unknown(), None, held=True)


def advance(identity: Identity) -> Callable[[Standing, SessionState | Ended], Standing]:
    """The transition function, given how a session is told from another."""

    def step(before: Standing, event: SessionState | Ended) -> Standing:
        if isinstance(event, Ended):
            if before.key != event.key or before.state.session is None:
                return before
            return Standing(SessionState(event.status), None, held=False)
        if event.status == "unknown":
            state = before.state.with_(
                refreshing=before.state.status != "unknown", error=event.error
            )
            return Standing(state, before.key, held=True)
        key = None if event.session is None else identity(event.session)
        return Standing(event, key, held=event.refreshing)

    return step
