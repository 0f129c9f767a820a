"""The one event loop a provider lives on, and the ways to it from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import weakref
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from .errors import AuthClosed, AuthError, AuthTimeout, ConfigurationError
from .secrecy import masked

__all__ = ["HomeLoop", "Scope"]

T = TypeVar("T")

#: How long closing waits for cancelled work (seconds).
_PATIENCE = 5.0


class Scope:
    """An :class:`anyio.CancelScope` that can also be made where no task runs: in the callback of
    a timer or a future.

    anyio first asks which library is running. Where sniffio is installed (trio and anthropic
    bring it, and so does anyio before 4.12), it answers for a task only, and anyio raises.
    """

    def __init__(self) -> None:
        self.cancel_called = False
        #: In seconds of :func:`anyio.current_time`; set it before entering.
        self.deadline = math.inf
        self._scope: anyio.CancelScope | None = None

    def cancel(self) -> None:
        """Cancel what is inside, or will be."""
        self.cancel_called = True
        if self._scope is not None:
            self._scope.cancel()

    def __enter__(self) -> Self:
        self._scope = anyio.CancelScope(deadline=self.deadline)
        self._scope.__enter__()
        if self.cancel_called:
            self._scope.cancel()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        assert self._scope is not None
        return bool(self._scope.__exit__(kind, error, traceback))


class HomeLoop:
    """Unbound until :meth:`bind`; then everything is confined to that loop's thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._work: set[asyncio.Task[Any]] = set()
        self._scopes: weakref.WeakSet[Scope] = weakref.WeakSet()

    @property
    def bound(self) -> bool:
        """Whether there is a loop yet."""
        return self._loop is not None

    @property
    def ended(self) -> bool:
        """Whether there is no loop that could run anything, yet or any more."""
        return self._loop is None or self._loop.is_closed()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop. Raises ConfigurationError before there is one."""
        if self._loop is None:
            raise ConfigurationError("the provider has not been started on an event loop")
        return self._loop

    def bind(self) -> asyncio.AbstractEventLoop:
        """Make the running loop the home."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        return self._loop

    def passed_on(self, call: Callable[..., None], *args: object) -> bool:
        """Pass a call on to the loop if this is another thread; whether it was."""
        if threading.get_ident() == self._thread:
            return False
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # a closed loop hears nothing any more
                self._loop.call_soon_threadsafe(call, *args)
        return True

    async def run(self, call: Callable[[], Coroutine[Any, Any, T]], patience: float) -> T:
        """Await a coroutine on the home loop, whichever loop is running (HAZARDS K9).

        Raises AuthClosed when the home loop has ended, AuthTimeout when it does not answer
        within ``patience`` seconds.
        """
        if asyncio.get_running_loop() is self._loop:
            return await call()
        coroutine = masked(call)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise AuthClosed("the event loop this provider was started on has ended") from None
        try:
            async with asyncio.timeout(patience):
                return (await asyncio.wrap_future(future)).value
        except AuthError:
            raise
        except TimeoutError:
            raise AuthTimeout("the provider's event loop does not answer") from None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background until it ends or :meth:`finish`."""
        scope = Scope()

        async def scoped() -> None:
            with scope:
                await work

        self.track(self.loop.create_task(scoped(), name="reactive_auth work"))
        self._scopes.add(scope)

    def track(self, task: asyncio.Task[Any]) -> None:
        """Have :meth:`finish` wait for a task that somebody else cancels."""
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def finish(self) -> None:
        """Cancel what runs in the background, and wait for its end, within bounds."""
        for scope in self._scopes:
            scope.cancel()  # not task.cancel(), which poisons an HTTP pool (HAZARDS K16)
        if waiting := self._work - {asyncio.current_task()}:
            await asyncio.wait(waiting, timeout=_PATIENCE)
