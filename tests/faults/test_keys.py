"""S8: the same faults where a resource server fetches the issuer's keys."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from reactive_auth import AuthUnavailable
from reactive_auth.verify import JwksVerifier
from tests.wire.support import turn

from .certificates import Certificates
from .clocks import ShiftedClock, run_shifted
from .raw_server import SECRET
from .stage import raw_backend
from .table import FAULTS, SESSION, TOKEN, Fault

KEYS = "/convex/jwks"


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS.values() if fault.routes == (SESSION, TOKEN)], ids=str
)
def test_s8_a_fault_is_unavailable_in_bounded_time_and_leaves_nothing_open(
    fault: Fault, certificates: Certificates
) -> None:
    clock = ShiftedClock()

    async def main() -> None:
        async with raw_backend(clock, fault, certificates) as backend:
            await backend.strike(fault, KEYS)
            verifier = JwksVerifier(
                f"{backend.url}/api/auth{KEYS}",
                algorithms=["RS256"],
                issuer=backend.url,
                audience="convex",
                clock=clock,
                timeout=5,
                **backend.options,
            )
            async with verifier:
                refreshing = asyncio.ensure_future(verifier.refresh())
                if fault.hangs:
                    await backend.keeps_waiting(1)
                    clock.advance(5)
                with pytest.raises(AuthUnavailable) as raised:
                    await refreshing
                text = "".join(traceback.format_exception(raised.value))
                assert SECRET not in text
                await turn()
                await backend.emptied()
                if fault.hangs:  # and also when it is closed meanwhile
                    clock.advance(100)
                    refreshing = asyncio.ensure_future(verifier.refresh())
                    await backend.keeps_waiting(1)
            await asyncio.wait([refreshing])
            refreshing.exception()
            await backend.emptied()

    run_shifted(main(), clock)
