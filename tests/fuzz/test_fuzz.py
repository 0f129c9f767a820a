"""Hypothesis on the targets of the fuzzer: inputs near the real shape, and any bytes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .shapes import SHAPES, huge
from .targets import TARGETS

NAMES = list(TARGETS)
EXAMPLES = {"session": 70, "cookies": 70, "headers": 80, "routes": 70, "token": 60, "redirect": 70}
_QUICK = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.mark.parametrize("name", NAMES)
def test_f12_what_comes_close_to_a_good_answer_breaks_no_property(name: str) -> None:
    @settings(max_examples=EXAMPLES.get(name, 150), deadline=None, suppress_health_check=_QUICK)
    @given(SHAPES[name])
    def check(data: bytes) -> None:
        TARGETS[name].check(data)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_f12_any_bytes_break_no_property(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(st.binary(max_size=60))
    def check(data: bytes) -> None:
        TARGETS[name].check(data)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_the_fuzzers_seeds_break_no_property(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=_QUICK)
@given(huge())
def test_f12_an_answer_about_as_large_as_may_be_is_taken_or_refused_whole(body: bytes) -> None:
    TARGETS["session"].check(body)
