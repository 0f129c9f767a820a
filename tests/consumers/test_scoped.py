"""A user's own stream lasts as long as that user, and no value of it longer."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.subject import BehaviorSubject, Subject

from reactive_auth import ConfigurationError, Session, SessionState, User, while_signed_in
from tests.core.support import Seen, Stage, play, staged


def signed_in(session_id: str, user_id: str | None = None) -> SessionState:
    owner = user_id or session_id[0]
    return SessionState.signed_in(Session(session_id, owner), User(owner))


class Sources:
    """A stream of each session, under the test's control; late emissions included."""

    def __init__(self, at_once: bool = False) -> None:
        self.observers: dict[str, list[abc.ObserverBase[str]]] = {}
        self.live: dict[str, int] = {}
        self.at_once = at_once

    def of(self, session: Session) -> Observable[str]:
        name = session.id

        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            self.observers.setdefault(name, []).append(observer)
            self.live[name] = self.live.get(name, 0) + 1
            if self.at_once:
                observer.on_next(f"{name}:first")

            def dispose() -> None:
                self.live[name] -= 1

            return Disposable(dispose)

        return Observable(subscribe)

    def emit(self, name: str, value: object) -> None:
        for observer in self.observers.get(name, []):
            observer.on_next(f"{name}:{value}")


EVENTS = st.one_of(
    st.tuples(st.just("in"), st.sampled_from(["a1", "a2", "b1", "b2"])),
    st.tuples(st.sampled_from(["out", "unknown", "expired", "again"]), st.just("")),
    st.tuples(st.just("emit"), st.sampled_from(["a1", "a2", "b1", "b2"])),
)


@given(events=st.lists(EVENTS, max_size=25), at_once=st.booleans())
def test_r1_s9_no_value_of_one_user_shows_under_another(
    events: list[tuple[str, str]], at_once: bool
) -> None:
    sources, states = Sources(at_once), BehaviorSubject(SessionState.unknown())
    shown = Seen(states.pipe(while_signed_in(sources.of)))
    current = ""
    for number, (event, name) in enumerate(events):
        if event == "emit":
            sources.emit(name, number)  # of a session that is gone, too: a late answer
        else:
            state = {
                "in": signed_in(name) if name else None,
                "out": SessionState.signed_out(),
                "expired": SessionState.expired(),
                "unknown": SessionState.unknown(),
                "again": states.value,
            }[event]
            assert state is not None
            if event == "in":
                current = name
            elif event in ("out", "expired"):
                current = ""
            states.on_next(state)
        last = shown.values[-1]
        assert last is None or last[0] == current[0], "of the user who is signed in, or nothing"
        assert sum(sources.live.values()) == (1 if current else 0)
        if event == "emit" and name == current:
            assert last == f"{name}:{number}"
    assert not [pair for pair in itertools.pairwise(shown.values) if pair == (None, None)]


def test_r6_a_rotation_of_the_same_user_leaves_no_gap() -> None:
    sources, states = Sources(), BehaviorSubject(signed_in("a1"))
    shown = Seen(states.pipe(while_signed_in(sources.of)))
    sources.emit("a1", 1)
    states.on_next(signed_in("a2"))
    sources.emit("a1", "late")
    sources.emit("a2", 1)
    assert shown.values == [None, "a1:1", "a2:1"]
    assert sources.live == {"a1": 0, "a2": 1}


def test_r5_unknown_in_the_middle_switches_nothing() -> None:
    sources, states = Sources(at_once=True), BehaviorSubject(signed_in("a1"))
    shown = Seen(states.pipe(while_signed_in(sources.of)))
    states.on_next(SessionState.unknown())
    states.on_next(signed_in("a1"))
    assert shown.values == ["a1:first"]
    assert len(sources.observers["a1"]) == 1


def test_sessions_without_a_user_are_each_anothers() -> None:
    def state(name: str) -> SessionState:
        return SessionState.signed_in(Session(name))

    sources, states = Sources(), BehaviorSubject(state("x"))
    shown = Seen(states.pipe(while_signed_in(sources.of, otherwise="nobody")))
    sources.emit("x", 1)
    states.on_next(state("y"))
    assert shown.values == ["nobody", "x:1", "nobody"]


