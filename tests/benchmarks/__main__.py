"""Run them all: ``python -m tests.benchmarks [--rotations N] [--many N] [--write]``.

``--write`` regenerates PROOF.md from the run.
"""

from __future__ import annotations

import argparse

from . import (
    coalescing,
    http_auth,
    imports,
    page,
    providers,
    reads,
    recorder,
    rotations,
    streams,
    views,
)
from .compare import Comparison
from .peers import NAMES, load
from .peers.run import compare
from .peers.sizes import FULL, TINY
from .table import Table, versions


def run(table: Table, rotation_count: int, many: int) -> None:
    coalescing.run(table)
    reads.run(table)
    streams.run(table)
    recorder.run(table)
    http_auth.run(table)
    views.run(table)
    imports.run(table)
    providers.run(table, many)
    rotations.run(table, rotation_count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--rotations", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=providers.MANY)
    parser.add_argument("--tiny", action="store_true", help="the peers at sizes that prove nothing")
    parser.add_argument("--write", action="store_true", help="regenerate PROOF.md from this run")
    options = parser.parse_args()
    table = Table()
    # First, while the process holds nothing else: what is loaded slows the garbage collector.
    comparison: Comparison = compare(sizes=TINY if options.tiny else FULL)
    run(table, options.rotations, options.many)
    table.show(comparison)
    if options.write:
        peers = versions(load(name).distribution for name in NAMES[1:])
        page.save(page.take(comparison, table.rows, peers))
        page.write()


if __name__ == "__main__":
    main()
