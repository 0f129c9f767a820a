"""The Qt examples, without a display: ``python -m tests.screenshots.qt FOLDER``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_QUICK_BACKEND", "software")

from qtpy.QtCore import QDeadlineTimer, QEventLoop, QObject, QTimer
from qtpy.QtQuick import QQuickWindow
from qtpy.QtWidgets import QApplication

from reactive_auth import BlockingAuth, connect_blocking
from reactive_auth.examples.qt import Window
from reactive_auth.examples.qt_quick import load
from reactive_auth.examples.server import EMAIL, PASSWORD, ExampleServer, example_server

NEW_PASSWORD = "battery staple"


def shots(folder: Path) -> list[Path]:
    """Make the pictures; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication.instance() or QApplication([])
    made: list[Path] = []
    for name, take in (("qt", _widgets), ("qt_quick", _quick)):
        with example_server() as server, connect_blocking(server.url) as auth:

            def keep(picture: QQuickWindow | Window, state: str, name: str = name) -> None:
                app.processEvents()
                path = folder / f"{name}_{state}.png"
                grab = getattr(picture, "grabWindow", None) or picture.grab
                assert grab().save(str(path))
                made.append(path)

            take(auth, server, keep)
    return made


def _until(condition: Callable[[], object]) -> None:
    loop, deadline = QEventLoop(), QDeadlineTimer(10_000)
    timer = QTimer()
    timer.timeout.connect(lambda: loop.quit() if condition() or deadline.hasExpired() else None)
    timer.start(5)
    loop.exec()
    assert condition()


def _widgets(auth: BlockingAuth, server: ExampleServer, keep: Callable[..., None]) -> None:
    window = Window(auth, server)
    window.show()
    _until(lambda: window.headline.text() == "Signed out")
    window.email.setText(EMAIL)
    window.password.setText("wrong horse")
    window.sign_in.click()
    _until(lambda: window.message.text() and not window.model.busy)
    keep(window, "1_refused")
    window.password.setText(PASSWORD)
    window.sign_in.click()
    _until(lambda: window.token.text() not in ("", "–") and not window.model.busy)
    keep(window, "2_signed_in")
    window.outage.click()
    _until(lambda: "reconnecting" in window.headline.text() and not window.model.busy)
    keep(window, "3_reconnecting")
    window.outage.click()
    _until(lambda: not window.message.text() and not window.model.busy)
    window.current.setText(PASSWORD)
    window.new.setText(NEW_PASSWORD)
    window.change.click()
    _until(lambda: window.message.text() and window.token.text() != "–")
    keep(window, "4_password_changed")


def _quick(auth: BlockingAuth, server: ExampleServer, keep: Callable[..., None]) -> None:
    engine = load(auth, server)
    (window,) = engine.rootObjects()

    def item(name: str) -> QObject:
        return window.findChild(QObject, name)

    def text(name: str) -> str:
        return item(name).property("text")

    _until(lambda: text("headline") == "Signed out")
    item("email").setProperty("text", EMAIL)
    item("password").setProperty("text", "wrong horse")
    item("signIn").clicked.emit()
    _until(lambda: text("message") and item("signIn").property("enabled"))
    keep(window, "1_refused")
    item("password").setProperty("text", PASSWORD)
    item("signIn").clicked.emit()
    _until(lambda: text("session") and item("signOut").property("enabled"))
    keep(window, "2_signed_in")
    item("outage").clicked.emit()
    _until(lambda: "reconnecting" in text("headline") and item("signOut").property("enabled"))
    keep(window, "3_reconnecting")
    server.toggle_outage()
    auth.client.refetch()
    window.close()


if __name__ == "__main__":
    for path in shots(Path(sys.argv[1])):
        print(path)
