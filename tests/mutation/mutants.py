"""Which mutants there are: cosmic-ray's, without those that cannot be told from the original."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec

__all__ = ["HEART", "mutants_of", "sampled"]

HEART = (
    "provider",
    "tokens",
    "standing",
    "waiting",
    "expiry",
    "lease",
    "home",
    "intake",
    "signal",
    "delivery",
    "policy",
)

Place = tuple[int, int]


def mutants_of(module: Path, database: Path) -> list[MutationSpec]:
    """All mutants of a module but those in what is never run (annotations, overloads, what is for
    type checkers only) and in what no property is about: reprs, and whether classes have slots."""
    with closing(WorkDB(str(database), WorkDB.Mode.create)) as work:
        init([module], work, {})
        every = [mutation for item in work.pending_work_items for mutation in item.mutations]
    # The database has them in an order that differs from run to run, and a sample needs one.
    every.sort(key=lambda each: (each.start_pos, each.operator_name, each.occurrence))
    text = module.read_text("utf-8")
    left_out = [*_places_left_out(ast.parse(text)), *_stars(text)]
    return [
        each
        for each in every
        if not any(begin <= each.start_pos and each.end_pos <= end for begin, end in left_out)
    ]


def sampled(mutants: Sequence[MutationSpec], size: int, seed: int) -> list[MutationSpec]:
    """A random sample; all of them if there are no more than that."""
    chosen = random.Random(seed).sample(range(len(mutants)), min(size, len(mutants)))
    return [mutants[index] for index in sorted(chosen)]


def _places_left_out(tree: ast.Module) -> Iterator[tuple[Place, Place]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation is not None:
            yield _place(node.annotation)
        elif isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:  # frozen, slots
                yield _place(decorator)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.returns is not None:
                yield _place(node.returns)
            named = [each.id for each in node.decorator_list if isinstance(each, ast.Name)]
            if node.name in ("__repr__", "_repr_html_") or "overload" in named:
                yield _place(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield _place(node)


def _stars(text: str) -> Iterator[tuple[Place, Place]]:
    """The stars before what is given by name, which are taken for multiplications."""
    for number, line in enumerate(text.splitlines(), 1):
        for star in re.finditer(r"(?<=[(, ])\*(?=,)", line):
            yield (number, star.start()), (number, star.end())


def _place(node: ast.expr | ast.stmt) -> tuple[Place, Place]:
    end = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    return (node.lineno, node.col_offset), end
