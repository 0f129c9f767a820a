"""The Tk example, on a screen of its own: ``python -m tests.screenshots.tk FOLDER``."""

from __future__ import annotations

import sys
import time
import tkinter
from collections.abc import Callable
from pathlib import Path

from PIL import ImageGrab

from reactive_auth import connect_blocking
from reactive_auth.examples.server import EMAIL, PASSWORD, example_server
from reactive_auth.examples.tk import Window
from tests.ui.display import display

NEW_PASSWORD = "battery staple"


def shots(folder: Path) -> list[Path]:
    """The sign-in form with an error, signed in, password changed, reconnecting."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    with display(), example_server() as server, connect_blocking(server.url) as auth:
        root = tkinter.Tk()
        window = Window(root, auth, server)

        def until(condition: Callable[[], object]) -> None:
            end = time.monotonic() + 10
            while not condition():
                assert time.monotonic() < end, "in vain"
                root.update()
                root.tk.call("after", 1)

        def keep(state: str) -> None:
            root.focus_force()
            root.update()
            made.append(folder / f"tk_{state}.png")
            left, top = root.winfo_rootx(), root.winfo_rooty()
            box = (left, top, left + root.winfo_width(), top + root.winfo_height())
            ImageGrab.grab(box).save(made[-1])

        def idle() -> bool:
            return not window.sign_out.instate(["disabled"])

        until(lambda: window.form.winfo_ismapped())
        window.email.insert(0, EMAIL)
        window.password.insert(0, "wrong horse")
        window.sign_in.invoke()
        until(lambda: window.message.cget("text") and idle())
        keep("1_refused")
        window.password.delete(0, "end")
        window.password.insert(0, PASSWORD)
        window.sign_in.invoke()
        until(lambda: window.account.winfo_ismapped() and idle())
        until(lambda: ":" in window.token.cget("text"))
        keep("2_signed_in")
        window.current.insert(0, PASSWORD)
        window.new.insert(0, NEW_PASSWORD)
        window.change.invoke()
        until(lambda: window.message.cget("text") and idle())
        keep("3_password_changed")
        window.outage.invoke()
        until(lambda: "reconnecting" in window.headline.cget("text") and idle())
        keep("4_reconnecting")
        root.destroy()
    return made


if __name__ == "__main__":
    for path in shots(Path(sys.argv[1])):
        print(path)
