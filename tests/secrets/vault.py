"""Every secret of a run, and whether a text shows one of them, whole or in part."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

#: So many characters in a row of a secret are a leak: asyncio's debug mode cuts reprs to a dozen.
WINDOW = 10


class Vault:
    """Holds them so that the variables of a test's own frames show none."""

    def __init__(self) -> None:
        self._windows: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self.kinds: set[str] = set()

    def make(self, kind: str, value: str) -> None:
        """Invent one, which :meth:`__getitem__` gives."""
        self._held[kind] = value
        self.add(kind, value)

    def __getitem__(self, kind: str) -> str:
        return self._held[kind]

    def add(self, kind: str, value: str | None) -> None:
        """Take note of one. Of a JWT the signature, which alone is secret."""
        if not value:
            return
        self.kinds.add(kind)
        if value.count(".") == 2 and value.startswith("eyJ"):
            value = value.rpartition(".")[2]
        for form in {value, unquote(value), quote(value, safe="")}:
            assert len(form) >= WINDOW, f"the {kind} is too short to be looked for"
            for start in range(len(form) - WINDOW + 1):
                self._windows[form[start : start + WINDOW]] = kind

    def add_answer(self, headers: Any, body: bytes) -> None:
        """Take note of what an answer of an auth server holds."""
        for line in headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.add(f"cookie {name.rpartition('.')[2]}", rest.partition(";")[0])
        for name in ("set-auth-token", "set-auth-jwt"):
            self.add(name, headers.get(name))
        try:
            self._add_tokens(json.loads(body))
        except ValueError:
            return

    def _add_tokens(self, data: Any) -> None:
        if isinstance(data, dict):
            if isinstance(data.get("token"), str):
                self.add("token in a body", data["token"])
            for value in data.values():
                self._add_tokens(value)
        elif isinstance(data, list):
            for value in data:
                self._add_tokens(value)

    def found_in(self, text: str) -> str | None:
        """What of a secret a text shows, with the line it is in."""
        for start in range(len(text) - WINDOW + 1):
            kind = self._windows.get(text[start : start + WINDOW])
            if kind is not None:
                line = text[max(0, start - 200) : start + 60]
                return f"{kind}: …{line}…"
        return None

    def __repr__(self) -> str:
        return f"<Vault of {len(self.kinds)} kinds of secrets>"
