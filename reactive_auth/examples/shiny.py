"""A Shiny app: ``python -m reactive_auth.examples.shiny [--url URL] [--port PORT]``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any, cast

from ..client import BetterAuthClient
from ..extras import require
from ..ui.shiny import BrowserAuth
from .server import ExampleServer, arguments, example_server

require("shiny", extra="shiny")

from shiny import App, reactive, render, run_app, ui  # noqa: E402

__all__ = ["app", "main"]


def app(server: ExampleServer, sessions: BrowserAuth[BetterAuthClient]) -> Any:
    """The app."""

    def serve(input: Any, output: Any, session: Any) -> None:  # noqa: A002  # Shiny's own names
        auth = sessions.page()
        done = reactive.Value("")
        outage = reactive.Value("Simulate an outage")

        # All there is about auth: values of the page to outputs, buttons to calls of the client.
        for name in ("headline", "user_email", "session_id", "token_remaining"):
            output(render.text(getattr(auth, name).get), id=name)
        output(render.text(auth.failure.get), id="failure")
        output(render.text(auth.trouble.get), id="trouble")

        @reactive.effect
        @reactive.event(input.sign_in)
        def _() -> None:
            auth.start(auth.client.sign_in_email(email=input.email(), password=input.password()))

        @reactive.effect
        @reactive.event(input.change)
        def _() -> None:
            change = auth.client.change_password(
                current_password=input.current(),
                new_password=input.new(),
                revoke_other_sessions=True,
            )
            auth.start(change, lambda: done.set("Password changed, session renewed"))

        @reactive.effect
        @reactive.event(input.sign_out)
        def _() -> None:
            auth.start(auth.client.sign_out())

        @reactive.effect
        @reactive.event(input.outage)
        def _() -> None:
            down = server.toggle_outage()
            outage.set("End the outage" if down else "Simulate an outage")
            auth.start(auth.provider.recheck())  # an outage shows when something is asked for

        @render.ui
        def view() -> Any:
            if auth.is_loading():
                return ui.p("…")
            return _account(server) if auth.is_authenticated() else _form(server)

        @render.text
        def changed() -> str:
            return str(done())

        @reactive.effect
        def _() -> None:
            ui.update_action_button("outage", label=outage())

    return App(_PAGE, serve)


_STYLE = """
body { background: #f1f5f9; } .page { max-width: 26rem; margin: 3rem auto; }
#headline { font-size: 1.35rem; font-weight: 600; } #failure { color: #b91c1c; }
#trouble { color: #92400e; } #changed { color: #15803d; } .hint, dt { color: #64748b; }
dl { display: grid; grid-template-columns: 8rem 1fr; } dd { margin: 0; font-family: monospace; }
.form-group, .shiny-input-container { width: 100% !important; } dt { font-weight: 400; }
"""
_PAGE = ui.page_fluid(
    ui.tags.style(_STYLE),
    ui.div(
        ui.card(
            ui.output_text("headline"),
            ui.output_text("failure"),
            ui.output_text("trouble"),
            ui.output_ui("view"),
        ),
        class_="page",
    ),
    title="reactive_auth · Shiny",
)


def _form(server: ExampleServer) -> Any:
    return ui.div(
        ui.input_text("email", "E-mail"),
        ui.input_password("password", "Password"),
        ui.input_action_button("sign_in", "Sign in", class_="btn-primary w-100"),
        ui.p(server.hint, class_="hint mt-3 mb-0"),
    )


def _account(server: ExampleServer) -> Any:
    facts = (
        ("E-mail", "user_email"),
        ("Session", "session_id"),
        ("Token good for", "token_remaining"),
    )
    outage = ui.input_action_button("outage", "Simulate an outage")
    return ui.div(
        ui.tags.dl(
            *(part for name, id_ in facts for part in (ui.tags.dt(name), _fact(id_))),
        ),
        ui.hr(),
        ui.input_password("current", "Current password"),
        ui.input_password("new", "New password"),
        ui.input_action_button("change", "Change password", class_="btn-primary w-100"),
        ui.output_text("changed"),
        ui.hr(),
        ui.div(
            outage if server.embedded is not None else None,
            ui.input_action_button("sign_out", "Sign out"),
            class_="d-flex justify-content-between",
        ),
    )


def _fact(name: str) -> Any:
    return ui.tags.dd(ui.output_text(name, inline=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the app until interrupted."""
    options = arguments("shiny", argv)
    with contextlib.suppress(KeyboardInterrupt), example_server(options.url) as server:
        sessions = BrowserAuth(server.url)
        cast("Any", run_app)(app(server, sessions), port=options.port, launch_browser=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
