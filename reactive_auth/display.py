"""How live things show themselves at the end of a notebook's cell."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["live_card", "marimo_card"]


def live_card(shown: object, **options: Any) -> Any:
    """What IPython's display protocol is given: the widget of ``reactive_auth.jupyter`` where one
    can run; None otherwise, and the static HTML is shown."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None or find_spec("anywidget") is None:
        return None
    made = import_module("reactive_auth.jupyter").card(shown)
    return made._repr_mimebundle_(**options)


def marimo_card(shown: object, html: str) -> Any:
    """What marimo's display protocol (``_display_``) is given: the widget, or the static HTML."""
    if find_spec("anywidget") is None:
        return import_module("marimo").Html(html)
    return import_module("reactive_auth.jupyter").card(shown)
