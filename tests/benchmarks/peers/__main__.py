"""The peers alone: ``python -m tests.benchmarks.peers [--tiny]``."""

from __future__ import annotations

import sys

from .run import compare
from .sizes import FULL, TINY

if __name__ == "__main__":
    print("\n\n" + compare(sizes=TINY if "--tiny" in sys.argv[1:] else FULL).plain())
