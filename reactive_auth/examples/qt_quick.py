"""The same window in QML: ``python -m reactive_auth.examples.qt_quick [--url URL]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..blocking import BlockingAuth, connect_blocking
from ..ui.qt import AuthModel
from .server import ExampleServer, arguments, example_server

if TYPE_CHECKING:
    from PySide6.QtCore import Property, QObject, Signal, Slot
    from PySide6.QtGui import QGuiApplication
    from PySide6.QtQml import QQmlApplicationEngine
else:
    from qtpy.QtCore import Property, QObject, Signal, Slot
    from qtpy.QtGui import QGuiApplication
    from qtpy.QtQml import QQmlApplicationEngine

__all__ = ["load", "main"]

QML = """
import QtQuick
import QtQuick.Controls
import QtQuick.Layouts

ApplicationWindow {
    id: window
    required property QtObject auth
    required property QtObject server
    property string note
    title: "reactive_auth · Qt Quick"
    visible: true
    width: 440
    height: 420

    Connections {
        target: window.auth
        function onFailed(message) { window.note = message }
        function onSucceeded(call) {
            window.note = call === "changePassword" ? "Password changed, session renewed" : ""
            if (call !== "refetch")
                for (const field of [password, current, next])
                    field.clear()
        }
    }

    ColumnLayout {
        anchors { fill: parent; leftMargin: 28; rightMargin: 28; topMargin: 24; bottomMargin: 24 }
        spacing: 12
        Label {
            objectName: "headline"
            text: window.auth.headline
            font.pointSize: 16; font.weight: Font.DemiBold
        }
        Label {
            objectName: "message"
            text: window.auth.trouble || window.note
            color: !window.auth.trouble && window.note.startsWith("Password changed")
                   ? "#2e7d32" : "#c62828"
            wrapMode: Text.Wrap
            Layout.fillWidth: true
            Layout.minimumHeight: 32
            verticalAlignment: Text.AlignTop
        }
        StackLayout {
            currentIndex: window.auth.isLoading ? 0 : window.auth.isAuthenticated ? 2 : 1
            Item {}
            ColumnLayout {
                spacing: 10
                TextField {
                    id: email; objectName: "email"
                    placeholderText: "E-mail"
                    Layout.fillWidth: true
                }
                TextField {
                    id: password; objectName: "password"
                    placeholderText: "Password"
                    echoMode: TextInput.Password
                    onAccepted: signIn.clicked()
                    Layout.fillWidth: true
                }
                Button {
                    id: signIn; objectName: "signIn"
                    text: "Sign in"
                    enabled: !window.auth.busy
                    onClicked: window.auth.signIn(email.text, password.text)
                    Layout.alignment: Qt.AlignRight
                }
                Label { text: window.server.hint; opacity: 0.6 }
                Item { Layout.fillHeight: true }
            }
            ColumnLayout {
                spacing: 10
                GridLayout {
                    columns: 2; columnSpacing: 16; rowSpacing: 10
                    Label { text: "E-mail" }
                    Label { text: window.auth.userEmail }
                    Label { text: "Session" }
                    Label {
                        objectName: "session"
                        text: window.auth.sessionId
                        font.family: "monospace"
                    }
                    Label { text: "Token good for" }
                    Label { text: window.auth.tokenRemaining; font.family: "monospace" }
                }
                TextField {
                    id: current; objectName: "current"
                    placeholderText: "Current password"
                    echoMode: TextInput.Password
                    Layout.fillWidth: true
                    Layout.topMargin: 12
                }
                TextField {
                    id: next; objectName: "next"
                    placeholderText: "New password"
                    echoMode: TextInput.Password
                    onAccepted: change.clicked()
                    Layout.fillWidth: true
                }
                Button {
                    id: change; objectName: "change"
                    text: "Change password"
                    leftPadding: 12; rightPadding: 12
                    enabled: !window.auth.busy
                    onClicked: window.auth.changePassword(current.text, next.text)
                    Layout.alignment: Qt.AlignRight
                }
                Item { Layout.fillHeight: true }
                RowLayout {
                    Button {
                        objectName: "outage"
                        visible: window.server.ours
                        text: window.server.down ? "End the outage" : "Simulate an outage"
                        leftPadding: 12; rightPadding: 12
                        onClicked: { window.server.toggleOutage(); window.auth.refetch() }
                    }
                    Item { Layout.fillWidth: true }
                    Button {
                        objectName: "signOut"
                        text: "Sign out"
                        enabled: !window.auth.busy
                        onClicked: window.auth.signOut()
                    }
                }
            }
        }
    }
}
"""


class Server(QObject):
    """What the window needs to know of the server."""

    changed = Signal()

    def __init__(self, server: ExampleServer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server = server
        self._down = False

    hint = Property(str, lambda self: self._server.hint, constant=True)
    ours = Property(bool, lambda self: self._server.embedded is not None, constant=True)
    down = Property(bool, lambda self: self._down, notify=changed)

    @Slot()
    def toggleOutage(self) -> None:  # noqa: N802  # as QML has it
        """Make the server unreachable, or reachable again."""
        self._down = self._server.toggle_outage()
        self.changed.emit()


def load(auth: BlockingAuth, server: ExampleServer) -> QQmlApplicationEngine:
    """The window. All there is about auth is the model that it is given."""
    engine = QQmlApplicationEngine()
    engine.setInitialProperties(
        {"auth": AuthModel(auth, engine), "server": Server(server, engine)},
    )
    engine.loadData(QML.encode())
    return engine


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app until its window is closed."""
    options = arguments("qt_quick", argv)
    app = QGuiApplication.instance() or QGuiApplication(sys.argv[:1])
    with example_server(options.url) as server, connect_blocking(server.url) as auth:
        engine = load(auth, server)
        code = app.exec()
        del engine  # with its window, before auth is closed
        return code


if __name__ == "__main__":
    sys.exit(main())
