"""The card in a real JupyterLab, in a real browser."""

from __future__ import annotations

from pathlib import Path

import psutil
from playwright.sync_api import expect

from .lab import lab

SET_UP = """
from reactive_auth.jupyter import connect
auth = connect(server.url, transport=server.transport, timeout=3)
auth"""
CELLS = [
    """
from reactive_auth.embedded import EmbeddedServer
server = EmbeddedServer()
""",
    SET_UP,
    """
await auth.client.sign_up_email(email="ada@example.com", password="pw-of-a-cell", name="Ada")
None""",
    """
before = auth.session.value.session.id
await auth.client.change_password(
    current_password="pw-of-a-cell", new_password="s3cr3t-of-the-form", revoke_other_sessions=True
)
print(before != auth.session.value.session.id, auth.session.value.session.id[:8])
""",
    """
server.faults.down()
try:
    await auth.client.refetch()
except Exception as error:
    print(type(error).__name__)
""",
    "server.faults.up()",
    """
import gc, ipywidgets
from reactive_auth import AuthProvider
gc.collect()
live = [p for p in gc.get_objects() if isinstance(p, AuthProvider) and not p.closed]
cards = [w for w in ipywidgets.Widget._instances.values() if type(w).__name__ == "AuthCard"] if (
    hasattr(ipywidgets.Widget, "_instances")) else [
    w for w in ipywidgets.widgets.widget._instances.values() if type(w).__name__ == "AuthCard"]
print(len(live), len(cards))
""",
    "auth.session",
]


def test_u9_the_card_in_jupyterlab(tmp_path: Path) -> None:
    with lab(tmp_path, CELLS) as notebook:
        notebook.run_cell(0)
        notebook.run_cell(1)
        card = notebook.cell(1).locator(".reactive-auth-card")
        headline = card.locator(".headline")
        expect(headline).to_have_text("Signed out")
        assert notebook.output(1).count() == 1

        notebook.run_cell(2)
        expect(headline).to_have_text("Ada")
        expect(card.locator("dd").nth(2)).to_have_text("14:57")  # counts down by itself

        notebook.run_cell(3)
        changed, short = notebook.output(3).inner_text().split()
        assert changed == "True"
        expect(card.locator("dd").nth(1)).to_have_text(short)
        expect(headline).to_have_text("Ada")

        notebook.run_cell(4)
        expect(headline).to_have_text("Ada · reconnecting…")
        expect(card.locator(".trouble")).to_contain_text("connection refused")
        notebook.run_cell(5)
        expect(headline).to_have_text("Ada")

        card.get_by_role("button", name="Refresh token").click()
        expect(card.locator("dd").nth(2)).to_have_text("14:59")
        card.get_by_role("button", name="Sign out").click()
        expect(headline).to_have_text("Signed out")

        card.get_by_placeholder("E-mail").fill("ada@example.com")
        card.get_by_placeholder("Password").fill("wrong")
        card.get_by_role("button", name="Sign in").click()
        expect(card.locator(".trouble")).to_contain_text("nvalid")
        card.get_by_placeholder("Password").fill("s3cr3t-of-the-form")
        card.get_by_role("button", name="Sign in").click()
        expect(headline).to_have_text("Ada")

        notebook.run_cell(7)
        expect(notebook.output(7)).to_contain_text("signed in · ada@example.com")

        notebook.run_cell(1)
        notebook.run_cell(1)
        expect(card).to_have_count(1)
        expect(headline).to_have_text("Ada")
        notebook.run_cell(6)
        assert notebook.output(6).inner_text().strip() == "1 1"

        notebook.page.keyboard.press("Control+s")
        file = tmp_path / "it.ipynb"
        notebook.page.wait_for_function(
            "() => !document.querySelector('.jp-mod-dirty')", timeout=15_000
        )
        assert "s3cr3t-of-the-form" not in file.read_text("utf-8").replace(CELLS[3], "").replace(
            'new_password=\\"s3cr3t-of-the-form\\"', ""
        )

        kernels = _kernels()
        assert len(kernels) == 1
        notebook.restart_kernel()
        gone, _ = psutil.wait_procs(kernels, timeout=15)
        assert gone
    assert not _kernels()


def _kernels() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "ipykernel_launcher" in " ".join(p.cmdline())]
