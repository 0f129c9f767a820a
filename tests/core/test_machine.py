"""A stateful machine over the heart: random interleavings in virtual time.

Events are enqueued and 0 to 3 loop iterations run between them, because that is where the races
are. What must hold is checked by observers, by callers at the instant they return, after every
step, and, for liveness and counting, at the end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reactive_auth import (
    AuthClosed,
    AuthProvider,
    AuthUnavailable,
    Backoff,
    NotAuthenticated,
)
from reactive_auth.testing import FakeAuthClient, FakeFetch, VirtualClock, VirtualLoop

TICKS = st.integers(0, 3)
SESSIONS = st.sampled_from("ABC")
TIMEOUT = 30.0


class RecordingClient(FakeAuthClient):
    """Numbers answers, so that no two tokens are alike, and notes the authoritative ones."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, manual=True, lifetime=300)
        self.event = 0
        self.authoritative = 0

    def answer(self, fetch: FakeFetch, answer: Any) -> None:
        self.event += 1
        if answer is None or isinstance(answer, NotAuthenticated):
            self.authoritative = self.event
        if isinstance(answer, BaseException):
            fetch.reject(answer)
        else:
            fetch.resolve(answer)


class Heart(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.loop = VirtualLoop(self.clock)
        self.problems: list[str] = []
        self.loop.set_exception_handler(lambda _, c: self.problems.append(repr(c)))
        self.client = RecordingClient(self.clock)
        self.observers: dict[str, list[Observer]] = {"session": [], "token": [], "state": []}
        self.callers: list[asyncio.Task[None]] = []
        self.closing: asyncio.Task[None] | None = None
        self.order: dict[str, list[Any]] = {"session": [], "token": [], "state": []}
        self.auth: AuthProvider[RecordingClient]
        self.heard_of_a_session_end = False
        self.now(self.start)

    def start(self) -> None:
        self.auth = AuthProvider(
            self.client,
            clock=self.clock,
            backoff=Backoff(base=0.5, cap=30, draw=lambda: 1.0),
            timeout=TIMEOUT,
            on_observer_error=self.reported,
        )

    # -- driving -----------------------------------------------------------------------------

    def post(self, event: Callable[[], object], ticks: int) -> None:
        self.loop.call_soon(event)
        for _ in range(ticks):
            self.tick()

    def now(self, event: Callable[[], object]) -> None:
        self.post(event, 1)

    def tick(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def advance(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run_forever()

    def reported(self, error: Exception) -> None:
        if not isinstance(error, Planned):
            self.problems.append(f"observer: {error!r}")

    def problem(self, text: str) -> None:
        self.problems.append(text)

    # -- events ------------------------------------------------------------------------------

    @rule(session=SESSIONS, ticks=TICKS)
    def sign_in(self, session: str, ticks: int) -> None:
        self.post(lambda: self.client.sign_in(session, f"user-{session}"), ticks)

    @rule(through=st.sampled_from(["unknown", "signed_out", "back"]), session=SESSIONS, ticks=TICKS)
    def rotate(self, through: str, session: str, ticks: int) -> None:
        def event() -> None:
            if through == "unknown":
                self.client.forget()
            elif through == "signed_out":
                self.end()
            else:
                before = self.client.session.value.session
                self.client.sign_in("X", "user-X")
                if before is not None:
                    session_id = before.id
                    self.client.sign_in(session_id, f"user-{session_id}")
                    return
            self.client.sign_in(session, f"user-{session}")

        self.post(event, ticks)

    @rule(ticks=TICKS)
    def sign_out(self, ticks: int) -> None:
        self.post(self.end, ticks)

    def end(self) -> None:
        self.heard_of_a_session_end = True
        self.client.sign_out()

    @rule(ticks=TICKS, error=st.booleans())
    def forget(self, ticks: int, error: bool) -> None:
        self.post(lambda: self.client.forget(AuthUnavailable("x") if error else None), ticks)

    @rule(ticks=TICKS)
    def hold(self, ticks: int) -> None:
        self.post(self.client.hold, ticks)

    @rule(ticks=TICKS)
    def release(self, ticks: int) -> None:
        self.post(self.client.release, ticks)

    @rule(ticks=TICKS, seconds=st.floats(1, 900))
    def session_with_an_end(self, ticks: int, seconds: float) -> None:
        def event() -> None:
            self.heard_of_a_session_end = True
            end = datetime.fromtimestamp(self.clock.wall() + seconds, UTC)
            self.client.sign_in("E", "user-E", expires_at=end)

        self.post(event, ticks)

    @rule(
        which=st.integers(0, 3),
        kind=st.sampled_from(
            ["token"] * 6 + ["none", "raise", "fail", "later", "garbage", "foreign", "same"]
        ),
        ticks=TICKS,
    )
    def answer(self, which: int, kind: str, ticks: int) -> None:
        def event() -> None:
            fetches = [f for f in self.client.fetches if f.status != "answered"]
            if not fetches:
                return
            fetch = fetches[-1 - which % len(fetches)]
            answers: dict[str, Any] = {
                "token": self.client.token_for(fetch.session, jti=self.client.event),
                "same": self.client.token_for(fetch.session, n=0),
                "none": None,
                "raise": NotAuthenticated("gone"),
                "fail": OSError("down"),
                "later": AuthUnavailable("429", retry_after=7),
                "garbage": 42,
                "foreign": self.client.token_for(fetch.session, sessionId="?"),
            }
            self.client.answer(fetch, answers[kind])

        self.post(event, ticks)

    @rule(seconds=st.sampled_from([0.01, 0.6, 3.0, 31.0, 301.0, 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        idle = not self.auth.token.observed and not self.pending()
        made = len(self.client.fetches)
        for _ in range(3):  # what was wanted for a moment has begun by now
            self.tick()
        idle = idle and not self.auth.token.observed and not self.pending()
        settled = len(self.client.fetches)
        self.advance(seconds)
        begun = len(self.client.fetches) - settled
        if idle and begun:
            self.problem(f"{begun} fetches with no subscriber and no caller")
        # Attempts are cut after 10 s and the backoff doubles from 0.5 s: these and refreshes.
        if len(self.client.fetches) - made > 8 + seconds / 10:
            self.problem(f"{begun} fetches in {seconds} seconds")

    @rule(skew=st.sampled_from([-7200.0, -60.0, 0.0, 60.0, 7200.0]))
    def wall_clock_jumps(self, skew: float) -> None:
        self.clock.skew = skew

    @rule(seconds=st.sampled_from([10.0, 400.0]))
    def suspend(self, seconds: float) -> None:
        self.clock.suspend(seconds)

    # -- observers and callers ---------------------------------------------------------------

    @rule(
        stream=st.sampled_from(["session", "token", "state"]),
        reaction=st.sampled_from([""] * 4 + ["raise", "dispose", "call", "out", "in", "sub"]),
        after=st.integers(0, 3),
        ticks=TICKS,
    )
    def subscribe(self, stream: str, reaction: str, after: int, ticks: int) -> None:
        def event() -> None:
            self.observers[stream].append(Observer(self, stream, reaction, after))

        self.post(event, ticks)

    @rule(stream=st.sampled_from(["session", "token", "state"]), ticks=TICKS)
    def dispose(self, stream: str, ticks: int) -> None:
        def event() -> None:
            if self.observers[stream]:
                self.observers[stream].pop(0).dispose()

        self.post(event, ticks)

    @rule(kind=st.sampled_from(["plain", "plain", "forced", "rejected", "foreign"]), ticks=TICKS)
    def call(self, kind: str, ticks: int) -> None:
        self.post(lambda: self.begin_call(kind), ticks)

    def begin_call(self, kind: str) -> None:
        if len(self.pending()) < 50:
            self.callers.append(self.loop.create_task(self.caller(kind)))

    async def caller(self, kind: str) -> None:
        token = self.auth.token.value
        rejected = None
        if kind == "rejected" and token is not None:
            rejected = token.value
        elif kind == "foreign":
            rejected = "a token nobody knows"
        began = self.clock.now
        try:
            value = await self.auth.fetch_access_token(
                force_refresh=kind == "forced", rejected=rejected
            )
        except AuthClosed:
            if self.closing is None:
                self.problem("AuthClosed before it was closed")
            return
        except AuthUnavailable:
            if self.clock.now - began > TIMEOUT + 1:
                self.problem("a caller waited longer than its bound")
            return
        # Nothing can have happened since: the checks run at the instant of the return.
        state = self.auth.session.value
        if value is None:
            if state.status not in ("signed_out", "expired"):
                self.problem(f"None while {state.status}")
            return
        current = self.auth.token.value
        if current is None or current.value != value or state.session is None:
            self.problem("a token was returned that is not the current one")
        elif state.refreshing:
            self.problem("a token was returned during a hold")
        elif current.expires_at.timestamp() - self.clock.wall() < 29:
            self.problem("a token was returned with less than the margin left")
        # A fetch under way is joined, so the measure is what was cached when the call was made.
        if current is token and (kind == "forced" or rejected == value):
            self.problem(f"a {kind} call got what was cached before it")

    @rule(which=st.integers(0, 5), ticks=TICKS)
    def cancel_a_caller(self, which: int, ticks: int) -> None:
        def event() -> None:
            pending = self.pending()
            if pending:
                pending[which % len(pending)].cancel()

        self.post(event, ticks)

    def pending(self) -> list[asyncio.Task[None]]:
        return [task for task in self.callers if not task.done()]

    @rule(ticks=TICKS, really=st.integers(0, 4))
    def close(self, ticks: int, really: int) -> None:
        def event() -> None:
            if self.closing is None:
                self.closing = self.loop.create_task(self.auth.aclose())

        if really == 0:
            self.post(event, ticks)

    # -- what must hold ----------------------------------------------------------------------

    @invariant()
    def nothing_was_noticed(self) -> None:
        assert not self.problems, self.problems

    @invariant()
    def values_are_of_one_piece(self) -> None:
        self.look()
        assert not self.problems, self.problems

    def look(self) -> None:
        session, token = self.auth.session.value, self.auth.token.value
        state, said = self.auth.state.value, self.client.session.value
        current = session.session
        if token is not None and (current is None or token.session_id != current.id):
            self.problem("a token of another session")
        if state.has_token != (token is not None) or state.session != session.session:
            self.problem("session, token and state disagree")
        if token is not None and said.status == "signed_out":
            self.problem("a token after the sign-out")
        if self.closing is None and current is not None and said.session not in (None, current):
            self.problem("not the session the client told")
        ended = self.heard_of_a_session_end or self.client.authoritative
        if session.status in ("signed_out", "expired") and not ended:
            self.problem("signed out, and nobody said so")

    @invariant()
    def at_most_one_fetch_of_a_session_is_open(self) -> None:
        current = self.auth.session.value.session
        ours = [
            fetch
            for fetch in self.client.open_fetches
            if current is not None and fetch.session.id == current.id
        ]
        # One that was cancelled this very instant needs an iteration to notice.
        if len(ours) > 1:
            self.tick()
            self.tick()
            ours = [fetch for fetch in ours if fetch.status == "open"]
        assert len(ours) <= 1

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            self.loop.close()
        assert not self.problems, self.problems

    def come_to_rest(self) -> None:
        self.tick()
        self.client.manual = False
        for observers in self.observers.values():
            for observer in observers:
                observer.reaction = ""
        self.now(lambda: self.client.sign_in("Z", "user-Z"))
        self.advance(TIMEOUT + 10)
        self.tick()
        if self.pending():
            self.problem("a caller waits for ever")
        if self.closing is None:
            if self.auth.token.observed and self.auth.token.value is None:
                self.problem("no token for a subscriber")
            self.now(lambda: self.begin_call("forced"))
            self.advance(1)
            if self.pending() or self.auth.token.value is None:
                self.problem("a forced call with a good source got nothing")
            if self.auth.state.value.error is not None:
                self.problem("an error that stays")
        for observers in self.observers.values():
            for observer in observers:
                observer.check_at_rest()
        self.now(lambda: setattr(self, "closing", self.loop.create_task(self.auth.aclose())))
        self.advance(10)
        made = len(self.client.fetches)
        for observers in self.observers.values():
            for observer in observers:
                observer.check_completed()
        self.advance(1e6)
        if len(self.client.fetches) != made or self.client.open_fetches:
            self.problem("a fetch after the close")
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        timers = [h for h in self.loop._scheduled if not h.cancelled()]  # type: ignore[attr-defined]
        if tasks or timers:
            self.problem(f"left behind: {tasks} {timers}")


class Planned(Exception):
    """What a test's observer raises on purpose."""


class Observer:
    """Checks order, distinctness and coherence of what it is told, and may react to it."""

    def __init__(self, machine: Heart, stream: str, reaction: str, after: int = 0) -> None:
        self.machine = machine
        self.stream = stream
        self.reaction = reaction
        self.after = after
        self.values: list[Any] = []
        self.ended = False
        self.completed = False
        self.subscription: Any = None
        self.signal = getattr(machine.auth, stream)
        self.subscription = self.signal.subscribe(self.next, self.error, self.done)
        if self.ended:
            self.subscription.dispose()

    def next(self, value: Any) -> None:
        machine = self.machine
        if self.ended or self.completed:
            machine.problem("told after dispose or completion")
        if self.values and self.values[-1] == value:
            machine.problem(f"{self.stream} told twice")
        self.values.append(value)
        if self.stream == "token" and value is not None and value is not self.signal.value:
            machine.problem("an old token was emitted")
        machine.look()
        if len(self.values) <= self.after:
            return
        reaction, self.reaction = self.reaction, ""
        if reaction == "raise":
            self.ended = True
            raise Planned
        if reaction == "dispose":
            self.dispose()
        elif reaction == "call":
            machine.begin_call("forced")
        elif reaction == "out":
            machine.end()
        elif reaction == "in":
            machine.client.sign_in("R", "user-R")
        elif reaction == "sub":
            machine.observers[self.stream].append(Observer(machine, self.stream, ""))

    def error(self, error: Exception) -> None:
        self.machine.problem(f"on_error: {error!r}")

    def done(self) -> None:
        if self.completed:
            self.machine.problem("completed twice")
        self.completed = True

    def dispose(self) -> None:
        self.ended = True
        if self.subscription is not None:
            self.subscription.dispose()

    def check_at_rest(self) -> None:
        if not self.ended and (not self.values or self.values[-1] != self.signal.value):
            self.machine.problem(f"{self.stream} ended on another value than the current one")
        others = [o for o in self.machine.observers[self.stream] if not o.ended and o is not self]
        for other in others:
            if not self.ended and self.stream != "token" and not _suffix(self.values, other.values):
                self.machine.problem(f"{self.stream} in two orders")

    def check_completed(self) -> None:
        if not self.ended and not self.completed:
            self.machine.problem("not completed by the close")


def _suffix(left: list[Any], right: list[Any]) -> bool:
    """Whether one list ends with the other: both saw the same since the later subscribed."""
    length = min(len(left), len(right))
    return left[-length:] == right[-length:]


Heart.TestCase.settings = settings(
    max_examples=int(os.environ.get("MACHINE_EXAMPLES", "250")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestHeart = Heart.TestCase
