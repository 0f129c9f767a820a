"""One provider for each browser: its tabs share it, and it is closed after the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from datetime import timedelta
from functools import partial
from typing import Any, Generic, Unpack, overload

from typing_extensions import TypeVar  # a dependency of reactivex

from ..client import BetterAuthClient
from ..connect import ConnectOptions, connect
from ..errors import ConfigurationError
from ..policy import seconds
from ..protocol import AuthClient
from ..provider import AuthProvider

__all__ = ["BrowserProviders", "Browsers", "Visit", "maker"]

#: The client of the providers; of those made from a URL a BetterAuthClient (PEP 696).
C = TypeVar("C", bound=AuthClient, default=BetterAuthClient)

#: What belongs to one user, and would sign every browser in as that one (HAZARDS S9).
_PERSONAL = ("cookies", "initial_token")


class Visit(Generic[C]):
    """A page's hold on the provider of its browser."""

    __slots__ = ("_leave", "provider")

    def __init__(self, provider: AuthProvider[C], leave: Callable[[], None]) -> None:
        self.provider = provider
        self._leave: Callable[[], None] | None = leave

    def end(self) -> None:
        """The page is gone. May be called again."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class _Guest(Generic[C]):
    """A browser: its provider, how many pages it has open, and the timer that runs without."""

    def __init__(self, provider: AuthProvider[C], loop: asyncio.AbstractEventLoop) -> None:
        self.provider = provider
        self.loop = loop
        self.pages = 0
        self.leaving: asyncio.TimerHandle | None = None


class Browsers(Generic[C]):
    """The providers of all browsers that have a page of the app open. Used on one event loop.

    :param make: makes a provider; see :func:`maker`.
    :param grace: how many seconds (or which timedelta) a signed-in user's provider outlives the
        last page: long enough for a reload or a detour to another site.
    :raises ConfigurationError: an argument that can never work.
    """

    def __init__(
        self, make: Callable[[], AuthProvider[C]], *, grace: float | timedelta = 60.0
    ) -> None:
        self._make = make
        self._grace = seconds("grace", grace, least=0.0)
        self._guests: dict[Hashable, _Guest[C]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many providers are open or being closed."""
        return len(self._guests) + len(self._closing)

    def __contains__(self, browser: Hashable) -> bool:
        return browser in self._guests

    def visit(self, browser: Hashable) -> Visit[C]:
        """A page of this browser was opened: its provider, made and started if there is none."""
        loop = asyncio.get_running_loop()
        guest = self._guests.get(browser)
        if guest is None or guest.loop is not loop:  # one of a loop that has ended is of no use
            guest = self._guests[browser] = _Guest(self._make(), loop)
        guest.pages += 1
        if guest.leaving is not None:
            guest.leaving.cancel()
            guest.leaving = None
        return Visit(guest.provider, lambda: self._left(browser, guest))

    async def aclose(self) -> None:
        """Close all of them, and wait for it. Pages opened later get new ones."""
        for browser, guest in list(self._guests.items()):
            self._close(browser, guest)
        while self._closing:
            await asyncio.wait(set(self._closing))

    def _left(self, browser: Hashable, guest: _Guest[C]) -> None:
        guest.pages -= 1
        if guest.pages > 0 or self._guests.get(browser) is not guest or guest.loop.is_closed():
            return
        # Without a user there is nothing to keep, and crawlers never come back.
        if guest.provider.state.value.is_authenticated:
            guest.leaving = guest.loop.call_later(self._grace, self._close, browser, guest)
        else:
            self._close(browser, guest)

    def _close(self, browser: Hashable, guest: _Guest[C]) -> None:
        if guest.leaving is not None:
            guest.leaving.cancel()
        if self._guests.get(browser) is guest:
            del self._guests[browser]
        if guest.loop.is_closed():
            return
        task = guest.loop.create_task(guest.provider.aclose(), name="reactive_auth leave")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class BrowserProviders(Generic[C]):
    """What ``BrowserAuth`` is in every web toolkit: made once for the app, it gives each page the
    provider of its browser."""

    @overload
    def __init__(
        self, source: str, *, grace: float | timedelta = ..., **options: Unpack[ConnectOptions]
    ) -> None: ...
    @overload
    def __init__(
        self, source: Callable[[], AuthProvider[C]], *, grace: float | timedelta = ...
    ) -> None: ...

    def __init__(
        self,
        source: str | Callable[[], AuthProvider[Any]],
        *,
        grace: float | timedelta = 60.0,
        **options: Unpack[ConnectOptions],
    ) -> None:
        """
        :param source: the URL of a Better Auth server, or a function that makes an AuthProvider.
        :param grace: how many seconds (or which timedelta) a signed-in user's provider outlives
            the last page; the sign-in then ends here, though not on the server.
        :param options: those of :func:`reactive_auth.connect`, with a URL.
        :raises ConfigurationError: an argument that can never work, or that belongs to one user.
        """
        self._make: Callable[[], AuthProvider[C]] = maker(source, options)
        self._browsers: Browsers[C] = Browsers(self._make, grace=grace)
        self._prepare()

    def _prepare(self) -> None:
        raise NotImplementedError

    @property
    def open(self) -> int:
        """How many providers there are: one for each browser with a page open or just closed."""
        return self._browsers.open


def maker(
    source: str | Callable[[], AuthProvider[Any]], options: ConnectOptions
) -> Callable[[], AuthProvider[Any]]:
    """What makes the providers: a function as it is, or :func:`reactive_auth.connect` to a URL.

    Raises ConfigurationError for an argument that can never work, or that belongs to one user.
    """
    if callable(source):
        if options:
            raise ConfigurationError("options go to the function that makes the provider")
        return source
    if not isinstance(source, str):
        raise ConfigurationError("give the URL of a server, or a function that makes a provider")
    for name in _PERSONAL:
        if name in options:
            raise ConfigurationError(f"{name} is one user's, and every browser would be given it")
    make = partial(connect, source, **options)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        make()  # not started, hence nothing to close: arguments fail here, not in the first page
    return make
