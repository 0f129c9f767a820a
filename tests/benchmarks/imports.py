"""What importing costs, in fresh interpreters."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .table import Table, alone

OURS = "reactive_auth"
THEIRS = "reactivex, httpx, jwt"
ON_DEMAND = ("jwt", "cryptography", "rich", "better_auth")
ROUNDS = 15

_TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
_LOADED = "import sys, {}; print(*(name for name in {!r} if name in sys.modules))"


def run(table: Table) -> None:
    for modules in (OURS, THEIRS):
        _seconds(modules)  # has them compiled and in the page cache
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(ROUNDS):
        pair = [(OURS, ours), (THEIRS, theirs)]
        for modules, spent in pair if number % 2 else reversed(pair):
            spent.append(_seconds(modules))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    table.add("import reactive_auth / reactivex + httpx + jwt", ratio, "≤ 1.15")
    ms = [statistics.median(spent) * 1e3 for spent in (ours, theirs)]
    table.add("  ms each", " / ".join(f"{value:.0f}" for value in ms))
    loaded = _python(_LOADED.format(OURS, ON_DEMAND)).strip()
    table.add(f"  of {', '.join(ON_DEMAND)} it imports", loaded or "none", "none")


def _seconds(modules: str) -> float:
    return float(_python(_TIMED.format(modules)))


def _python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return run.stdout


if __name__ == "__main__":
    alone(run)
