"""Run them all: ``python -m tests.benchmarks [--rotations N] [--many N]``."""

from __future__ import annotations

from . import coalescing, http_auth, imports, providers, reads, recorder, rotations, streams, views
from .table import Table, alone


def run(table: Table, rotations: int, many: int) -> None:
    coalescing.run(table)
    reads.run(table)
    streams.run(table)
    recorder.run(table)
    http_auth.run(table)
    views.run(table)
    imports.run(table)
    providers.run(table, many)
    _rotations(table, rotations)


_rotations = rotations.run

if __name__ == "__main__":
    alone(run, rotations=10_000, many=providers.MANY)
