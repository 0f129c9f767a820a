"""``python -m tests.soak``: the long version with its figures. Exits with 1 if any is not flat."""

from __future__ import annotations

import argparse
import sys

from .cycles import Lives, blocking_providers, observers, providers
from .figures import Figures
from .hours import BYTES_AN_HOUR, BYTES_AT_FIRST, LEVELS, soak
from .life import STREAMS

#: So much may be traced more after thousands of lives than before, as caches fill.
_BYTES_OF_LIVES = 64_000.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="real time for each level")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subscriptions", type=int, default=10_000, help="of each kind of stream")
    parser.add_argument("--providers", type=int, default=1_000, help="opened and closed")
    parser.add_argument("--blocking", type=int, default=200, help="of the blocking kind")
    arguments = parser.parse_args()
    problems: list[str] = []

    for level in LEVELS:
        print(f"\n{level}, seed {arguments.seed}, a line an hour of virtual time")
        print(f"{'hour':>6} {_HEADER}")
        report = soak(
            level,
            seed=arguments.seed,
            seconds=arguments.seconds,
            warm_up=2.0,
            on_hour=lambda hour, figures: print(f"{hour:>6.0f} {_line(figures)}", flush=True),
        )
        print(
            f"{report.hours:.0f} hours in {report.seconds:.1f} s "
            f"({report.hours / report.seconds:.2f} hours a second), {report.events} events, "
            f"{report.calls} calls; {report.growth:+.0f} bytes an hour "
            f"(at most {BYTES_AN_HOUR:.0f}, and {BYTES_AT_FIRST / 1000:.0f} kB in all)"
        )
        problems += [f"{level}: {problem}" for problem in report.problems]

    print(f"\n{'lives':<32} {'count':>7} {'bytes each':>10} {'cyclic':>7} {_HEADER}")
    lives = [observers(kind, arguments.subscriptions) for kind in STREAMS]
    lives += [providers(arguments.providers), blocking_providers(arguments.blocking)]
    for each in lives:
        print(_lives(each))
        problems += [f"{each.what}: {problem}" for problem in each.problems(_BYTES_OF_LIVES)]
        problems += [f"{each.what}: {n} {name} a life in cycles" for name, n in each.cyclic.items()]

    print("\n".join(["", *problems]) if problems else "\nEverything is flat.")
    return int(bool(problems))


_HEADER = (
    f"{'traced kB':>10} {'RSS MB':>7} {'files':>6} {'threads':>8} {'tasks':>6} {'timers':>7} "
    f"{'objects':>8}"
)


def _line(figures: Figures) -> str:
    return (
        f"{figures.traced / 1000:>10.1f} {figures.resident / 1e6:>7.1f} {figures.files:>6} "
        f"{figures.threads:>8} {figures.tasks:>6} {figures.timers:>7} {figures.ours:>8}"
    )


def _lives(lives: Lives) -> str:
    return (
        f"{lives.what:<32} {lives.count:>7} {lives.growth:>10.1f} {lives.cyclic.total():>7} "
        f"{_line(lives.after)}"
    )


if __name__ == "__main__":
    sys.exit(main())
