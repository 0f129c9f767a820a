"""A deployment for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .deployment import Deployment, deployed


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with deployed() as server:
        yield server
