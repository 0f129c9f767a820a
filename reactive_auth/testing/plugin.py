"""pytest fixtures, found through the ``pytest11`` entry point."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, Unpack

import pytest

from ..provider import AuthProvider, ProviderOptions
from .fake import FakeAuthClient
from .virtual import VirtualClock, run_virtual

__all__ = ["VirtualAuth", "virtual_auth"]

T = TypeVar("T")


class VirtualAuth:
    """A provider over a scripted client in virtual time, made anew for each run."""

    def __init__(self) -> None:
        #: The clock that jumps; set its ``skew``, or ``suspend`` it, to have it go wrong.
        self.clock = VirtualClock()

    def run(
        self,
        scenario: Callable[[AuthProvider[FakeAuthClient]], Awaitable[T]],
        *,
        lifetime: float = 900.0,
        manual: bool = False,
        **options: Unpack[ProviderOptions],
    ) -> T:
        """Run a scenario to its end and return its result.

        ``lifetime`` is that of tokens in seconds; with ``manual`` every fetch stays open until
        the scenario ends it. Raises :class:`reactive_auth.testing.Deadlock` if it never would.
        """

        async def main() -> T:
            client = FakeAuthClient(self.clock, lifetime=lifetime, manual=manual)
            options.setdefault("clock", self.clock)
            async with AuthProvider(client, **options) as auth:
                return await scenario(auth)

        return run_virtual(main(), self.clock)


@pytest.fixture
def virtual_auth() -> VirtualAuth:
    """``virtual_auth.run(scenario)`` calls ``await scenario(auth)`` in virtual time."""
    return VirtualAuth()
