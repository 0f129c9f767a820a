"""Imports point downwards only, and the heavy and optional packages stay lazy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "reactive_auth"

#: From the top down (DESIGN.md, Layers). A module may import from its own layer and below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__", "cli", "examples"),
    ("__init__",),
    ("jupyter",),
    ("testing", "embedded", "timeline", "ui"),
    ("http_auth", "derive", "scoped", "boundary", "convex", "verify"),
    ("blocking",),
    ("connect",),
    ("client", "provider"),
    ("tokens", "intake", "expiry", "waiting"),
    ("standing", "lease", "protocol", "home", "portal"),
    ("signal", "models", "policy"),
    ("secrecy",),
    ("errors", "clock", "delivery", "display", "extras"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: What the heart and the vocabulary must never see: HTTP and threads of their own.
HEART = (
    "provider",
    "tokens",
    "waiting",
    "intake",
    "expiry",
    "standing",
    "lease",
    "signal",
    "models",
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def top(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """First-level modules of the package that a file imports, wherever in it."""
    names: set[str] = set()
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            if node.module is None:
                names.update(alias.name for alias in node.names)
            else:
                names.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reactive_auth"):
            names.add((node.module or "").removeprefix("reactive_auth.").split(".")[0])
    return names


def absolute(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    upwards = {name for name in imported(path) if LEVEL[name] < LEVEL[top(path)]}
    assert not upwards


def test_every_module_has_a_layer() -> None:
    assert {top(path) for path in modules()} == set(LEVEL)


@pytest.mark.parametrize("name", HEART)
def test_the_heart_knows_neither_http_nor_threads(name: str) -> None:
    assert not absolute(PACKAGE / f"{name}.py") & {"httpx", "threading", "requests", "socket"}


def test_the_client_and_the_heart_do_not_know_each_other() -> None:
    assert "client" not in imported(PACKAGE / "provider.py")
    for path in (PACKAGE / "client").glob("*.py"):
        assert "provider" not in imported(path)


def test_importing_the_package_imports_no_crypto_and_no_extra() -> None:
    # httpx itself imports rich where click is installed, too.
    loaded = loaded_by("reactive_auth") - loaded_by("httpx, reactivex, anyio")
    assert "reactive_auth" in loaded
    assert not loaded & {"jwt", "cryptography", "rich", "better_auth", "pytest", "httpx2", "convex"}


def loaded_by(modules: str) -> set[str]:
    code = f"import sys, {modules}; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())
