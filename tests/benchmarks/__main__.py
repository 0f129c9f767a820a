"""Run them all: ``python -m tests.benchmarks [--rotations N]``."""

from __future__ import annotations

import argparse

from . import calls, imports, providers, rotations
from .table import Table

parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
parser.add_argument("--rotations", type=int, default=10_000)
arguments = parser.parse_args()
table = Table()
calls.run(table)
imports.run(table)
providers.run(table)
rotations.run(table, arguments.rotations)
table.show()
