"""The line to a deployment: which token was pushed, and whether it was answered.

The client shows neither its connection nor an AuthError. But the deployment answers to every token
it takes with a transition, also where no query is subscribed to, and ``watch_all`` shows that: what
comes after a push says that there is a connection and that the token is good; silence says that
one of the two is not so.

A client that was sent an AuthError and a close frame, as Convex sends them, may go round in circles
with the refused token for minutes before it takes a new one (0.8.1, measured): each of the two ends
an attempt of its own, and no request is looked at in between. So a silent client is replaced, where
the line knows how to make one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import AuthClosed, AuthError
from ..models import AccessToken
from ..provider import AuthProvider

if TYPE_CHECKING:
    from convex import ConvexClient, QuerySetSubscription

__all__ = ["Line"]

#: How long after the deployment was heard a subscription is sent without asking (seconds). While
#: the connection is down, ``subscribe`` would stop the whole process.
_FRESH = 10.0

_LONGEST_PATIENCE = 32

#: How long a client is kept after its last use (seconds).
_LINGER = 1.0


class Line:
    """Pushes tokens from any thread; listens on the provider's loop."""

    def __init__(
        self,
        provider: AuthProvider[Any],
        client: ConvexClient,
        *,
        another: Callable[[], ConvexClient] | None,
        patience: float,
        heartbeat: float | None,
    ) -> None:
        self._provider = provider
        self._client: ConvexClient | None = client
        self._another = another
        self._patience = patience
        self._heartbeat = heartbeat
        # Held for calls that neither wait nor call back, so that nothing is pushed after a cut.
        self._turn = threading.Lock()
        self._pushed: AccessToken | None = None
        self._clean = False  # whether nothing is left to clear
        self.cut = False
        # On the loop only, from here on.
        self._silences = 0
        self._heard: tuple[AccessToken, float] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._listened: AccessToken | None = None
        self._changed: asyncio.Future[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        #: The client's numbers of the queries that were sent in this session: their results are
        #: of no other.
        self.own_queries: set[int] = set()
        self._own_session = ""
        #: Called when the client was replaced: what was subscribed to on the old one is void.
        self.followers: set[Callable[[], None]] = set()

    @property
    def client(self) -> ConvexClient:
        """The one in use. Raises AuthClosed after the cut if it was made here."""
        client = self._client
        if client is None:
            raise AuthClosed("the bridge was disposed of")
        return client

    def push(self, token: AccessToken) -> None:
        """Set this token, unless it is the one that is set."""
        with self._turn:
            before = self._pushed
            if self.cut or (before is not None and before.value == token.value):
                return
            self._set(token)

    def clear(self) -> None:
        """Unset the token, once."""
        with self._turn:
            if not self.cut and not self._clean:
                self._pushed, self._clean = None, True
                self.client.clear_auth()
        self._on_loop(self._hush)

    def cut_off(self) -> None:
        """Clear what was set, and do nothing any more."""
        with self._turn:
            if self.cut:
                return
            self.cut = True
            if self._pushed is not None:
                self.client.clear_auth()
            self._pushed = None
            old = self.client
            if self._another is not None:
                self._client = None
        self._on_loop(self._hush)
        self._on_loop(self._part, old)

    async def up(self, session_id: str) -> AccessToken:
        """Wait until the deployment has taken a token of this session, and has been heard of
        lately; gives the token. Runs on the loop."""
        while True:
            pushed, heard = self._pushed, self._heard
            if pushed is not None and pushed.session_id == session_id and not self.cut:
                if heard is not None and heard[0] is pushed:
                    if self._now() - heard[1] < _FRESH:
                        return pushed
                    self._heard = None
                if self._listening is None and self._listened is pushed:
                    self._ask()
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def doubt(self) -> None:
        """The connection may be gone: have the next subscription ask first."""
        self._heard = None

    def hear(self) -> None:
        """Something came: the connection stands."""
        if self._heard is not None and self._heard[0] is self._pushed:
            self._heard = (self._heard[0], self._now())

    # -- internals ---------------------------------------------------------------------------

    def _set(self, token: AccessToken) -> None:
        watch = self.client.watch_all()  # before the push, so that its answer is not missed
        self._pushed, self._clean = token, False
        self.client.set_auth(token.value)
        self._on_loop(self._listen, token, watch)

    def _ask(self) -> None:
        # The only request that does not wait and is always answered.
        with self._turn:
            if self._pushed is not None and not self.cut:
                self._set(self._pushed)

    def _listen(self, token: AccessToken, watch: QuerySetSubscription) -> None:
        self._hush()
        if self.cut or token is not self._pushed:
            return
        self._listened = token
        if token.session_id != self._own_session:  # else its queries are subscribed to already
            self._own_session = token.session_id
            self.own_queries.clear()
        home = self._provider.home
        self._listening = home.loop.create_task(
            self._answer(token, watch), name="reactive_auth convex line"
        )
        home.track(self._listening)

    async def _answer(self, token: AccessToken, watch: QuerySetSubscription) -> None:
        while not await self._comes(watch):
            self._silences += 1
            replaced = self._replace()
            # Forced, and not as rejected: in an outage the token is good, and others need it. A
            # new one is pushed as it comes, which ends this task.
            with contextlib.suppress(AuthError):
                await self._provider.fetch_access_token(force_refresh=True)
            if replaced:
                self._ask()
                return
            watch = self.client.watch_all()
        self._silences = 0
        self._listening = None
        self._heard = (token, self._now())
        self._wake()
        if self._heartbeat is not None:
            self._beat = self._provider.home.loop.call_later(self._heartbeat, self._pulse)

    def _replace(self) -> bool:
        if self._another is None:
            return False
        with self._turn:
            if self.cut:
                return False
            old, self._client = self.client, self._another()
        self.own_queries.clear()
        for restart in list(self.followers):
            restart()
        self._part(old)
        return True

    def _part(self, client: ConvexClient) -> None:
        # There is no close(): it goes with its last reference, and with it what was still to be
        # sent. Where a cancelled wait is not yet gone, its Rust side would panic.
        self._provider.home.loop.call_later(_LINGER, _let_go, client)

    async def _comes(self, watch: QuerySetSubscription) -> bool:
        patience = self._patience * min(2**self._silences, _LONGEST_PATIENCE)
        try:
            async with asyncio.timeout(patience):
                await watch.__anext__()
        except TimeoutError:
            return False
        return True

    def _pulse(self) -> None:
        heard = self._heard
        if self._heartbeat is None or heard is None or heard[0] is not self._pushed:
            return
        left = heard[1] + self._heartbeat - self._now()
        if left > 0:
            self._beat = self._provider.home.loop.call_later(left, self._pulse)
        else:
            self._ask()

    def _hush(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)

    def _now(self) -> float:
        return self._provider.clock.monotonic()

    def _on_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        home = self._provider.home
        if home.bound and not home.ended and not home.passed_on(call, *arguments):
            call(*arguments)


def _let_go(client: ConvexClient) -> None:
    """What was kept until now is no longer."""
