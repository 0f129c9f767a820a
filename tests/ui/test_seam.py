"""The seam, on a toolkit of twenty lines whose thread and loop the test turns by hand."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex.subject import Subject

from reactive_auth import ConfigurationError
from reactive_auth.delivery import Delivery
from reactive_auth.signal import Signal
from reactive_auth.ui import deliver


class Toolkit:
    """A loop that runs one posted callable at a time, and a handler for what they raise."""

    def __init__(self) -> None:
        self.posted: deque[Callable[[], None]] = deque()
        self.handled: list[Exception] = []
        self.turns = 0
        self.gone = False

    def post(self, callback: Callable[[], None]) -> None:
        if self.gone:
            raise RuntimeError("the toolkit is gone")
        self.posted.append(callback)

    def turn(self) -> bool:
        if not self.posted:
            return False
        self.turns += 1
        try:
            self.posted.popleft()()
        except Exception as error:
            self.handled.append(error)
        return True

    def run(self) -> None:
        while self.turn():
            pass


def signal(value: int = 0) -> Signal[int]:
    return Signal(value, Delivery())


STEPS = st.lists(st.one_of(st.integers(0, 3), st.just("turn"), st.just("dispose")), max_size=40)


@given(steps=STEPS, coalesce=st.booleans())
def test_values_come_in_order_and_the_last_shown_is_the_current_one(
    steps: list[int | str], coalesce: bool
) -> None:
    toolkit, source, shown = Toolkit(), signal(), list[int]()
    emitted = [0]
    subscription = deliver(source, shown.append, toolkit.post, coalesce=coalesce)
    assert shown == [0], "at once"
    disposed_at: int | None = None
    for step in steps:
        if step == "turn":
            toolkit.turn()
        elif step == "dispose":
            subscription.dispose()
            disposed_at = len(shown) if disposed_at is None else disposed_at
        else:
            assert isinstance(step, int)
            if step != emitted[-1]:
                emitted.append(step)
            before = len(shown)
            source.set(step)
            assert len(shown) == before, "never on the emitting side"
            assert len(toolkit.posted) <= 1
    toolkit.run()
    if disposed_at is not None:
        assert len(shown) == disposed_at, "L11: nothing after dispose"
        assert not source.observed
    elif coalesce:
        assert shown[-1] == source.value
        rest = iter(emitted)
        assert all(value in rest for value in shown), "a subsequence, in order"
        assert all(a != b for a, b in itertools.pairwise(shown))
    else:
        assert shown == emitted


def test_a_storm_is_one_turn_with_coalescing_and_some_without() -> None:
    for coalesce in (True, False):
        toolkit, source, shown = Toolkit(), signal(), list[int]()
        deliver(source, shown.append, toolkit.post, coalesce=coalesce)
        for number in range(1, 10_001):
            source.set(number)
        toolkit.run()
        assert shown[-1] == 10_000
        assert len(shown) == (2 if coalesce else 10_001)
        assert toolkit.turns < 100


@given(failing=st.sets(st.integers(1, 20)), coalesce=st.booleans())
def test_what_a_view_raises_goes_to_the_toolkit_and_later_values_still_come(
    failing: set[int], coalesce: bool
) -> None:
    toolkit, source, shown = Toolkit(), signal(), list[int]()

    def view(value: int) -> None:
        if value in failing:
            raise ValueError(str(value))
        shown.append(value)

    deliver(source, view, toolkit.post, coalesce=coalesce)
    for number in range(1, 21):
        source.set(number)
        if coalesce:
            toolkit.run()
    toolkit.run()
    assert [str(error) for error in toolkit.handled] == [str(n) for n in sorted(failing)]
    assert shown == [n for n in range(21) if n not in failing]


def test_k6_a_view_may_change_what_it_shows_dispose_and_deliver_again() -> None:
    toolkit, source, shown = Toolkit(), signal(), list[int]()
    later: list[Any] = []

    def view(value: int) -> None:
        shown.append(value)
        if value < 5:
            source.set(value + 1)
        else:
            later[0].dispose()
            deliver(source, shown.append, toolkit.post)
            source.set(9)

    later.append(deliver(source, view, toolkit.post))
    toolkit.run()
    assert shown == [0, 1, 2, 3, 4, 5, 5, 9]


def test_disposed_by_its_first_value_nothing_stays_subscribed() -> None:
    toolkit, source = Toolkit(), signal()
    holder: list[Any] = []
    raised = deliver(reactivex.never(), print, toolkit.post)
    raised.dispose()

    def view(_: int) -> None:
        for subscription in holder:
            subscription.dispose()

    holder.append(deliver(source, view, toolkit.post))
    source.set(1)
    toolkit.run()
    assert not source.observed


def test_u8_when_the_toolkit_is_gone_it_ends_by_itself() -> None:
    toolkit, shown = Toolkit(), list[int]()
    reported: list[Exception] = []
    source = Signal(0, Delivery(reported.append))
    deliver(source, shown.append, toolkit.post)
    toolkit.run()
    toolkit.gone = True
    source.set(1)
    source.set(2)
    assert shown == [0]
    assert len(reported) == 1
    assert not source.observed


@pytest.mark.parametrize("coalesce", [True, False])
def test_emissions_from_many_threads_are_shown_on_one_and_lose_nothing(coalesce: bool) -> None:
    toolkit, source, shown = Toolkit(), signal(), list[int]()
    threads: set[int] = set()

    def view(value: int) -> None:
        threads.add(threading.get_ident())
        shown.append(value)

    deliver(source, view, toolkit.post, coalesce=coalesce)

    def emit(start: int) -> None:
        for number in range(500):
            source.set(start + number)

    emitting = [threading.Thread(target=emit, args=(n * 1000 + 1,)) for n in range(8)]
    for thread in emitting:
        thread.start()
    while any(thread.is_alive() for thread in emitting) or toolkit.posted:
        toolkit.run()
    toolkit.run()
    assert threads == {threading.get_ident()}
    assert shown[-1] == source.value
    assert coalesce or len(shown) == 4001


def test_an_error_and_the_end_of_a_stream_reach_the_toolkit() -> None:
    toolkit, shown, done = Toolkit(), list[int](), list[str]()
    failing, ending = Subject[int](), Subject[int]()
    deliver(failing, shown.append, toolkit.post)
    deliver(ending, shown.append, toolkit.post, on_completed=lambda: done.append("done"))
    failing.on_next(1)
    failing.on_error(OSError("lost"))
    ending.on_next(2)
    ending.on_completed()
    assert (shown, done) == ([], [])
    toolkit.run()
    assert (shown, done) == ([1, 2], ["done"])
    assert [str(error) for error in toolkit.handled] == ["lost"]


def test_without_coalescing_equal_values_of_a_stream_are_each_shown() -> None:
    toolkit, shown, source = Toolkit(), list[int](), Subject[int]()
    deliver(source, shown.append, toolkit.post, coalesce=False)
    for _ in range(3):
        source.on_next(7)
    toolkit.run()
    assert shown == [7, 7, 7]


@pytest.mark.parametrize("arguments", [(None, print, print), ("x", 1, print), ("x", print, None)])
def test_what_can_never_work_is_refused_at_the_call(arguments: tuple[Any, ...]) -> None:
    stream = signal() if arguments[0] == "x" else arguments[0]
    with pytest.raises(ConfigurationError):
        deliver(stream, *arguments[1:])


def test_a_view_that_runs_the_toolkits_loop_is_given_what_comes_meanwhile() -> None:
    toolkit, source, seen = Toolkit(), signal(), list[int]()
    inside: list[list[int]] = []

    def view(value: int) -> None:
        seen.append(value)
        if value == 1:  # a modal dialog
            source.set(2)
            toolkit.run()
            inside.append(list(seen))

    deliver(source, view, toolkit.post)
    source.set(1)
    toolkit.run()
    assert inside == [[0, 1, 2]]
