"""What the rotation benchmark counts must be zero; how long it takes is not asked here."""

from __future__ import annotations

import asyncio

from .rotations import rotate


def test_k16_r1_a_thousand_rotations_leave_nothing_and_serve_nothing_stale() -> None:
    outcome = asyncio.run(rotate(1_000))
    assert outcome.cancelled > 300
    assert outcome.next_answered
    left = (outcome.tasks, outcome.sockets, outcome.busy_connections)
    assert (outcome.wrong_session, *left) == (0, 0, 0, 0)
