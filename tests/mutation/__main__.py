"""Mutate the heart, and see whether ``tests/core`` notices::

    python -m tests.mutation [--sample N] [--seed S] [--workers W] [--json FILE] [module ...]

Each worker has a copy of the package and of the tests in a temporary folder. What survives is
printed with its difference. Needs the extra ``mutation``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from reactive_auth.extras import require

require("cosmic_ray", extra="mutation")

from cosmic_ray.work_item import MutationSpec  # noqa: E402

from .judge import OUTCOMES, Verdict, judge, settle  # noqa: E402
from .mutants import HEART, mutants_of, sampled  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
#: Appended to the copy's conftest: quick, and the same for every mutant.
FEW_EXAMPLES = """
settings.register_profile(
    "mutation",
    settings.get_profile("default"),
    max_examples=8,
    derandomize=True,
    database=None,
    print_blob=False,
)
settings.load_profile("mutation")
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=HEART, metavar="module")
    parser.add_argument("--sample", type=int, default=sys.maxsize, help="of all, by module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="where to write every verdict")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        verdicts = _run(Path(folder), options)
    _report(verdicts)
    if options.json is not None:
        text = json.dumps([verdict._asdict() for verdict in verdicts], indent=1)
        options.json.write_text(text, "utf-8")
    return 0


def _run(folder: Path, options: argparse.Namespace) -> list[Verdict]:
    copies = multiprocessing.get_context("spawn").Queue()
    for number in range(options.workers):
        copy = folder / str(number)
        shutil.copytree(ROOT / "reactive_auth", copy / "reactive_auth", ignore=_caches)
        shutil.copytree(ROOT / "tests" / "core", copy / "tests" / "core", ignore=_caches)
        for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py"):
            shutil.copy(ROOT / name, copy / name)
        with (copy / "tests" / "conftest.py").open("a", encoding="utf-8") as conftest:
            conftest.write(FEW_EXAMPLES)
        copies.put(copy)
    os.chdir(folder / "0")
    every = {
        module: mutants_of(Path(f"reactive_auth/{module}.py"), folder / f"{module}.sqlite")
        for module in options.modules
    }
    share = min(1.0, options.sample / sum(map(len, every.values())))
    chosen: list[MutationSpec] = []
    for module, mutants in every.items():
        some = sampled(mutants, max(1, round(share * len(mutants))), options.seed)
        print(f"{module}: {len(some)} of {len(mutants)} mutants", flush=True)
        chosen += some
    verdicts: list[Verdict] = []
    with ProcessPoolExecutor(
        options.workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=settle,
        initargs=(copies,),
    ) as pool:
        for verdict in pool.map(judge, chosen):
            verdicts.append(verdict)
            _tell(verdict)
    return verdicts


def _caches(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


def _tell(verdict: Verdict) -> None:
    if verdict.outcome == "killed":
        print(".", end="", flush=True)
        return
    print(f"\n-- {verdict.outcome} {verdict.module}.py:{verdict.line} {verdict.operator}")
    print(verdict.test, end="\n" * bool(verdict.test))
    print(verdict.difference, flush=True)


def _report(verdicts: Sequence[Verdict]) -> None:
    print("\n")
    counts = Counter((verdict.module, verdict.outcome) for verdict in verdicts)
    print(f"{'module':<12}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES))
    for module in [*dict.fromkeys(verdict.module for verdict in verdicts)]:
        row = [counts[module, outcome] for outcome in OUTCOMES]
        print(f"{module:<12}" + "".join(f"{count:>10}" for count in row))
    detected = sum(verdict.outcome != "survived" for verdict in verdicts)
    share = detected / max(1, len(verdicts))
    print(f"{detected} of {len(verdicts)} detected (killed or timed out): {share:.1%}")


if __name__ == "__main__":
    sys.exit(main())
