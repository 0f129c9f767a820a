"""The event loop that runs here, as something to post to."""

from __future__ import annotations

import asyncio

from ..errors import ConfigurationError
from .seam import Post

__all__ = ["post_here"]


def post_here(post: Post | None) -> Post:
    """``post`` itself, or without one the running event loop's.

    Raises ConfigurationError where none runs.
    """
    if post is not None:
        return post
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        raise ConfigurationError(
            "no event loop runs here: give the post of your toolkit, such as reactive_auth.ui.qt's"
        ) from None
