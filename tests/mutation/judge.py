"""What becomes of a mutant, told in a worker process by a fork of it for each mutant."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import select
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec

from .mutants import HEART

__all__ = ["OUTCOMES", "Verdict", "judge", "settle"]

OUTCOMES = ("killed", "timed out", "survived")
_PLUGINS = ("no:cacheprovider", "_hypothesis_pytestplugin", "reactive_auth.testing.plugin")
#: A mutant may make a test wait for ever. One test may take this long, or this many times what it
#: takes unmutated (seconds); none sleeps, so that the first is generous.
_PATIENCE, _TIMES = 10.0, 25.0

_seconds: dict[str, float] = {}
_kills: Counter[tuple[str, str]] = Counter()


class Verdict(NamedTuple):
    """What became of one mutant; ``test`` is the one that failed or was cut."""

    module: str
    operator: str
    occurrence: int
    line: int
    outcome: str
    test: str
    difference: str


def settle(copies: Any) -> None:
    """Make this worker ready: it has a copy, knows how long each test takes, and that they pass."""
    copy: Path = copies.get()
    os.chdir(copy)
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MACHINE_EXAMPLES": "6"}
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    _load_what_all_need()
    sys.dont_write_bytecode = False
    outcome, test = _try("")
    sys.dont_write_bytecode = True
    if outcome != "survived":
        raise RuntimeError(f"unmutated: {outcome} {test}\n{Path('output').read_text('utf-8')}")
    for module in HEART:  # what is compiled of these must never be taken for a mutant's
        for compiled in Path("reactive_auth/__pycache__").glob(f"{module}.*"):
            compiled.unlink()
    with _Swapped(Path("reactive_auth/policy.py"), "raise SystemError\n"):
        if _try("")[0] != "killed":
            raise RuntimeError("the tests do not run on the copy that is mutated")


def judge(mutant: MutationSpec) -> Verdict:
    """Try one mutant."""
    path = Path(mutant.module_path)
    before = path.read_text("utf-8")
    operator = get_operator(mutant.operator_name)(**mutant.operator_args)
    after = mutate_code(before, operator, mutant.occurrence)
    assert after is not None, mutant
    with _Swapped(path, after):
        outcome, test = _try(path.stem)
    if outcome != "survived":
        _kills[path.stem, test] += 1
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), str(path), str(path), lineterm=""
    )
    return Verdict(
        module=path.stem,
        operator=mutant.operator_name.removeprefix("core/"),
        occurrence=mutant.occurrence,
        line=mutant.start_pos[0],
        outcome=outcome,
        test=test,
        difference="\n".join(lines),
    )


class _Swapped:
    """A module with another text for a while."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._before = path.read_text("utf-8")

    def __enter__(self) -> None:
        self._path.write_text(self._text, "utf-8")

    def __exit__(self, *_: object) -> None:
        self._path.write_text(self._before, "utf-8")


def _load_what_all_need() -> None:
    """Importing it takes longer than most mutants live."""
    for name in ("anyio._backends._asyncio", "httpx", "hypothesis.stateful", "jwt"):
        importlib.import_module(name)


def _try(module: str) -> tuple[str, str]:
    """Run the tests in a fork, those that killed most mutants of this module first."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)  # with whatever processes a test starts
        _run(module, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            return _watch(pipe)
    finally:
        for stop in (os.killpg, os.kill):  # the group, if there is one yet
            try:
                stop(child, signal.SIGKILL)
                break
            except ProcessLookupError:
                continue
        os.waitpid(child, 0)


def _run(module: str, writing: int) -> None:
    """Never returns."""
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        for name in [
            name for name in sys.modules if name.split(".")[0] in ("reactive_auth", "tests")
        ]:
            del sys.modules[name]
        sys.path.insert(0, os.getcwd())
        plugins = [word for name in _PLUGINS for word in ("-p", name)]
        pytest.main(["-x", "-q", *plugins, "tests/core"], plugins=[_Reporter(module, writing)])
    except BaseException as error:
        os.write(writing, _line("failed", repr(error), 0.0))
    finally:
        os._exit(0)


class _Reporter:
    """Tells the worker of each test as it begins and ends."""

    def __init__(self, module: str, writing: int) -> None:
        self._module, self._writing = module, writing
        self._began = 0.0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def promise(item: pytest.Item) -> tuple[int, float]:
            name = item.nodeid
            return -_kills[self._module, name], _seconds.get(name, 0.0)

        items.sort(key=promise)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._began = time.monotonic()
        os.write(self._writing, _line("began", nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._writing, _line("failed", report.nodeid, 0.0))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        took = time.monotonic() - self._began
        os.write(self._writing, _line("passed", nodeid, took))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            os.write(self._writing, _line("failed", report.nodeid, 0.0))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        word = "done" if exitstatus == 0 else "failed"
        os.write(self._writing, _line(word, f"exit status {int(exitstatus)}", 0.0))


def _line(word: str, test: str, seconds: float) -> bytes:
    return json.dumps([word, test, seconds]).encode() + b"\n"


def _watch(pipe: Any) -> tuple[str, str]:
    """The outcome, and the test that decided it."""
    running, deadline, rest = "collection", time.monotonic() + 6 * _PATIENCE, b""
    while True:
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return "timed out", running
        received = pipe.read(65_536)
        if not received:  # it died
            return "killed", running
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            word, test, seconds = json.loads(line)
            if word == "failed":
                return "killed", test
            if word == "done":
                return "survived", ""
            if word == "passed":
                _seconds.setdefault(test, seconds)
            else:
                running = test
            patience = max(_PATIENCE, _TIMES * _seconds.get(test, _PATIENCE))
            deadline = time.monotonic() + patience
