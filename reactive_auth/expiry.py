"""The end of a session by time, which no server announces (HAZARDS C12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from .clock import Clock
from .home import HomeLoop
from .standing import Standing

__all__ = ["ExpiryWatch"]

#: It is looked at this often at least, since timers pause in suspend (seconds).
_CHECK = 60.0


class ExpiryWatch:
    """Calls ``expired(key)`` when a session's time is up and a re-check did not renew it."""

    def __init__(
        self,
        home: HomeLoop,
        clock: Clock,
        recheck: Callable[[], Coroutine[Any, Any, None]],
        expired: Callable[[Hashable], None],
    ) -> None:
        self._home = home
        self._clock = clock
        self._recheck = recheck
        self._expired = expired
        self._standing: Standing | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._checking: Hashable | None = None
        self._stopped = False

    def look(self, standing: Standing) -> None:
        """This is how things stand now; to be called after every change."""
        self._standing = standing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        left = self._left()
        if self._stopped or left is None or self._checking == standing.key:
            return
        if left > 0:
            self._timer = self._home.loop.call_later(min(left, _CHECK), self.look, standing)
        else:
            self._checking = standing.key
            self._home.spawn(self._check(standing.key))

    def stop(self) -> None:
        """Look no more, and keep nobody."""
        self._stopped = True
        self._recheck, self._expired = _nothing, _nobody
        if self._timer is not None:
            self._timer.cancel()

    async def _check(self, key: Hashable | None) -> None:
        await self._recheck()  # the server may have renewed it
        self._checking = None
        standing = self._standing
        if self._stopped or standing is None:
            return
        left = self._left()
        if key is not None and standing.key == key and left is not None and left <= 0:
            self._expired(key)
        else:
            self.look(standing)

    def _left(self) -> float | None:
        session = self._standing.state.session if self._standing is not None else None
        if session is None or session.expires_at is None:
            return None
        return session.expires_at.timestamp() - self._clock.wall()


async def _nothing() -> None:
    pass


def _nobody(key: Hashable) -> None:
    pass
