"""One table of figures."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter

__all__ = ["Table", "ratio", "timed"]


class Table:
    """Rows of a figure, what it was, and what it is meant to be."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, name: str, figure: object, goal: str = "") -> None:
        text = f"{figure:.2f}" if isinstance(figure, float) else str(figure)
        self.rows.append((name, text, goal))
        print(f"  {name}: {text}" + (f"  (goal {goal})" if goal else ""), flush=True)

    def show(self) -> None:
        packages = ", ".join(
            f"{name} {version(name)}" for name in ("reactivex", "httpx", "pyjwt", "anyio")
        )
        print(f"\nPython {platform.python_version()}, {platform.machine()}; {packages}\n")
        width = max(len(name) for name, _, _ in self.rows)
        for name, figure, goal in self.rows:
            print(f"{name:<{width}}  {figure:>14}  {goal}")


def timed(call: Callable[[], object]) -> float:
    """Seconds one call takes."""
    began = perf_counter()
    call()
    return perf_counter() - began


async def ratio(
    ours: Callable[[], Awaitable[object]], peer: Callable[[], Awaitable[object]], rounds: int = 7
) -> float:
    """The median of ours / peer over interleaved rounds."""
    ratios: list[float] = []
    for _ in range(rounds):
        spent: list[float] = []
        for call in (peer, ours):
            began = perf_counter()
            await call()
            spent.append(perf_counter() - began)
        ratios.append(spent[1] / spent[0])
    return statistics.median(ratios)
