"""A window of Tk widgets: ``python -m reactive_auth.examples.tk [--url URL]``."""

from __future__ import annotations

import sys
import tkinter
from collections.abc import Sequence
from concurrent.futures import Future
from tkinter import font, ttk
from typing import Any

from ..blocking import BlockingAuth, connect_blocking
from ..errors import AuthError
from ..models import AuthState
from ..ui.tk import call_tk, deliver_tk, refetch_on_focus
from ..ui.words import headline, remaining, trouble
from .server import ExampleServer, arguments, example_server

__all__ = ["Window", "main"]


class _Look(ttk.Frame):
    """The widgets, and nothing else."""

    def __init__(self, window: tkinter.Tk, server: ExampleServer) -> None:
        super().__init__(window, padding=(28, 24))
        window.title("reactive_auth · Tk")
        window.minsize(520, 0)
        if window.tk.call("tk", "windowingsystem") == "x11":  # elsewhere the native one is good
            ttk.Style(window).theme_use("clam")
        background = ttk.Style(window).lookup("TFrame", "background")
        window.configure(background=background)
        self.grid(sticky="nsew")
        window.columnconfigure(0, weight=1)
        window.rowconfigure(0, weight=1)
        self.columnconfigure(0, weight=1)
        self.rowconfigure(2, weight=1)
        big = font.nametofont("TkDefaultFont").copy()
        big.configure(size=16, weight="bold")
        self.headline = ttk.Label(self, font=big)
        self.message = ttk.Label(self, wraplength=460)
        self.headline.grid(sticky="w")
        self.message.grid(sticky="w", pady=(6, 12))
        self._make_form(server.hint)
        self._make_account()
        if server.embedded is None:
            self.outage.grid_remove()

    def say(self, text: str, colour: str = "#2e7d32") -> None:
        self.message.configure(text=text, foreground=colour)

    def complain(self, text: str) -> None:
        self.say(text, "#c62828")

    def page(self, shown: ttk.Frame | None) -> None:
        for page in (self.form, self.account):
            if page is shown:
                page.grid(row=2, sticky="nsew")
            else:
                page.grid_remove()

    def _make_form(self, hint: str) -> None:
        self.form = _rows(self)
        self.email = _field(self.form, 0, "E-mail")
        self.password = _field(self.form, 1, "Password", show="•")
        self.sign_in = ttk.Button(self.form, text="Sign in")
        self.sign_in.grid(row=2, column=1, sticky="e", pady=(8, 0))
        ttk.Label(self.form, text=hint, foreground="#777").grid(
            row=3, columnspan=2, sticky="w", pady=(16, 0)
        )
        self.email.bind("<Return>", lambda _: self.password.focus_set())
        self.password.bind("<Return>", lambda _: self.sign_in.invoke())

    def _make_account(self) -> None:
        self.account = _rows(self)
        fixed = font.nametofont("TkFixedFont")
        self.user, self.session, self.token = (
            _fact(self.account, row, name, fixed if row else None)
            for row, name in enumerate(("E-mail", "Session", "Token good for"))
        )
        box = ttk.LabelFrame(self.account, text="Password", padding=12)
        box.grid(row=3, columnspan=2, sticky="ew", pady=16)
        box.columnconfigure(1, weight=1)
        self.current = _field(box, 0, "Current", show="•")
        self.new = _field(box, 1, "New", show="•")
        self.change = ttk.Button(box, text="Change password")
        self.change.grid(row=2, column=1, sticky="e", pady=(8, 0))
        self.new.bind("<Return>", lambda _: self.change.invoke())
        self.outage = ttk.Button(self.account, text="Simulate an outage")
        self.sign_out = ttk.Button(self.account, text="Sign out")
        self.outage.grid(row=4, column=0, sticky="w", columnspan=2)
        self.sign_out.grid(row=4, column=1, sticky="e")


