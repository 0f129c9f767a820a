"""F1, F2, F4, F10: whatever fails, whenever: nobody is signed out, and it is got over by itself."""

from __future__ import annotations

import pytest

from .certificates import Certificates
from .clocks import ShiftedClock, run_shifted
from .phases import PHASES
from .raw_server import http
from .stage import Stage, raw_backend
from .table import FAULTS, TOKEN, VERDICTS, Fault, Verdict, sends

CASES = [
    pytest.param(fault, name, id=f"{fault}-{name.replace(' ', '-')}")
    for fault in FAULTS.values()
    for name, phase in PHASES.items()
    if phase.route in fault.routes
]


@pytest.mark.parametrize(("fault", "phase"), CASES)
def test_f1_f2_f4_a_fault_signs_nobody_out_and_is_got_over(
    fault: Fault, phase: str, certificates: Certificates
) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with raw_backend(clock, fault, certificates) as backend, Stage(backend) as stage:
            await PHASES[phase].play(stage, fault)
            if phase != "closing":
                stage.check_errors()

    run_shifted(main(), clock)


@pytest.mark.parametrize("verdict", VERDICTS, ids=str)
def test_f1_c9_an_authoritative_answer_signs_out_at_once_and_is_not_asked_for_twice(
    verdict: Verdict,
) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with raw_backend(clock) as backend, Stage(backend) as stage:
            await stage.pass_time(5, until=stage.is_well)
            before = len(stage.starts)
            answer = sends(http(verdict.status, verdict.body, *verdict.headers))
            backend.server.acts = {verdict.route: answer}
            if verdict.route == TOKEN:
                clock.advance(785)  # the cached one would be good for a minute yet
            else:
                stage.auth.client.online()
            await stage.rest()
            assert stage.auth.state.value.status == "signed_out"
            assert stage.auth.token.value is None
            assert await stage.auth.fetch_access_token() is None
            await stage.pass_time(300, step=10)
            assert [hit.path for hit in stage.starts[before:]] == [verdict.route]

    run_shifted(main(), clock)
