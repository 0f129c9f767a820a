"""What goes wrong, on request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Fault", "Faults"]


@dataclass
class Fault:
    """What happens to requests for one path. ``times`` counts down; None is for ever."""

    path: str
    delay: float = 0.0
    status: int | None = None
    times: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None


class Faults:
    """A script of faults. Paths are relative to the base path; ``*`` is every path."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.is_down = False

    def delay(self, path: str, seconds: float, *, times: int | None = None) -> None:
        """Answer that much later. Aborting the request ends the wait."""
        self._faults.append(Fault(path, delay=seconds, times=times))

    def hang(self, path: str, *, times: int | None = None) -> None:
        """Never answer."""
        self.delay(path, 1e9, times=times)

    def fail(
        self,
        path: str,
        status: int,
        *,
        times: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Answer with this status instead, as JSON unless ``headers`` say otherwise."""
        self._faults.append(
            Fault(path, status=status, times=times, headers=headers or {}, body=body)
        )

    def down(self) -> None:
        """Refuse connections."""
        self.is_down = True

    def up(self) -> None:
        """Accept them again."""
        self.is_down = False

    def clear(self) -> None:
        """No faults any more."""
        self._faults.clear()
        self.is_down = False

    async def strike(self, path: str) -> Fault | None:
        """Wait as scripted for this path; the fault to answer with, if there is one."""
        for fault in list(self._faults):
            if fault.path not in (path, "*") or fault.times == 0:
                continue
            if fault.times is not None:
                fault.times -= 1
            if fault.delay:
                await asyncio.sleep(fault.delay)
            if fault.status is not None:
                return fault
        return None
