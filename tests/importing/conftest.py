"""A source to import and where to."""

from pathlib import Path

import pytest
from import_source import Folder


@pytest.fixture
def source(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "source")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
