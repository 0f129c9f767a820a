"""Pictures of the Shiny example: ``python -m tests.screenshots.shiny FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.screenshots.web import shoot


def shots(folder: Path) -> list[Path]:
    """The sign-in form with an error, signed in, reconnecting."""
    return shoot("shiny", folder, lambda name: f"#{name}")


if __name__ == "__main__":
    shots(Path(sys.argv[1]))
