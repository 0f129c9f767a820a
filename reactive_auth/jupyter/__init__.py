"""Streams in a notebook: the extra ``[jupyter]``.

    from reactive_auth.jupyter import connect

    auth = connect("https://app.example.com")  # run again, it is the same one
    auth                                       # a card that stays up to date, with a sign-in form

With the extra installed, ``auth`` at the end of a cell shows the card, and any of its signals a
line that follows it; without, or where no widget can run, a static line of HTML.
"""

from ..extras import require

require("anywidget", extra="jupyter")

from .card import AuthCard, SignalCard, card  # noqa: E402  # needs the extra's package
from .live import connect  # noqa: E402

__all__ = ["AuthCard", "SignalCard", "card", "connect"]
