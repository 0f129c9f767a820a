"""Pictures of the Solara example: ``python -m tests.screenshots.solara FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.screenshots.web import shoot


def shots(folder: Path) -> list[Path]:
    """The sign-in form with an error, signed in, reconnecting."""
    return shoot("solara", folder, lambda name: f".ra-{name}")


if __name__ == "__main__":
    shots(Path(sys.argv[1]))
