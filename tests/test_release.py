"""What a release rests on: one version, told in the same words everywhere."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import reactive_auth

ROOT = Path(__file__).resolve().parent.parent


def test_the_package_and_its_metadata_tell_the_same_version() -> None:
    assert version("reactive-auth") == reactive_auth.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" not in project, "it stands in the package alone"


def test_the_changelog_begins_with_this_version_or_with_what_is_unreleased() -> None:
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heads[0] == "Unreleased" or heads[0].startswith(reactive_auth.__version__)