class Window(_Look):
    """Who is signed in, and what to do about it."""

    def __init__(self, window: tkinter.Tk, auth: BlockingAuth, server: ExampleServer) -> None:
        super().__init__(window, server)
        self.auth, self.client, self.server = auth, auth.client, server
        self._trouble = ""
        self._timer: str | None = None
        # All there is about auth: two streams to this window, and calls that do not block.
        deliver_tk(auth.state, self._show, self)
        deliver_tk(auth.token, lambda token: self._count_down(), self)
        refetch_on_focus(window, auth)
        self.sign_in.configure(command=self._sign_in)
        self.change.configure(command=self._change)
        self.sign_out.configure(command=lambda: self._call(self.client.sign_out.future()))
        self.outage.configure(command=self._toggle_outage)

    def _sign_in(self) -> None:
        email, password = self.email.get(), self.password.get()
        self._call(self.client.sign_in_email.future(email=email, password=password))

    def _change(self) -> None:
        change = self.client.change_password.future(
            current_password=self.current.get(),
            new_password=self.new.get(),
            revoke_other_sessions=True,
        )
        self._call(change, "Password changed, session renewed")

    def _call(self, future: Future[Any], done: str = "") -> None:
        self._enable(False)
        call_tk(self, future, lambda _: self._done(done), self._failed)

    # -- what is shown -----------------------------------------------------------------------

    def _show(self, state: AuthState) -> None:
        self.headline.configure(text=headline(state))
        if state.is_authenticated and state.user is not None and state.session is not None:
            self.user.configure(text=state.user.email or "")
            self.session.configure(text=state.session.id[:8])
            self.page(self.account)
        else:
            self.page(None if state.is_loading else self.form)
        if trouble(state):
            self.complain(trouble(state))
        elif self._trouble:
            self.say("")
        self._trouble = trouble(state)

    def _count_down(self) -> None:
        self.token.configure(text=remaining(self.auth.token.value))
        if self.auth.token.value is not None and self._timer is None:
            self._timer = self.after(1000, self._second)

    def _second(self) -> None:
        self._timer = None
        self._count_down()

    def _enable(self, enabled: bool) -> None:
        for button in (self.sign_in, self.change, self.sign_out, self.outage):
            button.state(["!disabled" if enabled else "disabled"])

    def _done(self, text: str) -> None:
        self._enable(True)
        self.say(text)
        for field in (self.password, self.current, self.new):
            field.delete(0, "end")

    def _failed(self, error: Exception) -> None:
        self._enable(True)
        if not isinstance(error, AuthError):
            raise error
        self.complain(str(error.args[0]))

    def _toggle_outage(self) -> None:
        down = self.server.toggle_outage()
        self.outage.configure(text="End the outage" if down else "Simulate an outage")
        self._call(self.client.refetch.future())  # an outage shows when something is asked for


def _rows(parent: tkinter.Misc) -> ttk.Frame:
    frame = ttk.Frame(parent)
    frame.columnconfigure(1, weight=1)
    return frame


def _field(parent: tkinter.Misc, row: int, name: str, show: str = "") -> ttk.Entry:
    ttk.Label(parent, text=name).grid(row=row, column=0, sticky="w", padx=(0, 16), pady=4)
    entry = ttk.Entry(parent, show=show, width=32)
    entry.grid(row=row, column=1, sticky="ew", pady=4)
    return entry


def _fact(parent: tkinter.Misc, row: int, name: str, family: font.Font | None) -> ttk.Label:
    ttk.Label(parent, text=name).grid(row=row, column=0, sticky="w", padx=(0, 16), pady=4)
    label = ttk.Label(parent) if family is None else ttk.Label(parent, font=family)
    label.grid(row=row, column=1, sticky="w", pady=4)
    return label


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app until its window is closed."""
    options = arguments("tk", argv)
    with example_server(options.url) as server, connect_blocking(server.url) as auth:
        window = tkinter.Tk()
        Window(window, auth, server)
        window.mainloop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
