"""All the ways in which Python and its tools show an object or an exception."""

from __future__ import annotations

import copy
import io
import pickle
import pprint
import traceback
from collections.abc import Iterator
from typing import Any

import rich.console
import rich.pretty
import rich.traceback


def shows_of(thing: object) -> Iterator[tuple[str, str]]:
    """How an object is shown, each with the name of the way."""
    yield "repr", repr(thing)
    yield "str", str(thing)
    yield "format", f"{thing}"
    yield "pprint", pprint.pformat(thing)
    yield "rich", rich.pretty.pretty_repr(thing)
    yield "in a container", repr([{"it": thing}])
    for name in ("_repr_html_", "_repr_mimebundle_", "_repr_markdown_", "_repr_svg_"):
        method = getattr(thing, name, None)
        if callable(method) and not isinstance(thing, type):
            yield name, repr(method())
    if type(thing).__module__.partition(".")[0] == "httpx":
        return  # its requests, and errors that have one, pickle with their headers
    for name, way in (
        ("pickle", lambda: repr(pickle.dumps(thing))),
        ("old pickle", lambda: repr(pickle.dumps(thing, protocol=0))),
        ("copy", lambda: repr(copy.copy(thing))),
        ("deepcopy", lambda: repr(copy.deepcopy(thing))),
    ):
        try:
            yield name, way()
        except Exception as refusal:  # how a live object or a secret refuses
            yield name, str(refusal)


def shows_of_error(error: BaseException, *, again: bool = False) -> Iterator[tuple[str, str]]:
    """How an exception is shown, with the variables of all its frames. ``again`` says that its
    like was: then the slow ways, which show no other variables, are left out."""
    seen: set[int] = set()
    yield "every frame", "\n".join(_frames(error, seen))
    if again:
        return
    yield from shows_of(error)
    yield "traceback", "".join(traceback.format_exception(error))
    shown = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    yield "traceback with locals", "".join(shown.format())
    console = rich.console.Console(file=io.StringIO(), width=400, color_system=None)
    console.print(
        rich.traceback.Traceback.from_exception(
            type(error),
            error,
            error.__traceback__,
            show_locals=True,
            extra_lines=0,
            locals_max_string=None,
            locals_max_length=None,
            locals_hide_dunder=False,
            locals_hide_sunder=False,
        )
    )
    assert isinstance(console.file, io.StringIO)
    yield "rich with locals", console.file.getvalue()


def _frames(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """Variables of every frame that can be reached, suppressed contexts included; and what hangs
    on the exceptions themselves."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield repr(vars(error))
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield f"{frame.f_code.co_qualname}: { {n: _shown(v) for n, v in frame.f_locals.items()} }"
    yield from _frames(error.__cause__, seen)
    yield from _frames(error.__context__, seen)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:
        return repr(error)
