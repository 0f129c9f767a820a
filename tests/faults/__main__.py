"""Run every fault in every phase, and print what became of it as a table (Markdown)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .certificates import Certificates, make_certificates
from .clocks import ShiftedClock, run_shifted
from .phases import PHASES, Outcome
from .stage import Stage, raw_backend
from .table import FAULTS, Fault

HEAD = ("fault", "when", "status", "token", "error", "requests", "well again after")


def outcome(fault: Fault, phase: str, certificates: Certificates) -> Outcome:
    clock = ShiftedClock()

    async def main() -> Outcome:
        async with raw_backend(clock, fault, certificates) as backend, Stage(backend) as stage:
            return await PHASES[phase].play(stage, fault)

    return run_shifted(main(), clock)


def main() -> None:
    print(*HEAD, sep=" | ")
    print(*("---" for _ in HEAD), sep=" | ")
    with tempfile.TemporaryDirectory() as folder:
        certificates = make_certificates(Path(folder))
        for fault in FAULTS.values():
            for name, phase in PHASES.items():
                if phase.route not in fault.routes:
                    continue
                got = outcome(fault, name, certificates)
                after = "" if got.recovered is None else f"{got.recovered:.0f} s"
                cells = (fault.name, name, got.status, got.token, got.error, got.requests, after)
                print(*cells, sep=" | ")


if __name__ == "__main__":
    main()
