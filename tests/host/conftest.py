"""A host of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.support import LocalHost


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    """A host below a directory, with nothing on it."""
    return LocalHost(tmp_path / "host")