def test_r10_what_another_thread_is_emitting_at_the_switch_comes_before_it_or_never() -> None:
    """A's delivery is held on one thread while another rotates to B."""
    states, a = BehaviorSubject(signed_in("a1")), Subject[str]()
    b = BehaviorSubject("b:1")
    streams = {"a1": a, "b1": b}
    inside, go_on = threading.Event(), threading.Event()
    values: list[str | None] = []

    def observe(value: str | None) -> None:
        if value == "a:held":
            inside.set()
            assert go_on.wait(10)
        values.append(value)

    states.pipe(while_signed_in(lambda session: streams[session.id])).subscribe(observe)
    emitting = threading.Thread(target=lambda: a.on_next("a:held"))
    emitting.start()
    assert inside.wait(10)
    states.on_next(signed_in("b1"))  # returns: no lock is held across the callback
    a.on_next("a:late")
    go_on.set()
    emitting.join(10)
    assert values == [None, "a:held", None, "b:1"]


def test_an_error_of_the_users_stream_ends_it_and_one_of_an_old_stream_does_not() -> None:
    a, b = Subject[int](), Subject[int]()
    states = BehaviorSubject(signed_in("a1"))
    shown = Seen(states.pipe(while_signed_in(lambda s: {"a1": a, "b1": b}[s.id])))
    states.on_next(signed_in("b1"))
    a.on_error(OSError("old"))
    assert shown.errors == []
    b.on_error(OSError("new"))
    assert [str(error) for error in shown.errors] == ["new"]
    states.on_next(SessionState.signed_out())
    assert shown.values == [None]


@pytest.mark.parametrize("project", [lambda s: 1 / 0, lambda s: "no stream"])
def test_a_function_that_fails_is_an_error_of_the_stream(project: Any) -> None:
    shown = Seen(BehaviorSubject(signed_in("a1")).pipe(while_signed_in(project)))
    assert len(shown.errors) == 1


def test_what_is_no_function_is_refused_at_the_call() -> None:
    with pytest.raises(ConfigurationError):
        while_signed_in(reactivex.never())  # type: ignore[arg-type]


@staged()
async def test_l3_it_ends_with_its_provider_and_disposing_leaves_nothing(stage: Stage) -> None:
    sources = Sources()
    stage.client.sign_in("a1")
    scoped = stage.auth.session.pipe(while_signed_in(sources.of))
    for _ in range(100):
        scoped.subscribe(lambda value: None).dispose()
    assert sources.live == {"a1": 0}
    assert not stage.auth.session.observed
    shown = Seen(scoped)
    await stage.auth.aclose()
    assert (shown.completed, sources.live) == (1, {"a1": 0})


def test_k6_an_observer_may_sign_out_from_within() -> None:
    async def scenario(stage: Stage) -> None:
        sources = Sources(at_once=True)
        stage.client.sign_in("a1")

        def once(value: str | None) -> None:
            if value is not None:
                stage.client.sign_out()

        shown = Seen(stage.auth.session.pipe(while_signed_in(sources.of)), once)
        await stage.rest()
        assert shown.values == ["a1:first", None]
        assert sources.live == {"a1": 0}

    play(scenario)


def test_l4_an_observer_that_raises_is_given_nothing_more() -> None:
    sources, states = Sources(), BehaviorSubject(signed_in("a1"))
    given: list[object] = []

    def observe(value: object) -> None:
        given.append(value)
        if value is not None:
            raise ValueError("an observer's own mistake")

    states.pipe(while_signed_in(sources.of)).subscribe(observe)
    with pytest.raises(ValueError, match="own mistake"):
        sources.emit("a1", 1)
    sources.emit("a1", 2)
    states.on_next(signed_in("b1"))
    assert given == [None, "a1:1"]
    assert sources.live == {"a1": 0}
