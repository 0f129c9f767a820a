"""One FIFO queue from which every observer of a group of signals is called, on one thread.

State is set before anything is delivered, deliveries never nest, and no lock is held across a
callback that another thread could wait for: an observer may call anything (HAZARDS K6, L4, L6).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Delivery", "ErrorHook", "LoopDelivery", "ThreadDelivery", "log_observer_error"]

ErrorHook = Callable[[Exception], None]

_log = logging.getLogger("reactive_auth")


def log_observer_error(error: Exception) -> None:
    """The default hook: the exception of an observer goes to the ``reactive_auth`` logger."""
    _log.error("an observer raised and was unsubscribed", exc_info=error)


class Delivery:
    """The queue. As it is, it delivers on whichever thread posts: the home of a dead loop."""

    def __init__(self, on_error: ErrorHook = log_observer_error) -> None:
        self._items: deque[Callable[[], None]] = deque()
        self._turn = threading.Lock()
        self._on_error = on_error

    def post(self, item: Callable[[], None]) -> None:
        """Add an item; it runs at the next :meth:`kick`."""
        self._items.append(item)

    def kick(self) -> None:
        """Have the queue drained on the home thread: now if this is it, else soon."""
        self._drain()

    def report(self, error: Exception) -> None:
        """Hand an observer's exception to the hook; a hook that raises is logged."""
        try:
            self._on_error(error)
        except Exception:
            _log.exception("the observer error hook raised")

    def _drain(self) -> None:
        # A nested or concurrent call finds the turn taken and leaves: whoever has it goes on
        # until the queue is empty. The outer test catches what came between the last popleft
        # and the release.
        while self._items and self._turn.acquire(blocking=False):
            try:
                while self._items:
                    self._items.popleft()()
            finally:
                self._turn.release()


class LoopDelivery(Delivery):
    """Delivers on the thread of an event loop, given by :meth:`bind`."""

    def __init__(self, on_error: ErrorHook = log_observer_error) -> None:
        super().__init__(on_error)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the running loop's thread the home."""
        self._loop = loop
        self._thread = threading.get_ident()

    def kick(self) -> None:
        if self._loop is not None and threading.get_ident() != self._thread:
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # that loop is closed: nothing else can deliver any more
                pass
            else:
                return
        self._drain()


class ThreadDelivery(Delivery):
    """Delivers on a private daemon thread, so that a slow or blocking observer stops nothing."""

    def __init__(self, on_error: ErrorHook = log_observer_error) -> None:
        super().__init__(on_error)
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name="reactive_auth-delivery", daemon=True
        )
        self._thread.start()

    def kick(self) -> None:
        if self._thread is None or self._stopped:
            self._drain()
        elif not self.is_home():
            self._wake.put(True)

    def is_home(self) -> bool:
        """Whether the calling thread is the one that delivers."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    def stop(self, timeout: float) -> None:
        """Deliver what is queued, then end the thread; waits unless called on that thread."""
        self._wake.put(False)
        if self._thread is not None and not self.is_home():
            self._thread.join(timeout)

    def _run(self) -> None:
        while self._wake.get():
            self._drain()
        self._drain()
        self._stopped = True
        self._drain()
