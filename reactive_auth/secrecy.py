"""Keeps secrets out of what is shown when something goes wrong.

pytest, rich and error reporters show the variables of every frame of a traceback, and asyncio's
debug mode shows the results of tasks. What a user's own frames hold is the user's; ours hold
passwords, cookies and tokens. So an exception leaves a public call without our frames below that
call, and the results of our tasks are :class:`Masked`.

What is left to others: a program that calls an API with an httpx client of its own and meets a
connection that breaks while the request is written has httpcore's and h11's frames in that
traceback, and the Authorization header among their variables. Error reporters are told to leave
out variables of these two, or to scrub headers.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Generic, NoReturn, TypeVar, cast

from .errors import AuthError

__all__ = ["Masked", "discreet", "discreet_call", "masked", "without_frames"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=Callable[..., Coroutine[Any, Any, Any]])
E = TypeVar("E", bound=BaseException)


class Masked(Generic[T]):
    """A value that is passed on and never shown."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<masked>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a masked value cannot be pickled or copied")


def discreet(function: A) -> A:
    """A coroutine function whose exceptions do not show its frame, nor those below it."""

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            running = function(*args, **kwargs)
        finally:
            args, kwargs = (), {}  # not del: IPython shows the arguments of a frame
        try:
            return await running
        except BaseException as error:
            raise without_frames(error)  # noqa: B904  # it is the same one

    return cast("A", call)


def discreet_call(function: F) -> F:
    """The same for a plain function."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            raise without_frames(error)  # noqa: B904  # it is the same one
        finally:
            args, kwargs = (), {}  # not del: IPython shows the arguments of a frame

    return cast("F", call)


def without_frames(error: E) -> E:
    """The exception without its traceback, and without an exception that it was raised
    ``from None`` in the place of: that one's frames, and the request it may carry, hold secrets.

    Where an exception is none that the library means to raise, the lines it came through are
    noted on it, for whoever mends it.
    """
    expected = isinstance(error, (AuthError, asyncio.CancelledError)) or not isinstance(
        error, Exception
    )
    below = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if not expected and below is not None:
        error.add_note("raised at:\n" + "".join(traceback.format_tb(below)).rstrip())
    if isinstance(error, AuthError):
        cause: BaseException | None = error
        while isinstance(cause, AuthError):
            if cause.__suppress_context__ and cause.__cause__ is None:
                cause.__context__ = None
            if cause is not error:
                cause.__traceback__ = None
            cause = cause.__cause__
    error.__traceback__ = None
    return error


async def masked(call: Callable[[], Awaitable[T]]) -> Masked[T]:
    """What a call answers, as a result that a task may have."""
    return Masked(await call())
