"""What the faults are made with."""

from __future__ import annotations

import pytest

from .certificates import Certificates, make_certificates


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))
