"""A NiceGUI page: ``python -m reactive_auth.examples.nicegui [--url URL] [--port PORT]``."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ..client import BetterAuthClient
from ..extras import require
from ..ui.nicegui import BrowserAuth, PageAuth
from .server import ExampleServer, arguments, example_server

require("nicegui", extra="nicegui")

from nicegui import native, ui  # noqa: E402

__all__ = ["home", "main"]


def home(server: ExampleServer, browsers: BrowserAuth[BetterAuthClient]) -> None:
    """One page."""
    auth = browsers.page()
    look = _look(auth, server)

    # All there is about auth: properties of the page to elements, buttons to calls of the client.
    async def sign_in() -> None:
        call = auth.client.sign_in_email(email=look.email.value, password=look.password.value)
        if await auth.attempt(call):
            look.password.value = ""

    async def change_password() -> None:
        call = auth.client.change_password(
            current_password=look.current.value,
            new_password=look.new.value,
            revoke_other_sessions=True,
        )
        if await auth.attempt(call):
            look.current.value = look.new.value = ""
            ui.notify("Password changed, session renewed", type="positive")

    async def toggle_outage() -> None:
        down = server.toggle_outage()
        look.outage.text = "End the outage" if down else "Simulate an outage"
        await auth.provider.recheck()  # an outage shows when something is asked for

    look.sign_in.on_click(sign_in)
    look.password.on("keydown.enter", sign_in)
    look.change.on_click(change_password)
    look.new.on("keydown.enter", change_password)
    look.outage.on_click(toggle_outage)
    look.sign_out.on_click(lambda: auth.attempt(auth.client.sign_out()))


def _look(auth: PageAuth[Any], server: ExampleServer) -> SimpleNamespace:
    """The elements, and what they are bound to."""
    here = SimpleNamespace()
    ui.query("body").classes("bg-slate-100")
    with ui.card().classes("w-[26rem] max-w-full mx-auto mt-12 p-8 gap-4"):
        with ui.row(wrap=False).classes("items-center gap-3 w-full"):
            icon = ui.icon("account_circle", size="2.25rem")
            icon.bind_name_from(auth, "trouble", lambda text: "sync_problem" if text else _FACE)
            title = ui.label().classes("text-xl font-medium").props("data-name=headline")
            title.bind_text_from(auth, "headline")
        for name, colour in (("failure", "text-red-700"), ("trouble", "text-amber-800")):
            note = ui.label().classes(f"text-sm {colour}").props(f"data-name={name}")
            note.bind_text_from(auth, name).bind_visibility_from(auth, name)

        waiting = ui.spinner(size="lg").classes("self-center")
        waiting.bind_visibility_from(auth, "is_loading")

        with ui.column(align_items="stretch").classes("w-full gap-3") as form:
            here.email = ui.input("E-mail").props("outlined dense type=email autocomplete=username")
            here.password = _secret("Password", "current-password")
            here.sign_in = _button("Sign in", auth)
            ui.label(server.hint).classes("text-sm text-slate-500")
        form.bind_visibility_from(auth, "state", lambda s: not (s.is_authenticated or s.is_loading))

        with ui.column(align_items="stretch").classes("w-full gap-4") as account:
            with ui.grid(columns="auto 1fr").classes("gap-x-6 gap-y-1 items-baseline"):
                for caption, name in (
                    ("E-mail", "user_email"),
                    ("Session", "session_id"),
                    ("Token good for", "token_remaining"),
                ):
                    ui.label(caption).classes("text-sm text-slate-500")
                    fact = ui.label().classes("font-mono text-sm").props(f"data-name={name}")
                    fact.bind_text_from(auth, name)
            ui.separator()
            here.current = _secret("Current password", "current-password")
            here.new = _secret("New password", "new-password")
            here.change = _button("Change password", auth)
            ui.separator()
            with ui.row().classes("w-full justify-between"):
                here.outage = _button("Simulate an outage", auth, "flat no-caps")
                here.outage.set_visibility(server.embedded is not None)
                here.sign_out = _button("Sign out", auth, "outline no-caps")
        account.bind_visibility_from(auth, "is_authenticated")
    return here


_FACE = "account_circle"


def _secret(caption: str, kind: str) -> ui.input:
    field = ui.input(caption, password=True, password_toggle_button=True)
    return field.props(f"outlined dense autocomplete={kind}")


def _button(caption: str, auth: PageAuth[Any], props: str = "unelevated no-caps") -> ui.button:
    button = ui.button(caption).props(props)
    return button.bind_enabled_from(auth, "busy", lambda busy: not busy)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until interrupted."""
    options = arguments("nicegui", argv)
    with contextlib.suppress(KeyboardInterrupt), example_server(options.url) as server:
        browsers = BrowserAuth(server.url)
        ui.run(  # pyright: ignore[reportUnknownMemberType]
            lambda: home(server, browsers),
            host="127.0.0.1",
            port=options.port or native.find_open_port(),
            title="reactive_auth · NiceGUI",
            storage_secret=secrets.token_urlsafe(32),
            reload=False,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
