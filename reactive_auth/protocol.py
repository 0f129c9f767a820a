"""What the provider needs of a client. Bring your own by having these two members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from reactivex import Observable, abc

from .models import Session, SessionState

__all__ = ["AuthClient", "Rechecks", "Settles"]


class AuthClient(Protocol):
    """A source of sessions and tokens.

    ``session`` emits what is known of the session, the newest state to each new subscriber; it
    may emit on any thread. A state with ``refreshing`` set holds tokens back until the next one:
    emit it before a request that may change the session.

    ``fetch_token`` mints a token for the session. To return None or to raise NotAuthenticated is
    authoritative: the session is over. Any other exception is transient. It may be cancelled.
    """

    @property
    def session(self) -> Observable[SessionState]: ...

    async def fetch_token(self, session: Session) -> str | None: ...


@runtime_checkable
class Rechecks(Protocol):
    """A client that can be asked to look at the session again, past every cache."""

    async def refetch(self) -> object:
        """Ask the server; the outcome is emitted by ``session``. May raise AuthError."""
        ...


@runtime_checkable
class Settles(Protocol):
    """A client whose own session-changing calls wait until the token has followed."""

    def on_settle(self, settle: Callable[[], Awaitable[None]]) -> abc.DisposableBase:
        """Have ``settle`` awaited after the session moved and before such a call returns."""
        ...
