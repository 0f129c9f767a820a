"""Callers that wait for a change. However many there are, they share one future."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from .errors import AuthError, AuthTimeout
from .home import HomeLoop

__all__ = ["WAIT", "Wait", "Waiting"]

T = TypeVar("T")


class Wait:
    """What a look answers while there is nothing to return yet."""


WAIT: Final = Wait()


class Waiting:
    """Counts the callers, and wakes all of them at every change."""

    def __init__(self, home: HomeLoop) -> None:
        self._home = home
        self._changed: asyncio.Future[None] | None = None
        #: How many wait.
        self.count = 0

    def changed(self) -> None:
        """Have everybody look again."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)

    async def until(
        self,
        look: Callable[[], T | Wait],
        patience: float,
        reason: Callable[[], AuthError | None],
    ) -> T:
        """What ``look()`` answers first that is not WAIT; what it raises is raised.

        Raises AuthTimeout after ``patience`` seconds, with ``reason()`` as its cause.
        """
        self.count += 1
        try:
            async with asyncio.timeout(patience):
                while True:
                    # Taken before looking, so that nothing can change between look and wait;
                    # looked at after every wait, so that no answer is older than the return.
                    change = self._next_change()
                    answer = look()
                    if not isinstance(answer, Wait):
                        return answer
                    await asyncio.shield(change)
        except AuthError:
            raise
        except TimeoutError:
            error = reason()
            because = f": {error}" if error is not None else ""
            raise AuthTimeout(f"no token within {patience:g} seconds{because}") from error
        finally:
            self.count -= 1

    def _next_change(self) -> asyncio.Future[None]:
        if self._changed is None:
            self._changed = self._home.loop.create_future()
        return self._changed
