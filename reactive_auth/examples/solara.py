"""A Solara app: ``python -m reactive_auth.examples.solara [--url URL] [--port PORT]``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from ..client import BetterAuthClient
from ..extras import require
from ..ui.solara import BrowserAuth, use_auth
from .server import ExampleServer, arguments, example_server

solara: Any = require("solara", extra="solara")

__all__ = ["Page", "main", "use"]

_server: ExampleServer
_sessions: BrowserAuth[BetterAuthClient]


def component(render: Callable[..., None]) -> Callable[..., Any]:
    """``solara.component``, whose types are its own."""
    return cast("Callable[..., Any]", solara.component(render))


def use(server: ExampleServer) -> None:
    """What pages opened from now on connect to."""
    global _server, _sessions
    _server, _sessions = server, BrowserAuth(server.url)


@component
def Page() -> None:  # noqa: N802  # Solara's components are named so
    """All there is about auth: values of the page to texts, buttons to calls of the client."""
    auth = use_auth(_sessions)
    done, set_done = solara.use_state("")
    outage, set_outage = solara.use_state("Simulate an outage")

    def sign_in(email: str, password: str) -> None:
        auth.start(auth.client.sign_in_email(email=email, password=password))

    def change(current: str, new: str) -> None:
        call = auth.client.change_password(
            current_password=current, new_password=new, revoke_other_sessions=True
        )
        auth.start(call, lambda: set_done("Password changed, session renewed"))

    def toggle_outage() -> None:
        down = _server.toggle_outage()
        set_outage("End the outage" if down else "Simulate an outage")
        auth.start(auth.provider.recheck())  # an outage shows when something is asked for

    def sign_out() -> None:
        auth.start(auth.client.sign_out())

    solara.Title("reactive_auth · Solara")
    with solara.Column(align="center", style={"padding": "40px"}), solara.Card(style=_CARD):
        _Line(auth.headline.value, "headline")
        _Line(auth.failure.value, "failure")
        _Line(auth.trouble.value, "trouble")
        if auth.is_authenticated.value:
            for caption, name in _FACTS:
                with solara.Row(style={"align-items": "baseline"}):
                    _Line(caption, "caption")
                    _Line(getattr(auth, name).value, name)
            _Form(("Current password", "New password"), "Change password", change, done)
            with solara.Row(justify="space-between"):
                if _server.embedded is not None:
                    solara.Button(outage, on_click=toggle_outage, outlined=True)
                solara.Button("Sign out", on_click=sign_out, outlined=True)
        elif not auth.is_loading.value:
            _Form(("E-mail", "Password"), "Sign in", sign_in, "", hint=_server.hint)


_CARD = {"width": "420px"}
_FACTS = (
    ("E-mail", "user_email"),
    ("Session", "session_id"),
    ("Token good for", "token_remaining"),
)
_LOOK: dict[str, dict[str, str]] = {
    "headline": {"font-size": "1.35rem", "font-weight": "600"},
    "failure": {"color": "#b91c1c"},
    "trouble": {"color": "#92400e"},
    "caption": {"color": "#64748b", "width": "8rem"},
    "done": {"color": "#15803d"},
    "hint": {"color": "#64748b"},
}


def _Line(text: str, name: str) -> None:  # noqa: N802
    style = _LOOK.get(name, {"font-family": "monospace"})
    solara.Text(text, classes=[f"ra-{name}"], style={**style, "display": "block"})


@component
def _Form(  # noqa: N802
    captions: tuple[str, str], label: str, act: Any, done: str, hint: str = ""
) -> None:
    first, set_first = solara.use_state("")
    second, set_second = solara.use_state("")

    def click() -> None:
        act(first, second)
        set_second("")

    secret = "assword" in captions[0]
    solara.InputText(captions[0], value=first, on_value=set_first, password=secret)
    solara.InputText(captions[1], value=second, on_value=set_second, password=True)
    solara.Button(label, on_click=click, color="primary", block=True)
    _Line(done, "done")
    _Line(hint, "hint")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the app until interrupted."""
    options = arguments("solara", argv)
    with contextlib.suppress(KeyboardInterrupt), example_server(options.url) as server:
        # Solara imports the module of the page by its name: this one may be called __main__.
        from reactive_auth.examples import solara as module

        module.use(server)
        os.environ["SOLARA_APP"] = "reactive_auth.examples.solara:Page"
        uvicorn: Any = require("uvicorn", extra="solara")
        app = require("solara.server.starlette", extra="solara")
        uvicorn.run(app.app, port=options.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
