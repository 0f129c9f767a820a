"""Figures, as ratios within one run: ``python -m tests.benchmarks``. None of it is asserted."""
