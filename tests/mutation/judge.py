"""What becomes of a mutant, told in a worker process."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome

__all__ = ["OUTCOMES", "Verdict", "judge", "settle"]

OUTCOMES = ("killed", "survived", "no test", "unclear")
#: The quick ones first: most mutants are killed within two seconds.
SUBJECTS = (
    *("lease", "policy", "timing", "standing", "rotation", "views", "failure", "detection"),
    *("bad_input", "concurrency", "cache", "lifecycle", "machine"),
)
#: A mutant may make a test wait for ever (seconds). Unmutated the tests take some 10.
PATIENCE = 60.0


class Verdict(NamedTuple):
    """What became of one mutant."""

    module: str
    operator: str
    occurrence: int
    line: int
    outcome: str
    difference: str


def settle(copies: Any) -> None:
    os.chdir(copies.get())
    # Only what the core's tests need: loading every plugin takes longer than most mutants live.
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ["MACHINE_EXAMPLES"] = "6"


def judge(mutant: MutationSpec) -> Verdict:
    files = " ".join(f"tests/core/test_{subject}.py" for subject in SUBJECTS)
    plugins = "-p no:cacheprovider -p reactive_auth.testing.plugin"
    command = f"{sys.executable} -m pytest -x -q {plugins} {files}"
    result = mutate_and_test([mutant], command, PATIENCE)
    outcome = {TestOutcome.KILLED: "killed", TestOutcome.SURVIVED: "survived"}.get(
        result.test_outcome or TestOutcome.INCOMPETENT, "unclear"
    )
    if str(result.worker_outcome.value) == "no-test":
        outcome = "no test"
    return Verdict(
        module=mutant.module_path.stem,
        operator=mutant.operator_name,
        occurrence=mutant.occurrence,
        line=mutant.start_pos[0],
        outcome=outcome,
        difference=result.diff or "",
    )
