"""S2: exceptions leave without our frames, and the results of our tasks are masked."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from reactive_auth import (
    AuthProvider,
    AuthUnavailable,
    BearerAuth,
    BetterAuthClient,
    bearer_auth,
    connect,
    connect_blocking,
)
from reactive_auth.blocking import FetchCall
from reactive_auth.portal import BlockingCall
from reactive_auth.secrecy import Masked, discreet, discreet_call, masked, without_frames
from reactive_auth.verify import JwksVerifier, bearer_token


def names(error: BaseException) -> list[str]:
    """The functions of a traceback."""
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]


async def deep(password: str) -> None:
    try:
        raise KeyError(password)
    except KeyError:
        raise AuthUnavailable("down") from None


@discreet
async def call(password: str) -> None:
    await deep(password)


@discreet_call
def plain(password: str) -> None:
    try:
        raise KeyError(password)
    except KeyError:
        raise AuthUnavailable("down") from None


@pytest.mark.parametrize(
    "run", [lambda: asyncio.run(call("s3cr3t")), lambda: plain("s3cr3t")], ids=["async", "plain"]
)
def test_s2_an_error_leaves_without_our_frames_and_without_what_it_replaced(
    run: Callable[[], None],
) -> None:
    with pytest.raises(AuthUnavailable) as raised:
        run()
    assert names(raised.value)[-1] == "call"
    assert "deep" not in names(raised.value)
    assert "plain" not in names(raised.value)
    assert raised.value.__context__ is None
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert "password" not in "".join(shown.format())


def test_s2_a_call_with_wrong_arguments_shows_none_of_them() -> None:
    with pytest.raises(TypeError) as raised:
        asyncio.run(call(pasword="s3cr3t"))  # type: ignore[call-arg]
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert "s3cr3t" not in "".join(line for line in shown.format() if "pytest" not in line).replace(
        'asyncio.run(call(pasword="s3cr3t"))', ""
    )


def test_an_error_that_nobody_meant_to_raise_says_where_it_came_from() -> None:
    @discreet_call
    def broken() -> None:
        inner()

    def inner() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        broken()
    assert names(raised.value)[-1] == "call"
    (note,) = raised.value.__notes__
    assert "in inner" in note
    assert "test_secrecy.py" in note


def test_what_the_users_code_was_handling_stays_the_context() -> None:
    @discreet_call
    def fails() -> None:
        raise AuthUnavailable("down")

    def handling() -> None:
        try:
            raise LookupError
        except LookupError:
            fails()

    with pytest.raises(AuthUnavailable) as raised:
        handling()
    assert isinstance(raised.value.__context__, LookupError)
    assert raised.value.__context__.__traceback__ is not None


def test_a_cause_of_the_users_own_keeps_its_frames_and_one_of_ours_loses_them() -> None:
    def fail(error: Exception) -> Exception:
        try:
            raise error
        except Exception as raised:
            return raised

    ours, theirs = fail(AuthUnavailable("down")), fail(OSError("reset"))
    ours.__cause__ = theirs
    outer = AuthUnavailable("no token for now")
    outer.__cause__ = ours
    assert without_frames(outer) is outer
    assert ours.__traceback__ is None
    assert theirs.__traceback__ is not None


def test_a_masked_value_is_shown_nowhere() -> None:
    held = Masked("s3cr3t")
    assert held.value == "s3cr3t"
    assert "s3cr3t" not in f"{held} {held!r} {[held]}"
    for refuses in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            refuses(held)

    async def main() -> str:
        async def secret() -> str:
            return "s3cr3t"

        task = asyncio.ensure_future(masked(secret))
        assert (await task).value == "s3cr3t"
        return repr(task)

    assert "s3cr3t" not in asyncio.run(main())


#: Coroutine methods that are given no secret and handle none.
HARMLESS = {"aclose", "recheck", "refresh"}
#: This one is as fast as can be while a token is cached; what it does else is discreet.
ITSELF = {"fetch_access_token"}


@pytest.mark.parametrize("kind", [BetterAuthClient, AuthProvider, JwksVerifier])
def test_s2_every_public_coroutine_that_may_see_a_secret_is_discreet(kind: type[Any]) -> None:
    methods = {
        name: method
        for name, method in inspect.getmembers(kind, callable)
        if not name.startswith("_") and inspect.iscoroutinefunction(method)
    }
    assert methods
    loud = {name for name, method in methods.items() if not is_discreet(method)}
    assert loud - HARMLESS - ITSELF == set()


@pytest.mark.parametrize(
    "function",
    [
        AuthProvider.__init__,
        AuthProvider._ask,
        BetterAuthClient.__init__,
        BlockingCall.__call__,
        BlockingCall.future,
        FetchCall.future,
        JwksVerifier.__init__,
        bearer_auth,
        bearer_token,
        connect,
        connect_blocking,
    ],
)
def test_s2_every_other_call_that_takes_a_secret_is_discreet(function: Callable[..., Any]) -> None:
    assert is_discreet(function)


def is_discreet(function: Any) -> bool:
    return function.__code__.co_filename.endswith("secrecy.py")


def test_s2_a_provider_that_was_refused_its_arguments_can_be_shown() -> None:
    with pytest.raises(Exception, match="observable") as raised:
        AuthProvider(object(), margin=-1.0)  # type: ignore[type-var]
    traceback.TracebackException.from_exception(raised.value, capture_locals=True)


def test_the_decorated_keep_their_names_and_signatures() -> None:
    assert BetterAuthClient.sign_in_email.__name__ == "sign_in_email"
    assert "password" in inspect.signature(BetterAuthClient.sign_in_email).parameters
    assert inspect.iscoroutinefunction(BetterAuthClient.sign_in_email)
    assert BearerAuth.__doc__
