"""A Panel app: ``python -m reactive_auth.examples.panel [--url URL] [--port PORT]``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ..client import BetterAuthClient
from ..extras import require
from ..models import AuthState
from ..ui.panel import BrowserAuth, PageAuth
from .server import ExampleServer, arguments, example_server

pn: Any = require("panel", extra="panel")

__all__ = ["app", "main"]


def app(server: ExampleServer, browsers: BrowserAuth[BetterAuthClient]) -> Any:
    """What one session shows."""
    auth = browsers.page()
    look = _look(auth, server)

    # All there is about auth: parameters of the page to panes, buttons to calls of the client.
    async def sign_in(event: object) -> None:
        call = auth.client.sign_in_email(email=look.email.value, password=look.password.value)
        if await auth.attempt(call):
            look.password.value = ""

    async def change_password(event: object) -> None:
        call = auth.client.change_password(
            current_password=look.current.value,
            new_password=look.new.value,
            revoke_other_sessions=True,
        )
        if await auth.attempt(call):
            look.current.value = look.new.value = ""
            look.done.visible = True

    async def toggle_outage(event: object) -> None:
        down = server.toggle_outage()
        look.outage.label = "End the outage" if down else "Simulate an outage"
        await auth.provider.recheck()  # an outage shows when something is asked for

    async def sign_out(event: object) -> None:
        await auth.attempt(auth.client.sign_out())

    look.sign_in.on_click(sign_in)
    look.change.on_click(change_password)
    look.outage.on_click(toggle_outage)
    look.sign_out.on_click(sign_out)
    return look.page


_PAGE = """
:host { background: white; border-radius: 8px; padding: 20px 24px; margin: 48px auto;
        box-shadow: 0 1px 4px rgb(0 0 0 / 25%); }
"""
_LINE = "pre { font: inherit; margin: 0; white-space: pre-wrap; }"
_WIDE: dict[str, Any] = {"sizing_mode": "stretch_width"}


def _look(auth: PageAuth[Any], server: ExampleServer) -> SimpleNamespace:
    """The panes and widgets, and what they follow."""
    follow: Any = auth.param
    here = SimpleNamespace()
    here.email = pn.widgets.TextInput(label="E-mail", **_WIDE)
    here.password = _secret("Password")
    here.sign_in = _button("Sign in", auth, color="primary")
    form = pn.Column(
        here.email,
        here.password,
        here.sign_in,
        _line(server.hint, color="#64748b"),
        visible=pn.bind(_asks, follow.state),
        **_WIDE,
    )

    facts = [
        pn.Row(_line(caption, color="#64748b", width="120px"), _fact(auth, name), margin=0)
        for caption, name in (
            ("E-mail", "user_email"),
            ("Session", "session_id"),
            ("Token good for", "token_remaining"),
        )
    ]
    here.current, here.new = _secret("Current password"), _secret("New password")
    here.change = _button("Change password", auth, color="primary")
    here.done = _line("Password changed, session renewed", visible=False, color="#15803d")
    here.outage = _button("Simulate an outage", auth, visible=server.embedded is not None)
    here.sign_out = _button("Sign out", auth, variant="outline")
    account = pn.Column(
        *facts,
        _rule(),
        here.current,
        here.new,
        here.change,
        here.done,
        _rule(),
        pn.Row(here.outage, here.sign_out, **_WIDE),
        visible=follow.is_authenticated,
        **_WIDE,
    )
    here.page = pn.Column(
        _line(follow.headline, name="headline", font_size="1.25rem", font_weight="600"),
        _note(auth, "failure", "#b91c1c"),
        _note(auth, "trouble", "#92400e"),
        pn.indicators.LoadingSpinner(value=True, size=40, visible=follow.is_loading),
        form,
        account,
        width=420,
        stylesheets=[_PAGE],
    )
    return here


def _asks(state: AuthState) -> bool:
    return not (state.is_authenticated or state.is_loading)


def _line(text: Any, name: str = "line", visible: Any = True, **style: str) -> Any:
    """Text, and never HTML: names are whatever their owners chose."""
    styles = {key.replace("_", "-"): value for key, value in style.items()}
    return pn.pane.Str(
        text,
        css_classes=[name],
        styles=styles,
        stylesheets=[_LINE],
        visible=visible,
        margin=(5, 10),
    )


def _fact(auth: PageAuth[Any], name: str) -> Any:
    return _line(getattr(auth.param, name), name=name, font_family="monospace")


def _rule() -> Any:
    return pn.Spacer(height=1, margin=10, styles={"background": "#cbd5e1"}, **_WIDE)


def _note(auth: PageAuth[Any], name: str, colour: str) -> Any:
    text = getattr(auth.param, name)
    return _line(text, name=name, visible=pn.bind(bool, text), color=colour)


def _secret(caption: str) -> Any:
    return pn.widgets.PasswordInput(label=caption, **_WIDE)


def _button(caption: str, auth: PageAuth[Any], **more: Any) -> Any:
    return pn.widgets.Button(label=caption, disabled=auth.param.busy, **{**_WIDE, **more})


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the app until interrupted."""
    options = arguments("panel", argv)
    with contextlib.suppress(KeyboardInterrupt), example_server(options.url) as server:
        browsers = BrowserAuth(server.url)
        pn.serve(
            lambda: app(server, browsers),
            address="127.0.0.1",
            port=options.port,
            title="reactive_auth · Panel",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
