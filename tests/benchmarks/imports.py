"""What importing costs, in fresh interpreters."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .table import Table

TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def run(table: Table) -> None:
    def spent(modules: str) -> float:
        code = TIMED.format(modules)
        run = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        return float(run.stdout)

    pairs = [(spent("reactive_auth"), spent("reactivex, httpx, jwt")) for _ in range(11)]
    ratios = [ours / theirs for ours, theirs in pairs]
    table.add("import / reactivex + httpx + jwt", statistics.median(ratios), "≤ 1.15")
    table.add("import, ms", statistics.median(ours for ours, _ in pairs) * 1e3)
