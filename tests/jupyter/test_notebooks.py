"""The notebooks run from top to bottom, and what is committed with them is what they say."""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import json
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient import NotebookClient

from reactive_auth.testing import make_jwt

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = (
    "01_first_steps.ipynb",
    "02_composing.ipynb",
    "03_when_things_go_wrong.ipynb",
    "04_own_token_source_and_tests.ipynb",
)

#: How many marble diagrams each shows.
PICTURES = dict(zip(NAMES, (3, 0, 5, 1), strict=True))

#: What no output may hold.
PRIVATE = {
    "a JWT": r"eyJ[\w-]{8,}",
    "a cookie": r"session_(?:token|data)[\"']?\s*[=:]\s*[\"']?[\w%.-]{8,}",
    "an authorization header": r"(?i)\bbearer\s+[\w-]{16,}",
    "a path of the machine": r"(?:/home/|/root/|/tmp/|/Users/|/private/var/|[A-Za-z]:\\+Users\\)",
    "a memory address": r"\bat 0x[0-9a-fA-F]{6,}",
}

#: Run before a notebook: notes every cookie and token that its servers answer with.
WATCH = """
import re
from reactive_auth.embedded import EmbeddedServer
_answer, _secrets = EmbeddedServer.answer, set()
async def _watched(self, *arguments):
    reply = await _answer(self, *arguments)
    for name, value in reply.headers if reply else ():
        if name.lower() == "set-cookie":
            _secrets.update(re.split("[=;]", value)[1:2])
    _secrets.update(re.findall(r'"token":\\s*"([^"]+)"', reply.body.decode() if reply else ""))
    return reply
EmbeddedServer.answer = _watched
"""

#: Run after it.
TELL = """
import json, pathlib
_ = pathlib.Path(%r).write_text(json.dumps(sorted(_secrets)))
"""

#: No cell takes longer (seconds).
PATIENCE = 60


def committed(name: str) -> Any:
    return nbformat.read(FOLDER / name, as_version=4)


@functools.cache
def _executed(name: str) -> tuple[Any, list[str]]:
    notebook = committed(name)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as outside, warnings.catch_warnings():
        # Windows: pyzmq tells of the event loop that Jupyter's client has there.
        warnings.filterwarnings("ignore", message="Proactor event loop", category=RuntimeWarning)
        folder, secrets = Path(outside, "empty"), Path(outside, "secrets.json")
        folder.mkdir()
        notebook.cells.insert(0, nbformat.v4.new_code_cell(WATCH))
        notebook.cells.append(nbformat.v4.new_code_cell(TELL % str(secrets)))
        client = NotebookClient(
            notebook,
            timeout=PATIENCE,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        )
        asyncio.run(client.async_execute())
        assert not list(folder.iterdir()), "it left files behind"
        told = json.loads(secrets.read_text("utf-8"))
    del notebook.cells[0], notebook.cells[-1]
    return notebook, [secret for secret in told if len(secret) >= 16]


def executed(name: str) -> Any:
    """A copy of the notebook as it comes out when it is run in an empty folder."""
    return copy.deepcopy(_executed(name)[0])


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> Iterator[Any]:
    for cell in code_cells(notebook):
        yield from cell.outputs


def texts(output: Any) -> Iterator[str]:
    """Everything in an output that anybody could read, in pictures too."""
    shown = [output.get(key, "") for key in ("text", "ename", "evalue", "traceback")]
    for text in map(str, (*shown, *output.get("data", {}).values())):
        yield EMBEDDED.sub(_decoded, text)


#: How pictures are committed: JupyterLab shows no inline SVG of a notebook it does not trust.
EMBEDDED = re.compile(r"data:image/svg\+xml;base64,([\w+/=]+)")


def _decoded(found: re.Match[str]) -> str:
    return base64.b64decode(found[1]).decode()


