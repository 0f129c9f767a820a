"""F4: the documented numbers, and the backoff to the second."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from reactive_auth import Backoff, ConfigurationError
from reactive_auth.policy import Policy, seconds


def test_the_durations_are_as_documented() -> None:
    policy = asdict(Policy())
    backoff = policy.pop("backoff")
    assert policy == {
        "margin": 30.0,
        "refresh_ahead": 120.0,
        "fetch_timeout": 10.0,
        "timeout": 30.0,
        "opaque_ttl": 300.0,
        "min_interval": 5.0,
    }
    assert (backoff["base"], backoff["cap"]) == (0.5, 30.0)


@pytest.mark.parametrize(
    ("failures", "delay"),
    [(1, 0.5), (2, 1), (3, 2), (4, 4), (6, 16), (7, 30), (60, 30), (10_000, 30)],
)
def test_f4_the_backoff_doubles_up_to_its_cap(failures: int, delay: float) -> None:
    assert Backoff(draw=lambda: 1.0).delay(failures) == delay
    assert Backoff(draw=lambda: 0.5).delay(failures) == delay / 2


@pytest.mark.parametrize(
    ("asked", "delay"),
    [
        (None, 0.05),
        (0, 0.05),
        (-5, 0.05),
        (0.06, 0.06),
        (3600, 3600),
        (1e9, 3600),
        (math.inf, 0.05),
        (math.nan, 0.05),
    ],
)
def test_f4_a_server_asks_for_more_time_up_to_an_hour_and_never_for_less(
    asked: float | None, delay: float
) -> None:
    assert Backoff(draw=lambda: 0.0).delay(1, asked) == delay


@pytest.mark.parametrize("name", ["fetch_timeout", "timeout", "opaque_ttl"])
def test_a_bound_is_a_millisecond_at_least(name: str) -> None:
    arguments: dict[str, Any] = {name: 0.001}
    assert getattr(Policy(**arguments), name) == 0.001
    for bad in (0.0009, 0, -1, math.inf, math.nan, True, "5", None):
        with pytest.raises(ConfigurationError, match=name):
            Policy(**{name: bad})


@pytest.mark.parametrize("name", ["margin", "refresh_ahead", "min_interval"])
def test_a_distance_may_be_nothing_and_no_less(name: str) -> None:
    arguments: dict[str, Any] = {name: 0}
    assert getattr(Policy(**arguments), name) == 0
    for bad in (-0.001, math.inf, math.nan, False, "5", None):
        with pytest.raises(ConfigurationError, match=name):
            Policy(**{name: bad})


def test_a_backoff_has_a_millisecond_at_least_and_a_cap_that_is_no_lower() -> None:
    assert Backoff(base=0.001, cap=0.001, draw=lambda: 1.0).delay(9) == 0.05
    for base, cap in ((0.0009, 1.0), (2.0, 1.999), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(ConfigurationError):
            Backoff(base=base, cap=cap)


def test_durations_are_seconds_or_timedeltas() -> None:
    assert seconds("x", timedelta(minutes=2)) == 120.0
    assert isinstance(seconds("x", 3), float)
    with pytest.raises(ConfigurationError, match="x must be"):
        seconds("x", "3")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="backoff"):
        Policy(backoff=30)  # type: ignore[arg-type]
