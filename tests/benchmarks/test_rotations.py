"""What the rotation benchmark counts must be zero; how long it takes is not asked here."""

from __future__ import annotations

import asyncio

from .rotations import poison, rotate, rotate_by_client


def test_k16_r1_a_thousand_rotations_leave_nothing_and_serve_nothing_stale() -> None:
    outcome = asyncio.run(rotate(1_000))
    assert outcome.cancelled > 300
    assert outcome.aborted > 50
    assert outcome.next_answered
    assert (outcome.wrong_session, outcome.mismatches, *outcome.left) == (0, 0, 0, 0, 0, 0)


def test_k16_r1_nor_do_rotations_by_the_clients_own_requests() -> None:
    outcome = asyncio.run(rotate_by_client(100))
    assert outcome.next_answered
    assert (outcome.wrong_session, *outcome.left) == (0, 0, 0, 0, 0)


def test_k16_these_counts_convict_a_pool_that_task_cancel_poisoned() -> None:
    taken, _ = asyncio.run(poison(1_000))
    assert taken > 0
