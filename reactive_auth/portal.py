"""A private event loop on a daemon thread, and calls into it from anywhere."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

import anyio

from .errors import AuthClosed, AuthTimeout, WrongThread
from .secrecy import discreet_call

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["BlockingCall", "PrivateLoop", "run_on_loop"]

P = ParamSpec("P")
R = TypeVar("R")


#: How often this process was forked off another. Asking for its id costs more than a cached read.
_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)


class PrivateLoop:
    """anyio's blocking portal on a daemon thread.

    ``anyio.from_thread.start_blocking_portal`` uses a thread that the interpreter joins at
    exit: a script that forgot to close would never end (HAZARDS L1).
    """

    def __init__(self) -> None:
        ready: Future[BlockingPortal] = Future()
        self._forks = _forks
        self._closed = False
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="reactive_auth-loop", daemon=True
        )
        self._thread.start()
        self._portal = ready.result()

    def _run(self, ready: Future[BlockingPortal]) -> None:
        from anyio.from_thread import BlockingPortal  # a tenth of importing the whole package

        async def main() -> None:
            try:
                portal = BlockingPortal()
            except BaseException as error:
                ready.set_exception(error)
                raise
            async with portal:
                ready.set_result(portal)
                await portal.sleep_until_stopped()

        anyio.run(main)

    def submit(
        self, function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """Start a call on the loop. Raises AuthClosed after :meth:`stop` and in a forked child."""
        if not self.is_ours():
            raise AuthClosed("this object was made in another process: a fork has no loop of it")
        if not self._closed and self._is_here():
            # anyio's portal takes no calls from its own thread.
            loop = asyncio.get_running_loop()
            return asyncio.run_coroutine_threadsafe(_awaited(function(*args, **kwargs)), loop)
        if not self._closed:
            try:
                return self._portal.start_task_soon(lambda: function(*args, **kwargs))
            except RuntimeError:  # stopped in between
                pass
        raise AuthClosed("the provider is closed")

    def is_ours(self) -> bool:
        """Whether this is the process it was made in, and no fork of it."""
        return _forks == self._forks

    def check_may_wait(self) -> None:
        """Raises WrongThread on the loop's own thread, which would wait for itself."""
        if self._is_here():
            raise WrongThread(
                "a blocking call on the private loop's own thread would wait for itself: "
                "use its .future(...) twin"
            )

    def wait(self, future: Future[R], timeout: float | None = None) -> R:
        """The outcome of a call, which was not made on the loop's own thread."""
        try:
            return future.result(timeout)
        except CancelledError:
            raise AuthClosed("the provider was closed during the call") from None
        except TimeoutError as error:
            if future.done():  # an AuthTimeout of the call itself is a TimeoutError, too
                raise
            raise AuthTimeout("the call did not end in time") from error
        except KeyboardInterrupt:
            future.cancel()
            raise

    def stop(self, timeout: float) -> None:
        """End the loop and its thread; what still runs there is cancelled."""
        self._closed = True
        if not self.is_ours() or not self._thread.is_alive():
            return
        try:
            self._portal.start_task_soon(self._portal.stop, True)
        except RuntimeError:
            return
        if not self._is_here():
            self._thread.join(timeout)

    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread


class BlockingCall(Generic[P, R]):
    """A coroutine function as a blocking call, with :meth:`future` as its non-blocking twin."""

    def __init__(self, loop: PrivateLoop, function: Callable[P, Awaitable[R]]) -> None:
        self._loop = loop
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "call")

    @discreet_call
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call and wait for the outcome."""
        self._loop.check_may_wait()
        return self._loop.wait(self.future(*args, **kwargs))

    @discreet_call
    def future(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call without waiting. Cancelling the future cancels the call."""
        return self._loop.submit(self._function, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<blocking {self.__name__}>"


async def _awaited(awaitable: Awaitable[R]) -> R:
    return await awaitable


def run_on_loop(function: Callable[[], R]) -> Callable[[], Awaitable[R]]:
    """A plain function as something that :meth:`PrivateLoop.submit` takes."""

    async def call() -> R:
        return function()

    return call
