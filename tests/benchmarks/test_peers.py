"""What is claimed of our column, at sizes a test can run. How long anything takes is not asked."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from .compare import Cell, Comparison, Row
from .peers import NAMES, OURS
from .peers.requests import _count
from .peers.run import PARTS, compare
from .peers.sizes import TINY


@pytest.fixture(scope="module")
def ours() -> dict[str, Cell]:
    # Without the clocks, which need a package of the bench extra; tests/core has them.
    table = compare([OURS], TINY, [part for part in PARTS if part != "clocks"])
    return {row.measure.strip(): row.cells[table.ours] for row in table.rows}


@pytest.mark.parametrize(
    "callers",
    [
        "1 task, no valid token",
        "20 tasks, no valid token",
        "1 thread, no valid token",
        "8 threads, no valid token",
        "20 tasks that force a refresh",
        "8 threads that force a refresh",
    ],
)
def test_k1_k2_k13_however_many_call_one_request_is_made(
    ours: dict[str, Cell], callers: str
) -> None:
    assert ours[f"token requests: {callers}"].text == "1"


KINDS = pytest.mark.parametrize("kind", ["an ordinary", "a forced"])


@KINDS
def test_f9_a_sign_out_during_a_refresh_stands(ours: dict[str, Cell], kind: str) -> None:
    assert ours[f"sign-out during {kind} refresh, 0.05 s after: signed in"].text == "no"
    assert ours[f"a token is served then ({kind} refresh)"].text == "no"


@KINDS
def test_r1_r2_r4_after_a_switch_nobody_gets_the_token_of_before(
    ours: dict[str, Cell], kind: str
) -> None:
    caller = f"switch from user A to B during {kind} refresh of A: its caller gets the token of"
    assert ours[caller].text == "B"
    assert ours[f"one who asks right after the switch gets ({kind} refresh)"].text == "B"
    assert ours[f"one who asks when A's answer is in gets ({kind} refresh)"].text == "B"
    assert ours[f"A's token is cached then ({kind} refresh)"].text == "no"


def test_f2_one_503_is_no_ones_trouble(ours: dict[str, Cell]) -> None:
    assert ours["one 503 to a refresh: the caller gets"].text == "a token"
    assert ours["the next one gets"].text == "a token"


def test_every_measure_gives_a_figure_of_ours(ours: dict[str, Cell]) -> None:
    assert len(ours) >= 30
    assert not [name for name, cell in ours.items() if cell.text in ("", "–")]


def test_the_peers_are_imported_by_their_own_adapters_only() -> None:
    code = "import sys, tests.benchmarks.peers.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "supabase_auth",
        "msal",
        "google.auth",
        "authlib",
        "httpx_auth",
        "anthropic",
    }
    assert {f"tests.benchmarks.peers.{name}" for name in NAMES}.isdisjoint(loaded)


# -- the comparison itself ---------------------------------------------------------------------


def table() -> Comparison:
    found = Comparison(["us", "them", "nobody"])
    found.rows += [
        Row("requests", {"us": Cell("1", 1.0), "them": Cell("100", 100.0)}, "least"),
        Row(
            "read: ns", {"us": Cell("5", 5.0, "cached"), "them": Cell("3", 3.0, "a dict")}, "least"
        ),
        Row("kept", {"us": Cell("7", 7.0), "them": Cell("9", 9.0)}, "most"),
        Row("  times ours", {"us": Cell("1", 1.0), "them": Cell("0.6", 0.6)}),
        Row(
            "again", {"us": Cell("no", 0.0, "cached"), "them": Cell("–", note="has none")}, "least"
        ),
    ]
    return found


def test_a_peer_is_better_where_its_number_is_in_the_better_direction() -> None:
    better = [(measure, peer) for measure, peer, _, _ in table().better()]
    assert better == [("read: ns", "them"), ("kept", "them")]


def test_neither_noise_nor_a_count_where_callers_failed_is_better() -> None:
    found = Comparison(["us", "them"])
    found.rows.append(Row("ns", {"us": Cell("104", 104.0), "them": Cell("100", 100.0)}, "least"))
    peer = SimpleNamespace(why={})
    failed = _count(peer, 0, [TimeoutError()] * 3, "tasks", False)
    found.rows.append(Row("requests", {"us": Cell("1", 1.0), "them": failed}, "least"))
    assert found.better() == []
    assert "3 TimeoutError" in failed.note


def test_a_footnote_is_told_once_and_numbered_by_its_first_mention() -> None:
    text = table().markdown()
    assert "| read: ns | 5 <sup>1</sup> | 3 <sup>2</sup> | – |" in text
    assert "| again | no <sup>1</sup> | – <sup>3</sup> | – |" in text
    assert text.count("<sup>1</sup> cached.") == 1


def test_a_comparison_outlives_its_run() -> None:
    assert Comparison.of_data(json.loads(json.dumps(table().as_data()))) == table()
