"""A window of Qt widgets: ``python -m reactive_auth.examples.qt [--url URL]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..blocking import BlockingAuth, connect_blocking
from ..ui.qt import AuthModel
from .server import ExampleServer, arguments, example_server

if TYPE_CHECKING:
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QFont, QFontDatabase, QPalette
    from PySide6.QtWidgets import (
        QApplication,
        QFormLayout,
        QGroupBox,
        QHBoxLayout,
        QLabel,
        QLineEdit,
        QPushButton,
        QStackedWidget,
        QVBoxLayout,
        QWidget,
    )
else:
    from qtpy.QtCore import Qt
    from qtpy.QtGui import QFont, QFontDatabase, QPalette
    from qtpy.QtWidgets import (
        QApplication,
        QFormLayout,
        QGroupBox,
        QHBoxLayout,
        QLabel,
        QLineEdit,
        QPushButton,
        QStackedWidget,
        QVBoxLayout,
        QWidget,
    )

__all__ = ["Window", "main"]


class _Look(QWidget):
    """The widgets, and nothing else."""

    def __init__(self, server: ExampleServer) -> None:
        super().__init__()
        self.setWindowTitle("reactive_auth · Qt")
        self.headline = QLabel()
        font = self.headline.font()
        font.setPointSizeF(font.pointSizeF() * 1.6)
        font.setWeight(QFont.Weight.DemiBold)
        self.headline.setFont(font)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setMinimumHeight(2 * self.message.fontMetrics().lineSpacing())
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.waiting, self.form, self.account = (
            QWidget(),
            self._make_form(server.hint),
            self._make_account(),
        )
        self.pages = QStackedWidget()
        for page in (self.waiting, self.form, self.account):
            self.pages.addWidget(page)
        column = QVBoxLayout(self)
        column.setContentsMargins(28, 24, 28, 24)
        column.setSpacing(12)
        for widget in (self.headline, self.message, self.pages):
            column.addWidget(widget)
        column.setStretchFactor(self.pages, 1)
        self.setMinimumWidth(440)
        self.outage.setVisible(server.embedded is not None)

    def _say(self, text: str, colour: str = "#2e7d32") -> None:
        self.message.setStyleSheet(f"color: {colour}")
        self.message.setText(text)

    def _complain(self, text: str) -> None:
        self._say(text, "#c62828")

    def _make_form(self, hint: str) -> QWidget:
        self.email, self.password = QLineEdit(), _secret()
        self.sign_in = QPushButton("Sign in")
        self.password.returnPressed.connect(self.sign_in.click)
        self.email.returnPressed.connect(self.password.setFocus)
        note = QLabel(hint)
        note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        page = QWidget()
        rows = _rows(page)
        rows.addRow("E-mail", self.email)
        rows.addRow("Password", self.password)
        rows.addRow("", _right(self.sign_in))
        rows.addRow(note)
        return page

    def _make_account(self) -> QWidget:
        self.user, self.session, self.token = QLabel(), QLabel(), QLabel()
        fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        for label in (self.session, self.token):
            label.setFont(fixed)
        facts = QWidget()
        rows = _rows(facts)
        for name, label in (
            ("E-mail", self.user),
            ("Session", self.session),
            ("Token good for", self.token),
        ):
            rows.addRow(name, label)

        self.current, self.new = _secret(), _secret()
        self.change = QPushButton("Change password")
        self.new.returnPressed.connect(self.change.click)
        box = QGroupBox("Password")
        rows = _rows(box, margin=12)
        rows.addRow("Current", self.current)
        rows.addRow("New", self.new)
        rows.addRow("", _right(self.change))

        self.outage, self.sign_out = QPushButton("Simulate an outage"), QPushButton("Sign out")
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        for widget in (facts, box):
            column.addWidget(widget)
        column.addStretch()
        column.addWidget(_right(self.sign_out, left=self.outage))
        return page


class Window(_Look):
    """Who is signed in, and what to do about it."""

    def __init__(self, auth: BlockingAuth, server: ExampleServer) -> None:
        super().__init__(server)
        self.server = server
        self._trouble = ""
        # All there is about auth: signals of the model to this window, its buttons to slots.
        self.model = model = AuthModel(auth, self)
        model.changed.connect(self._show)
        model.failed.connect(self._complain)
        model.succeeded.connect(self._done)
        self.sign_in.clicked.connect(lambda: model.signIn(self.email.text(), self.password.text()))
        self.change.clicked.connect(
            lambda: model.changePassword(self.current.text(), self.new.text())
        )
        self.sign_out.clicked.connect(model.signOut)
        self.outage.clicked.connect(self._toggle_outage)
        self._show()

    def _show(self) -> None:
        model = self.model
        self.headline.setText(model.headline)
        page = self.account if model.isAuthenticated else self.form
        self.pages.setCurrentWidget(self.waiting if model.isLoading else page)
        self.user.setText(model.userEmail)
        self.session.setText(model.sessionId)
        self.token.setText(model.tokenRemaining)
        for button in (self.sign_in, self.change, self.sign_out, self.outage):
            button.setDisabled(model.busy)
        if model.trouble or self._trouble:
            self._complain(model.trouble)
        self._trouble = model.trouble

    def _done(self, slot: str) -> None:
        if slot == "refetch":
            return
        self._say("Password changed, session renewed" if slot == "changePassword" else "")
        for field in (self.password, self.current, self.new):
            field.clear()

    def _toggle_outage(self) -> None:
        down = self.server.toggle_outage()
        self.outage.setText("End the outage" if down else "Simulate an outage")
        self.model.refetch()  # an outage shows when something is asked for


def _rows(parent: QWidget, *, margin: int = 0) -> QFormLayout:
    rows = QFormLayout(parent)
    rows.setContentsMargins(margin, margin, margin, margin)
    rows.setVerticalSpacing(10)
    rows.setHorizontalSpacing(16)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def _secret() -> QLineEdit:
    field = QLineEdit()
    field.setEchoMode(QLineEdit.EchoMode.Password)
    return field


def _right(button: QPushButton, *, left: QPushButton | None = None) -> QWidget:
    row = QWidget()
    line = QHBoxLayout(row)
    line.setContentsMargins(0, 0, 0, 0)
    if left is not None:
        line.addWidget(left)
    line.addStretch()
    line.addWidget(button)
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app until its window is closed."""
    options = arguments("qt", argv)
    app = QApplication.instance() or QApplication(sys.argv[:1])
    with example_server(options.url) as server, connect_blocking(server.url) as auth:
        window = Window(auth, server)
        window.show()
        return app.exec()


if __name__ == "__main__":
    sys.exit(main())
