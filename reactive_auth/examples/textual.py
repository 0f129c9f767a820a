"""An app in the terminal: ``python -m reactive_auth.examples.textual [--url URL]``."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.widgets import Button, ContentSwitcher, Footer, Input, Label

from ..client import BetterAuthClient
from ..connect import connect
from ..errors import AuthError
from ..models import AuthState
from ..provider import AuthProvider
from ..ui.textual import AuthApp
from ..ui.words import headline, remaining, trouble
from .server import ExampleServer, arguments, example_server

__all__ = ["Home", "main"]


class Home(AuthApp):
    """Who is signed in, and what to do about it."""

    TITLE = "reactive_auth · Textual"
    CSS = """
    Screen { align: center middle; }
    #card { width: 64; height: auto; max-height: 100%; border: round $primary; padding: 1 2; }
    #headline { text-style: bold; }
    #message { width: 100%; margin-bottom: 1; }
    #message.bad { color: $text-error; }
    #message.good { color: $text-success; }
    ContentSwitcher { height: auto; }
    ContentSwitcher > * { height: auto; }
    .rows { grid-size: 2; grid-columns: 16 1fr; grid-rows: auto; height: auto; }
    .rows.facts { margin-bottom: 1; }
    .rows.entry > Label { padding: 1 0; }
    .hint { color: $text-muted; margin-top: 1; }
    .end { align-horizontal: right; height: auto; }
    .between { height: auto; margin-top: 1; }
    .between > #space { width: 1fr; }
    """

    def __init__(self, auth: AuthProvider[BetterAuthClient], server: ExampleServer) -> None:
        super().__init__(auth)
        self.server = server

    # All there is about auth: a reactive, and calls in a worker.

    def watch_auth_state(self, state: AuthState) -> None:
        self.query_one("#headline", Label).update(headline(state))
        pages = {"unknown": None, "signed_in": "account"}
        self.query_one(ContentSwitcher).current = pages.get(state.status, "form")
        if state.user is not None and state.session is not None:
            self.query_one("#user", Label).update(state.user.email or "")
            self.query_one("#session", Label).update(state.session.id[:8])
        self.say(trouble(state), "bad")

    def watch_auth_token(self) -> None:
        self.query_one("#token", Label).update(remaining(self.auth_token))

    @work(exclusive=True)
    async def attempt(self, call: Callable[[], Awaitable[object]], done: str = "") -> None:
        self.query("Button").set(disabled=True)
        try:
            await call()
            self.say(done, "good")
            for name in ("#password", "#current", "#new"):
                self.query_one(name, Input).value = ""
        except AuthError as error:
            self.say(str(error.args[0]), "bad")
        finally:
            self.query("Button").set(disabled=False)

    @on(Button.Pressed, "#sign-in")
    @on(Input.Submitted, "#password")
    def sign_in(self) -> None:
        email, password = self.entered("#email"), self.entered("#password")
        self.attempt(partial(self.auth.client.sign_in_email, email=email, password=password))

    @on(Button.Pressed, "#change")
    @on(Input.Submitted, "#new")
    def change_password(self) -> None:
        change = partial(
            self.auth.client.change_password,
            current_password=self.entered("#current"),
            new_password=self.entered("#new"),
            revoke_other_sessions=True,
        )
        self.attempt(change, "Password changed, session renewed")

    @on(Button.Pressed, "#sign-out")
    def sign_out(self) -> None:
        self.attempt(self.auth.client.sign_out)

    @on(Button.Pressed, "#outage")
    def toggle_outage(self) -> None:
        down = self.server.toggle_outage()
        self.query_one("#outage", Button).label = "End the outage" if down else "Simulate an outage"
        self.attempt(self.auth.client.refetch)  # it shows when something is asked for

    # -- the widgets -------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="card"):
            yield Label(id="headline", markup=False)  # names are no markup
            yield Label(id="message", markup=False)
            with ContentSwitcher(initial=None):
                yield from self._form()
                yield from self._account()
        yield Footer()

    def _form(self) -> ComposeResult:
        with VerticalScroll(id="form"):
            with Grid(classes="rows entry"):
                yield Label("E-mail")
                yield Input(id="email")
                yield Label("Password")
                yield Input(id="password", password=True)
            with Horizontal(classes="end"):
                yield Button("Sign in", id="sign-in", variant="primary")
            yield Label(self.server.hint, classes="hint")

    def _account(self) -> ComposeResult:
        with VerticalScroll(id="account"):
            with Grid(classes="rows facts"):
                for name, label in (
                    ("user", "E-mail"),
                    ("session", "Session"),
                    ("token", "Token good for"),
                ):
                    yield Label(label)
                    yield Label(id=name, markup=False)
            with Grid(classes="rows entry"):
                yield Label("Old password")
                yield Input(id="current", password=True)
                yield Label("New password")
                yield Input(id="new", password=True)
            with Horizontal(classes="end"):
                yield Button("Change password", id="change", variant="primary")
            with Horizontal(classes="between"):
                if self.server.embedded is not None:
                    yield Button("Simulate an outage", id="outage", variant="warning")
                yield Label(id="space")
                yield Button("Sign out", id="sign-out")

    def on_mount(self) -> None:
        self.set_interval(1, self.watch_auth_token)

    def entered(self, name: str) -> str:
        return self.query_one(name, Input).value

    def say(self, text: str, tone: str) -> None:
        message = self.query_one("#message", Label)
        message.set_classes(tone)
        message.update(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app until it is quit."""
    options = arguments("textual", argv)
    with example_server(options.url) as server:
        Home(connect(server.url), server).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
