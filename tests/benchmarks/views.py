"""What a change costs a toolkit's thread, and for how long a storm of changes stalls it.

Qt is the binding that qtpy finds (``QT_API``); Tk needs a display, or Xvfb to make one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import threading
import tkinter
from collections.abc import Callable, Coroutine
from time import perf_counter, thread_time
from typing import Any, TypeVar

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import qtpy
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QTimer, Signal, Slot
from qtpy.QtWidgets import QApplication
from reactivex.subject import Subject

from reactive_auth import AuthProvider
from reactive_auth.testing import FakeAuthClient
from reactive_auth.ui.qt import deliver_qt
from reactive_auth.ui.tk import deliver_tk
from tests.ui.display import display

from .table import Table, alone

STORM = 10_000
STORMS = 9
#: Changes of a round, delivered one by one or all together.
CHANGES = 3_000
ROUNDS = 9

T = TypeVar("T")
Emit = Callable[[int], object]


def run(table: Table) -> None:
    app = QCoreApplication.instance() or QApplication([])
    _cost_in_qt(table, app)
    _stall_of_qt(table)
    with display():
        _cost_in_tk(table)


class _Seen:
    """A view that counts, and says when it is given a value."""

    def __init__(self) -> None:
        self.count = 0
        self.then: Callable[[], object] | None = None

    def __call__(self, value: int) -> None:
        self.count += 1
        if self.then is not None:
            self.then()


# -- Qt --------------------------------------------------------------------------------------


class _Bare(QObject):
    """What everybody would write: a signal, a slot, a queued connection."""

    changed = Signal(object)

    def __init__(self, view: Emit) -> None:
        super().__init__()
        self._view = view
        self.changed.connect(self._show, Qt.ConnectionType.QueuedConnection)

    @Slot(object)
    def _show(self, value: int) -> None:
        self._view(value)


def _cost_in_qt(table: Table, app: QCoreApplication) -> None:
    seen = _Seen()
    bare = _Bare(seen)
    newest: Subject[int] = Subject()
    every: Subject[int] = Subject()
    views = [deliver_qt(newest, seen), deliver_qt(every, seen, coalesce=False)]

    def one_by_one(emit: Emit) -> float:
        """Another thread emits the next change when the view has been given the last."""
        loop, given = QEventLoop(), threading.Semaphore(0)

        def emit_all() -> None:
            for number in range(CHANGES):
                emit(number)
                given.acquire()

        def then() -> None:
            if seen.count == CHANGES:
                loop.quit()
            given.release()

        seen.count, seen.then = 0, then
        thread = threading.Thread(target=emit_all)
        thread.start()
        began = thread_time()
        loop.exec()
        spent = thread_time() - began
        thread.join()
        return spent

    def together(emit: Emit) -> float:
        seen.count, seen.then = 0, None
        thread = threading.Thread(target=lambda: [emit(number) for number in range(CHANGES)])
        thread.start()
        thread.join()
        began = thread_time()
        while seen.count < CHANGES:
            app.processEvents()
        return thread_time() - began

    name = f"{qtpy.API_NAME}: GUI thread's time a change / bare queued signal"
    _compare(table, f"{name}, one by one", one_by_one, newest.on_next, bare.changed.emit)
    _compare(table, f"{name}, {CHANGES:,} queued", together, every.on_next, bare.changed.emit)
    for view in views:
        view.dispose()


def _compare(table: Table, name: str, measure: Callable[[T], float], ours: T, bare: T) -> None:
    rounds: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):
        if number % 2:
            spent = measure(ours), measure(bare)
        else:
            spent = tuple(reversed((measure(bare), measure(ours))))
        if number:  # the first is a warm-up
            rounds.append((spent[0], spent[1]))
    table.add(name, statistics.median(a / b for a, b in rounds), "at most 2")
    each = (statistics.median(row[index] for row in rounds) / CHANGES * 1e6 for index in (0, 1))
    table.add("  µs", ", ".join(f"{value:.2f}" for value in each))


def _stall_of_qt(table: Table) -> None:
    delivered = [_stall(deliver=True) for _ in range(STORMS)]
    control = [_stall(deliver=False) for _ in range(STORMS)]
    for name, stalls, goal in (
        (f"{qtpy.API_NAME}: longest stall in a storm of {STORM:,}", delivered, "under 16"),
        ("  the same storm, nothing delivered", control, ""),
    ):
        figures = f"{statistics.median(stalls):.1f}, {max(stalls):.1f}"
        table.add(f"{name}, ms: median, worst of {STORMS}", figures, goal)


def _stall(*, deliver: bool) -> float:
    """The longest time (ms) between two turns of a 1 ms timer, while the sessions of a provider
    on another thread's loop change as fast as they can."""
    loop, gaps, shown = QEventLoop(), [0.0], [""]
    elsewhere = asyncio.new_event_loop()
    thread = threading.Thread(target=elsewhere.run_forever)
    thread.start()

    def call(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, elsewhere)

    async def start() -> AuthProvider[FakeAuthClient]:
        return await AuthProvider(FakeAuthClient()).__aenter__()

    async def storm() -> None:
        for number in range(STORM):
            auth.client.sign_in("A", f"u{number}")

    auth = call(start()).result()
    last = f"u{STORM - 1}"
    view = deliver_qt(auth.state, lambda state: shown.append(state.user.id if state.user else ""))
    if not deliver:
        view.dispose()
    before = 0.0

    def tick() -> None:
        nonlocal before
        now = perf_counter()
        gaps.append(now - before)
        before = now
        user = auth.state.value.user
        if shown[-1] == last if deliver else user is not None and user.id == last:
            loop.quit()

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    gc.collect()
    gc.freeze()  # a collection of all that other benchmarks have loaded is no delivery's cost
    before = perf_counter()
    timer.start(1)
    storming = call(storm())
    loop.exec()
    timer.stop()
    gc.unfreeze()
    storming.result()
    view.dispose()
    call(auth.aclose()).result()
    elsewhere.call_soon_threadsafe(elsewhere.stop)
    thread.join()
    elsewhere.close()
    return max(gaps) * 1e3


# -- Tk --------------------------------------------------------------------------------------


def _cost_in_tk(table: Table) -> None:
    root = tkinter.Tk()
    root.withdraw()
    seen = _Seen()
    every: Subject[int] = Subject()
    view = deliver_tk(every, seen, root, coalesce=False)

    def ours() -> None:
        thread = threading.Thread(target=lambda: [every.on_next(n) for n in range(CHANGES)])
        thread.start()
        thread.join()

    def bare() -> None:  # ``after`` may be called on Tk's own thread only: part of its cost
        for number in range(CHANGES):
            root.after(0, seen, number)

    def measure(emit: Callable[[], None]) -> float:
        seen.count, seen.then = 0, lambda: root.quit() if seen.count == CHANGES else None
        began = thread_time()
        emit()
        root.mainloop()
        return thread_time() - began

    name = f"Tk: GUI thread's time a change / bare after, {CHANGES:,} queued"
    _compare(table, name, measure, ours, bare)
    view.dispose()
    root.destroy()


if __name__ == "__main__":
    alone(run)
