"""Streams as psygnal signals: for models and views that know no other kind.

class Model:
    auth = psygnal.Signal(AuthState)

emit_psygnal(model.auth, auth.state, post)      # reactive_auth.ui.qt's post, in napari, say
model.auth.connect(lambda state: label.setText(headline(state)))
"""

from __future__ import annotations

from typing import TypeVar

from reactivex import Observable, abc

from ..errors import ConfigurationError
from ..extras import require
from .loops import post_here
from .seam import Post, deliver

require("psygnal", extra="psygnal")

from psygnal import SignalInstance  # noqa: E402

__all__ = ["emit_psygnal"]

T = TypeVar("T")


def emit_psygnal(
    signal: SignalInstance,
    stream: Observable[T],
    post: Post | None = None,
    *,
    coalesce: bool = True,
) -> abc.DisposableBase:
    """Emit the values of ``stream`` on a psygnal signal, on one thread, until disposed of.

    As :func:`~reactive_auth.ui.deliver`: a Signal's current value is emitted before this returns,
    so connect first. What slots raise comes as psygnal's ``EmitLoopError`` to whoever calls what
    ``post`` was given, and later values are still emitted.

    :param post: the toolkit's; by default the event loop that runs here.
    :param coalesce: give only the newest of several values; see ``deliver``.
    :raises ConfigurationError: an argument that can never work, or no event loop runs here.
    """
    if not isinstance(signal, SignalInstance):
        raise ConfigurationError("emit_psygnal() needs the signal of an object, not of a class")
    return deliver(stream, lambda value: signal.emit(value), post_here(post), coalesce=coalesce)
