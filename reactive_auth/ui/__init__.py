"""Streams on a toolkit's thread. Each toolkit has a module here; anything else is five lines.

Any toolkit with a function that calls something soon on its own thread will do::

    from gi.repository import GLib                       # GTK

    def post(callback):
        GLib.idle_add(lambda: callback() and False)      # False: once

    shown = deliver(auth.state, lambda state: label.set_text(headline(state)), post)
    window.connect("destroy", lambda *_: shown.dispose())

wx: ``post = wx.CallAfter``. Flet: ``post = lambda callback: page.run_thread(callback)``, then
``page.update()`` in the view. An asyncio loop: ``post = loop.call_soon_threadsafe``. marimo shows
``auth`` at the end of a cell as a live card; to have cells run anew,
``get, set_ = mo.state(auth.state.value)`` with ``set_`` as the view.
"""

from .seam import Post, deliver
from .words import headline, remaining, trouble

__all__ = ["Post", "deliver", "headline", "remaining", "trouble"]
