"""PROOF.md is what the generator makes of the last run's figures and the hand-written parts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from . import page
from .compare import Cell, Comparison, Row
from .peers import NAMES, OURS
from .peers.run import PARTS, compare
from .peers.sizes import TINY


@pytest.fixture(scope="module")
def figures() -> dict[str, object]:
    return json.loads(page.FIGURES.read_text("utf-8"))


def test_the_page_is_made_of_the_saved_figures_and_the_parts(figures: dict[str, object]) -> None:
    again = "make it again: python -m tests.benchmarks.page"
    assert page.PAGE.read_text("utf-8") == page.render(figures), again


def test_each_hand_written_part_is_in_it_and_has_a_head_of_its_own() -> None:
    text = page.PAGE.read_text("utf-8")
    parts = sorted(page.PARTS.glob("*.md"))
    assert parts
    for part in parts:
        words = part.read_text("utf-8").strip()
        assert words.startswith(("## ", "### ")), part.name
        assert words in text, part.name


def test_the_figures_are_of_all_peers_at_full_size(figures: dict[str, object]) -> None:
    found = Comparison.of_data(figures["comparison"])
    assert len(found.columns) == len(NAMES)
    measures = [row.measure for row in found.rows]
    assert "token requests: 1,000 tasks, no valid token" in measures
    assert "memory of 10,000 idle clients, signed in: KiB each, resident" in measures
    assert all(set(row.cells) == set(found.columns) for row in found.rows)


def test_they_are_of_the_measures_that_are_taken_now(figures: dict[str, object]) -> None:
    def shape(measures: list[str]) -> set[str]:
        return {re.sub(r"[\d.,]+|s\b", "", measure) for measure in measures}

    parts = [part for part in PARTS if part in ("requests", "races")]
    taken = compare([OURS], TINY, parts)
    saved = Comparison.of_data(figures["comparison"])
    now = shape([row.measure for row in taken.rows])
    assert now <= shape([row.measure for row in saved.rows])


def test_nothing_in_it_tells_when_or_on_whose_machine(figures: dict[str, object]) -> None:
    text = page.PAGE.read_text("utf-8")
    assert str(Path.home()) not in text
    assert str(page.HERE) not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)
    for name in ("machine", "versions", "peers"):
        assert str(figures[name]) in text


def test_where_a_peer_is_better_the_page_says_so() -> None:
    comparison = Comparison(
        ["us", "them"],
        [Row("read: ns", {"us": Cell("5", 5.0), "them": Cell("3", 3.0)}, "least")],
    )
    data = page.take(comparison, [("x", "1", "")], "them 1.0")
    assert "- read: ns: them 3; ours 5" in page.render(data)
