"""One table of figures, and how figures are taken."""

from __future__ import annotations

import argparse
import inspect
import os
import platform
import statistics
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from time import perf_counter

import psutil

from .compare import Comparison

__all__ = ["PACKAGES", "Table", "alone", "machine", "medians", "seconds", "versions"]

PACKAGES = ("reactive-auth", "reactivex", "httpx", "httpcore", "pyjwt", "anyio")

Call = Callable[[], object]


class Table:
    """Rows of a figure, what it is, and what it is meant to be."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []
        self._began = perf_counter()

    def add(self, name: str, figure: object, goal: str = "") -> None:
        text = f"{figure:.2f}" if isinstance(figure, float) else str(figure)
        self._rows.append((name, text, goal))
        print(".", end="", flush=True)

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """What was added."""
        return list(self._rows)

    def show(self, comparison: Comparison | None = None) -> None:
        print(f"\n\n{machine()}, {perf_counter() - self._began:.0f} s\n{versions()}\n")
        names, figures = (max(len(row[column]) for row in self._rows) for column in (0, 1))
        for name, figure, goal in self._rows:
            print(f"{name:<{names}}  {figure:>{figures}}  {goal}".rstrip())
        if comparison is not None:
            print(f"\n{comparison.plain()}")


def machine() -> str:
    """The interpreter and the class of the machine."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    )


def versions(packages: Iterable[str] = PACKAGES) -> str:
    """Of the packages that a figure depends on."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


async def seconds(call: Call) -> float:
    """What one call takes; awaited where it gives something to await."""
    began = perf_counter()
    result = call()
    if inspect.isawaitable(result):
        await result
    return perf_counter() - began


async def medians(ours: Call, *peers: Call, rounds: int = 9) -> tuple[list[float], list[float]]:
    """The median seconds of each, and the median of ours / peer for each peer.

    The rounds are interleaved, and every other one is run backwards, so that a machine that
    slows down meanwhile slows down all of them.
    """
    calls = [ours, *peers]
    spent: list[list[float]] = []
    for number in range(rounds + 1):
        order = range(len(calls))
        found = {
            index: await seconds(calls[index])
            for index in (order if number % 2 else reversed(order))
        }
        if number:  # the first is a warm-up
            spent.append([found[index] for index in order])
    each = [statistics.median(row[index] for row in spent) for index in range(len(calls))]
    ratios = [
        statistics.median(row[0] / row[index] for row in spent) for index in range(1, len(calls))
    ]
    return each, ratios


def alone(run: Callable[..., Awaitable[None] | None], **numbers: int) -> None:
    """Run one module by itself; ``numbers`` become options."""
    parser = argparse.ArgumentParser()
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    table = Table()
    run(table, **vars(parser.parse_args()))
    table.show()
