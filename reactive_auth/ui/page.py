"""What a page of a web app shows, whichever toolkit draws it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

from reactivex.disposable import CompositeDisposable, Disposable

from ..errors import AuthError
from ..models import AccessToken, AuthState
from ..protocol import AuthClient
from ..provider import AuthProvider
from .seam import Post, deliver
from .words import headline, remaining, trouble

__all__ = ["BufferedPage", "PageModel", "fields", "initial"]

C = TypeVar("C", bound=AuthClient)


def fields(state: AuthState) -> dict[str, object]:
    """Everything a page shows of a state, under the names that a page's attributes have."""
    user, session = state.user, state.session
    return {
        "state": state,
        "status": state.status,
        "is_loading": state.is_loading,
        "is_authenticated": state.is_authenticated,
        "is_refreshing": state.is_refreshing,
        "has_token": state.has_token,
        "user_name": (user and user.name) or "",
        "user_email": (user and user.email) or "",
        "session_id": session.id[:8] if session else "",
        "headline": headline(state),
        "trouble": trouble(state),
    }


def initial(state: AuthState) -> dict[str, object]:
    """All attributes of a page that has just been opened."""
    return {**fields(state), "token_remaining": remaining(None), "busy": False, "failure": ""}


class PageModel(Generic[C]):
    """Follows a provider and sets the attributes of the toolkit's own kind of object.

    A subclass declares them, sets those of :func:`initial`, and says in ``_set`` how they are
    changed.
    """

    #: The provider whose streams this follows.
    provider: AuthProvider[C]

    def _follow(self, provider: AuthProvider[C], post: Post) -> None:
        self.provider = provider
        self._post = post
        self._token: AccessToken | None = None
        self._second: asyncio.TimerHandle | None = None
        self._calls = 0
        self._life = CompositeDisposable(Disposable(self._stop))
        self._life.add(deliver(provider.state, self._show_state, post))
        self._life.add(deliver(provider.token, self._show_token, post))

    @property
    def client(self) -> C:
        """The provider's client: ``await page.client.sign_out()``."""
        return self.provider.client

    async def attempt(self, call: Awaitable[object]) -> bool:
        """Await a call of the client; whether it succeeded.

        ``busy`` is set meanwhile; ``failure`` then says for the user what went wrong. Only what
        is no AuthError is raised.
        """
        self._calls += 1
        self._update({"busy": True, "failure": ""})
        failure = ""
        try:
            await call
        except AuthError as error:
            failure = str(error.args[0]) if error.args else type(error).__name__
        finally:
            self._calls -= 1
            self._update({"busy": self._calls > 0, "failure": failure})
        return not failure

    def close(self) -> None:
        """Show nothing new any more. Done by the toolkit when the page is gone; may be called
        again."""
        self._life.dispose()

    # -- what is shown -----------------------------------------------------------------------

    def _show_state(self, state: AuthState) -> None:
        self._update(fields(state))

    def _show_token(self, token: AccessToken | None) -> None:
        self._token = token
        self._count_down()

    def _count_down(self) -> None:
        if self._second is not None:
            self._second.cancel()
            self._second = None
        now = datetime.fromtimestamp(self.provider.clock.wall(), UTC)
        left = 0.0 if self._token is None else (self._token.expires_at - now).total_seconds()
        if left > 0:  # until the text changes next
            loop = asyncio.get_running_loop()
            self._second = loop.call_later(left % 1 + 0.001, self._post, self._count_down)
        self._update({"token_remaining": remaining(self._token, now=now)})

    def _stop(self) -> None:
        self._token = None
        if self._second is not None:
            self._second.cancel()
            self._second = None

    def _update(self, values: Mapping[str, object]) -> None:
        changed = {name: value for name, value in values.items() if getattr(self, name) != value}
        if changed and not self._life.is_disposed:
            self._set(changed)

    def _set(self, values: Mapping[str, object]) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.provider.state.value.status}>"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is live and cannot be pickled or copied")


class BufferedPage(PageModel[C]):
    """A page of a toolkit with reactive objects that may be changed in a certain place only: what
    changed is collected, and given to ``_assign`` there, at once.

    A subclass gives the attributes of :func:`initial` their objects, and ``_assign``.
    """

    def _follow_from(self, provider: AuthProvider[C], there: Post) -> None:
        """On the provider's event loop, where this lives; ``there`` is the way to that place."""
        self._now = initial(provider.state.value)
        self._waiting: dict[str, object] = {}
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._there = there
        self._follow(provider, asyncio.get_running_loop().call_soon_threadsafe)

    async def start_here(
        self, call: Awaitable[object], then: Callable[[], object] | None = None
    ) -> bool:
        """:meth:`attempt`; ``then`` is called in that place after a success."""
        succeeded = await self.attempt(call)
        if succeeded and then is not None:
            self._there(partial(self._afterwards, then))
        return succeeded

    def _afterwards(self, then: Callable[[], object]) -> None:
        if not self._life.is_disposed:
            then()

    def _update(self, values: Mapping[str, object]) -> None:
        changed = {name: value for name, value in values.items() if self._now[name] != value}
        if not changed or self._life.is_disposed:
            return
        self._now.update(changed)
        with self._lock:  # that place may be another thread
            due = not self._waiting
            self._waiting.update(changed)
        if due:
            self._there(self._flush)

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not self._life.is_disposed:
            for name, value in waiting.items():
                self._assign(name, value)

    def _assign(self, name: str, value: object) -> None:
        raise NotImplementedError
