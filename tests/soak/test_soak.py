"""The short version. Counts must come back exactly; time plays no part."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ParamSpec, TypeVar
from unittest import mock

import pytest

from reactive_auth.signal import Signal
from reactive_auth.tokens import SessionTokens

from .cycles import blocking_providers, observers, providers
from .hours import LEVELS, soak
from .life import STREAMS

#: So many bytes more may be traced after the lives of a test than before.
_BYTES = 64_000.0

P = ParamSpec("P")
R = TypeVar("R")


@pytest.fixture(scope="module", autouse=True)
def process() -> Iterator[None]:
    """A process of its own: in this one whatever other tests left running takes memory, too."""
    global _process
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as _process:
        yield


_process: ProcessPoolExecutor


def alone(measured: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return _process.submit(measured, *args, **kwargs).result(timeout=300)


@pytest.mark.parametrize("level", LEVELS)
def test_l2_l3_after_hours_of_faults_everything_is_as_it_was(level: str) -> None:
    report = alone(soak, level, seed=7, hours=1.0, warm_up=0.5)
    assert report.problems == []
    assert report.calls > 50


@pytest.mark.parametrize("kind", STREAMS)
def test_l3_observers_that_came_and_went_leave_nothing(kind: str) -> None:
    lives = alone(observers, kind, 500)
    assert lives.problems(_BYTES) == []
    assert not lives.cyclic


def test_l1_providers_that_were_opened_and_closed_leave_nothing() -> None:
    lives = alone(providers, 15)
    assert lives.problems(_BYTES) == []
    assert not lives.cyclic


def test_l1_blocking_providers_that_were_opened_and_closed_leave_nothing() -> None:
    lives = alone(blocking_providers, 5)
    assert lives.problems(_BYTES) == []
    assert not lives.cyclic


# -- and leaks are noticed -------------------------------------------------------------------


def test_an_observer_that_stays_in_the_list_is_noticed() -> None:
    with mock.patch.object(Signal, "_detach"):
        assert observers("session", 300).problems(_BYTES)


def test_a_timer_that_stays_is_noticed() -> None:
    cancel = SessionTokens._cancel

    def leaky(self: Any) -> None:
        self._host.home.loop.call_later(1e6, lambda: None)
        cancel(self)

    with mock.patch.object(SessionTokens, "_cancel", leaky):
        problems = soak("heart over the fake client", seed=7, hours=0.3, warm_up=0.2).problems
    assert any(problem.startswith("timers") for problem in problems)


def test_a_provider_that_only_the_collector_frees_is_noticed() -> None:
    finish = Signal._finish

    def cyclic(self: Any) -> None:
        finish(self)
        self.itself = self

    with mock.patch.object(Signal, "_finish", cyclic):
        assert blocking_providers(2).cyclic
