"""Coverage-guided fuzzing: ``python -m tests.fuzz [--seconds N] [--findings DIR] [target ...]``.

Each target runs in a process of its own. Prints a table, and for each finding its traceback and the
command that repeats it; the exit status is 1 if there was one. Needs the extra ``[fuzz]``, which
is for Linux; ``--replay`` does not.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reactive_auth.extras import require

from .targets import TARGETS

HEAD = ("target", "executions", "coverage features", "of those new", "findings")
_ROOT = Path(__file__).parents[2]
#: Bytes of one input; real time (seconds) after which one execution counts as a hang.
_LARGEST, _HANG = 4096, 20


@dataclass(frozen=True)
class Run:
    """What became of one target. ``features`` are libFuzzer's: edges, with how often taken."""

    target: str
    executions: int
    seeded: int
    features: int
    inputs: tuple[Path, ...]
    log: str
    status: int

    @property
    def found(self) -> bool:
        return bool(self.inputs) or self.status != 0

    def row(self) -> str:
        new = self.features - self.seeded
        return f"{self.target} | {self.executions:,} | {self.features:,} | {new:,} | {self.found:d}"


def fuzz(name: str, *, seconds: int, findings: Path, corpus: Path) -> Run:
    """Run one target for so long, or until its first finding."""
    target = TARGETS[name]
    grown, seeds = corpus / name, corpus / f"{name}.seeds"
    for folder in (grown, seeds, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    words = corpus / f"{name}.words"
    words.write_text("".join(f'"{_quote(word)}"\n' for word in target.words), "utf-8")
    before = set(findings.iterdir())
    command = [sys.executable, "-m", "tests.fuzz.harness", name]
    command += [f"-max_total_time={seconds}", f"-timeout={_HANG}", f"-max_len={_LARGEST}"]
    command += [f"-dict={words}", f"-artifact_prefix={findings}/{name}-", "-print_final_stats=1"]
    done = subprocess.run(
        [*command, str(grown), str(seeds)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    counted = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    numbers = [int(number) for number in re.findall(r"^#(\d+)\t", done.stdout, re.MULTILINE)]
    features = [int(number) for number in re.findall(r"\bft: (\d+)", done.stdout)]
    return Run(
        target=name,
        executions=int(counted[1]) if counted else max(numbers, default=0),
        seeded=features[0] if features else 0,
        features=features[-1] if features else 0,
        inputs=tuple(sorted(set(findings.glob(f"{name}-*")) - before)),
        log=done.stdout,
        status=done.returncode,
    )


def report(run: Run) -> None:
    """Print a finding."""
    print(f"\n{run.target}: a finding (status {run.status})\n")
    start = run.log.find("=== Uncaught Python exception")
    print(run.log[start if start >= 0 else -4000 :][:8000])
    for file in run.inputs:
        print(f"input: {file.read_bytes()!r}")
        print(f"repeat: python -m tests.fuzz --replay {file} {run.target}")


def _quote(word: bytes) -> str:
    plain = range(0x20, 0x7F)
    return "".join(chr(b) if b in plain and b not in b'"\\' else f"\\x{b:02x}" for b in word)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default: 1)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="keep what covered more here")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input, no atheris")
    given = parser.parse_args(argv)
    names = given.targets or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            parser.error(f"there is no target {name}; there are {', '.join(TARGETS)}")
    if given.seconds < 1 or given.jobs < 1:
        parser.error("--seconds and --jobs must be at least 1")
    if given.replay is not None:
        for name in names:
            TARGETS[name].check(given.replay.read_bytes())
        print("no finding")
        return 0
    try:
        require("atheris", extra="fuzz")
    except ImportError as error:
        parser.exit(2, f"{error} (Linux only)\n")
    with tempfile.TemporaryDirectory() as scratch:
        corpus = (given.corpus or Path(scratch)).resolve()
        findings = given.findings.resolve()
        with ThreadPoolExecutor(given.jobs) as pool:
            runs = list(
                pool.map(
                    lambda name: fuzz(
                        name, seconds=given.seconds, findings=findings, corpus=corpus
                    ),
                    names,
                )
            )
    print(*HEAD, sep=" | ")
    print(*("---" for _ in HEAD), sep=" | ")
    for run in runs:
        print(run.row())
    for run in runs:
        if run.found:
            report(run)
    return int(any(run.found for run in runs))


if __name__ == "__main__":
    raise SystemExit(main())
