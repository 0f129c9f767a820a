"""Convex as the signed-in user: the extra ``[convex]``, over the ``convex`` package's own client.

    url = "https://happy-animal-123.convex.cloud"
    with bind(auth, url) as bridge:  # or a convex.ConvexClient
        messages = bridge.query("messages:list", {"channel": "general"})
        messages.subscribe(show)  # None, then each result; None without a user
        await functions(auth, url).mutation("messages:send", {"body": "hi"})

What of ``convex.ConvexClient`` (measured on 0.8.1) may be used where a loop or a GUI must go on:

==============================  ================================================================
``set_auth``, ``watch_all``     do not wait: 0.1 ms, connected or not
``async for`` a subscription    waits without the GIL
``subscribe``                   holds the GIL until its request is in the socket: 0.1 ms while
                                connected, **as long as it takes to connect** while not
``query`` ``mutation``          hold the GIL until the deployment has answered: nothing else in
``action``, sync ``next``       the process runs, timers and GUIs included, whichever thread
                                made the call
==============================  ================================================================

The last cannot be mended from outside: a thread does not help against the GIL. So the bridge calls
``subscribe`` only when the deployment has just answered, a query once is
``bridge.query(...).pipe(ops.skip(1), ops.first())``, and :func:`functions` makes mutations and
actions over HTTP, which waits for no GIL.
"""

from __future__ import annotations

from ..extras import require

require("convex", extra="convex")

from .bridge import ConvexBridge, bind  # noqa: E402  # needs the extra's package
from .calls import ConvexFunctions, functions  # noqa: E402
from .refusal import looks_like_auth_error  # noqa: E402

__all__ = ["ConvexBridge", "ConvexFunctions", "bind", "functions", "looks_like_auth_error"]
