"""What happened, recorded without secrets: as a marble diagram, in words, and as plain data."""

from .marks import Mark
from .recorder import Timeline, record
from .text import Marbles

__all__ = ["Marbles", "Mark", "Timeline", "record"]
