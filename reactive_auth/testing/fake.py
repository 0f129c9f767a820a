"""A scripted client: sessions, tokens, delays, failures and hangs as a test wants them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ..clock import SYSTEM_CLOCK, Clock
from ..delivery import LoopDelivery
from ..errors import AuthError
from ..models import Session, SessionState, User
from ..signal import Signal

__all__ = ["FakeAuthClient", "FakeFetch", "make_jwt"]


def make_jwt(claims: Mapping[str, object]) -> str:
    """An unsigned JWT with these claims, for tests of code that schedules and matches."""
    return ".".join(_segment(part) for part in ({"alg": "none", "typ": "JWT"}, dict(claims))) + "."


def _segment(part: Mapping[str, object]) -> str:
    raw = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _future() -> asyncio.Future[object]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class FakeFetch:
    """One call of ``fetch_token``. An open one is ended by resolve, reject or cancellation."""

    session: Session
    number: int
    status: Literal["open", "answered", "failed", "cancelled"] = "open"
    _answer: asyncio.Future[object] = field(repr=False, default_factory=_future)

    def resolve(self, answer: object) -> None:
        """Answer with a token, None, or whatever a broken token source would return."""
        if not self._answer.done():
            self._answer.set_result(answer)

    def reject(self, error: BaseException) -> None:
        """Fail."""
        if not self._answer.done():
            self._answer.set_exception(error)


class FakeAuthClient:
    """An AuthClient under the test's control.

    Fetches are answered at once with a fresh token of ``lifetime`` seconds unless something
    else was scripted, or ``manual`` is set: then each stays open until the test ends it.

    :param clock: gives tokens their ``iat``; a :class:`VirtualClock` gives the server's time.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        lifetime: float = 900.0,
        manual: bool = False,
    ) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.manual = manual
        #: Every fetch ever begun, oldest first.
        self.fetches: list[FakeFetch] = []
        #: How often the provider asked for the session to be looked at again.
        self.refetches = 0
        self._delivery = LoopDelivery()
        self._session: Signal[SessionState] = Signal(SessionState.unknown(), self._delivery)
        self._script: deque[tuple[float, object]] = deque()

    # -- what the provider calls -------------------------------------------------------------

    @property
    def session(self) -> Signal[SessionState]:
        """What the test last said of the session."""
        return self._session

    async def fetch_token(self, session: Session) -> Any:
        """Record the call, then answer as scripted."""
        fetch = FakeFetch(session, len(self.fetches) + 1)
        self.fetches.append(fetch)
        try:
            answer = await self._play(fetch)
        except asyncio.CancelledError:
            fetch.status = "cancelled"
            raise
        except BaseException:
            fetch.status = "failed"
            raise
        fetch.status = "answered"
        return answer

    async def refetch(self) -> None:
        """Count; the session stays what the test says."""
        self.refetches += 1

    async def _play(self, fetch: FakeFetch) -> object:
        if self._script:
            delay, answer = self._script.popleft()
            if delay:
                await asyncio.sleep(delay)
            if isinstance(answer, BaseException):
                raise answer
            return self.token_for(fetch.session) if answer is _A_TOKEN else answer
        if self.manual:
            return await fetch._answer  # pyright: ignore[reportPrivateUsage]
        return self.token_for(fetch.session)

    # -- what the test calls -----------------------------------------------------------------

    def sign_in(
        self, session_id: str = "A", user_id: str = "u1", *, expires_at: datetime | None = None
    ) -> Session:
        """The session is now this one."""
        session = Session(session_id, user_id, expires_at)
        self.show(SessionState.signed_in(session, User(user_id, f"{user_id}@example.com")))
        return session

    def sign_out(self) -> None:
        """The server said there is no session."""
        self.show(SessionState.signed_out())

    def forget(self, error: AuthError | None = None) -> None:
        """Nothing is known of the session."""
        self.show(SessionState.unknown(error=error))

    def hold(self) -> None:
        """An own request that may change the session is about to be sent."""
        self.show(self._session.value.with_(refreshing=True, error=None))

    def release(self) -> None:
        """It was answered, and the session is still the same."""
        self.show(self._session.value.with_(refreshing=False, error=None))

    def show(self, state: SessionState) -> None:
        """Emit any state."""
        self._session.set(state)

    def then_token(self, *, delay: float = 0.0) -> FakeAuthClient:
        """Script: the next fetch answers with a fresh token, ``delay`` seconds later."""
        return self.then(_A_TOKEN, delay=delay)

    def then(self, answer: object, *, delay: float = 0.0) -> FakeAuthClient:
        """Script: the next fetch answers with this; an exception is raised."""
        self._script.append((delay, answer))
        return self

    def then_hang(self) -> FakeAuthClient:
        """Script: the next fetch never answers."""
        return self.then(None, delay=1e9)

    def token_for(self, session: Session, **claims: object) -> str:
        """A token as the convex plugin mints it for this session; ``claims`` override."""
        now = int(getattr(self.clock, "server", self.clock.wall)())
        return make_jwt(
            {
                "sub": session.user_id,
                "sessionId": session.id,
                "iat": now,
                "exp": now + self.lifetime,
                "n": len(self.fetches),
                **claims,
            }
        )

    @property
    def open_fetches(self) -> list[FakeFetch]:
        """The fetches under way."""
        return [fetch for fetch in self.fetches if fetch.status == "open"]


_A_TOKEN = object()


def expiry(clock: Clock, seconds: float) -> datetime:
    """The aware datetime this many seconds from now."""
    return datetime.fromtimestamp(clock.wall() + seconds, UTC)
