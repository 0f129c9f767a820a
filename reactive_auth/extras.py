"""Optional packages, imported where they are used, with an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["require"]


def require(module: str, *, extra: str) -> ModuleType:
    """Import a module of an extra. Raises ImportError naming the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{module.partition(".")[0]} is not installed: pip install "reactive-auth[{extra}]"',
            name=module,
        ) from error