def private_in(notebook: Any) -> list[str]:
    return [
        f"{kind}: {found.group()[:20]}"
        for output in outputs(notebook)
        for text in texts(output)
        for kind, pattern in PRIVATE.items()
        for found in re.finditer(pattern, text)
    ]


def pictures(notebook: Any) -> list[ElementTree.Element]:
    shown = (
        EMBEDDED.sub(_decoded, output.get("data", {}).get("text/html", ""))
        for output in outputs(notebook)
    )
    found = [svg for text in shown for svg in re.findall(r"<svg\b.*?</svg>", text, re.DOTALL)]
    return [ElementTree.fromstring(svg) for svg in found]


def words_in(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text")]


def titles_in(picture: ElementTree.Element) -> list[str]:
    return [title.text or "" for title in picture.iter("{http://www.w3.org/2000/svg}title")]


def test_these_are_all_there_are() -> None:
    assert sorted(path.name for path in FOLDER.iterdir() if path.suffix == ".ipynb") == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom_and_says_nothing_on_stderr(name: str) -> None:
    notebook = executed(name)
    assert code_cells(notebook)
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_was_run_in_order_before_it_was_committed(name: str) -> None:
    cells = code_cells(committed(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [cell.source for cell in cells if not cell.source.strip()]
    for output in outputs(committed(name)):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"


@pytest.mark.parametrize("name", NAMES)
def test_it_shows_committed_what_it_shows_when_run(name: str) -> None:
    """So that nobody changes a cell and forgets to run it."""
    was, now = code_cells(committed(name)), code_cells(executed(name))
    for before, after in zip(was, now, strict=True):
        assert _kinds(before) == _kinds(after), before.source
        assert _steady(before) == _steady(after), before.source


@pytest.mark.parametrize("name", NAMES)
def test_s2_no_output_holds_a_secret_or_a_path_of_a_machine(name: str) -> None:
    assert private_in(committed(name)) == []
    assert private_in(executed(name)) == []
    for kind, pattern in PRIVATE.items():
        prose_and_code = "\n".join(cell.source for cell in committed(name).cells)
        assert not re.findall(pattern, prose_and_code), kind


@pytest.mark.parametrize("name", NAMES)
def test_s2_nothing_that_the_servers_gave_out_is_shown(name: str) -> None:
    notebook, secrets = _executed(name)
    assert len(secrets) > 5 or "EmbeddedServer" not in "".join(c.source for c in notebook.cells)
    shown = [text for output in outputs(notebook) for text in texts(output)]
    assert not [secret[:4] for secret in secrets for text in shown if secret in text]


@pytest.mark.parametrize(
    "text",
    [
        make_jwt({"sub": "u1"}),
        "Set-Cookie: better-auth.session_token=AbCdEf0123456789; Path=/",
        "{'better-auth.session_data': 'AbCdEf0123456789'}",
        "Authorization: Bearer 0123456789abcdef0123",
        "/home/ada/work/server.py:12: Warning",
        "/root/.cache",
        "/tmp/ipykernel_123/456.py:1",
        r"C:\Users\Ada\notebook",
        r"'C:\\Users\\Ada'",
        "<object object at 0x7f00deadbeef>",
    ],
)
@pytest.mark.parametrize("kind", ["stream", "text/plain", "text/html", "evalue", "a picture"])
def test_s2_what_must_not_be_there_would_be_found(text: str, kind: str) -> None:
    notebook = committed(NAMES[0])
    output = next(output for output in outputs(notebook) if "data" in output)
    assert private_in(notebook) == []
    if kind == "stream":
        output = next(output for output in outputs(notebook) if output.output_type == "stream")
        output["text"] += text
    elif kind == "evalue":
        output["evalue"] = text
    elif kind == "a picture":
        encoded = base64.b64encode(f"<title>{text}</title>".encode()).decode()
        output["data"]["text/html"] = f'<img src="data:image/svg+xml;base64,{encoded}">'
    else:
        output["data"][kind] = output["data"].get(kind, "") + text
    assert private_in(notebook)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", [committed, executed], ids=lambda source: source.__name__)
def test_the_pictures_are_there(name: str, source: Any) -> None:
    drawn = pictures(source(name))
    assert len(drawn) == PICTURES[name]
    for picture in drawn:
        assert {"session", "token"} <= set(words_in(picture))
        assert {"A", "a1"} <= set(words_in(picture))


@pytest.mark.parametrize("name", NAMES)
def test_its_pictures_are_shown_also_where_the_notebook_is_not_trusted(name: str) -> None:
    for output in outputs(committed(name)):
        shown = output.get("data", {}).get("text/html", "")
        assert "<svg" not in shown
        for svg in map(_decoded, EMBEDDED.finditer(shown)):
            assert output["data"]["image/svg+xml"] == svg
            assert "<script" not in svg


@pytest.mark.parametrize("source", [committed, executed], ids=lambda source: source.__name__)
def test_r1_the_first_shows_the_rotation_and_what_the_original_hook_does(source: Any) -> None:
    rotation, hook, ours = pictures(source(NAMES[0]))
    assert words_in(rotation).count("rotation") == 1
    assert [word for word in words_in(rotation) if word in ("a1", "b1")] == ["a1", "b1"]
    assert [title for title in titles_in(rotation) if "/token" in title and "cancelled" in title]
    # The hook's caller gets the dead session's token every time, and is refused from then on.
    assert [word for word in words_in(hook) if re.fullmatch(r"[ab]\d", word)] == ["a1"] * 5
    assert [word for word in words_in(ours) if re.fullmatch(r"[ab]\d", word)] == (
        ["a1"] * 2 + ["b1"] * 3
    )
    assert [sum(title.endswith(" 401") for title in titles_in(p)) for p in (hook, ours)] == [3, 0]
    assert [sum(title.endswith(" 200") for title in titles_in(p)) for p in (hook, ours)] == [2, 5]


@pytest.mark.parametrize("source", [committed, executed], ids=lambda source: source.__name__)
def test_the_third_shows_each_thing_that_goes_wrong(source: Any) -> None:
    outage, expired, clock, stale, sign_out = pictures(source(NAMES[2]))
    assert [title for title in titles_in(outage) if "failed" in title and "once more" in title]
    assert {"!", "a2"} <= set(words_in(outage))
    assert "out" not in words_in(outage)
    assert "end" in words_in(expired)
    assert [word for word in words_in(clock) if re.fullmatch(r"[a-z]\d", word)] == ["a1"]
    assert "!" not in words_in(clock)
    assert [word for word in words_in(stale) if re.fullmatch(r"[a-z]\d", word)] == ["a1", "b1"]
    assert [title for title in titles_in(stale) if "contradicts the current session" in title]
    assert [title for title in titles_in(sign_out) if "/token" in title and "cancelled" in title]
    assert words_in(sign_out).index("A") < words_in(sign_out).index("out")


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_no_other_kernel_and_keeps_nothing_of_the_machine_that_ran_it(name: str) -> None:
    notebook = committed(name)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert not [cell.id for cell in notebook.cells if cell.metadata]


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name: str) -> None:
    prose = "\n".join(cell.source for cell in committed(name).cells if cell.cell_type == "markdown")
    linked = re.findall(r"\]\(([^)]+)\)", prose)
    assert linked
    for link in linked:
        assert link.startswith("https://") or (FOLDER / link).exists(), link


def _kinds(cell: Any) -> set[str]:
    """What a cell shows. A widget is one only while its kernel runs; pictures are kept as files
    are, too."""
    shown: set[str] = set()
    for output in cell.outputs:
        shown |= {output.get("name", "")} | set(output.get("data", {}))
    return shown - {"", "application/vnd.jupyter.widget-view+json", "image/svg+xml"}


def _steady(cell: Any) -> str:
    """What a cell prints, without what is another each time."""
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    return re.sub(r"\d+\.\d+ s", "… s", printed)
