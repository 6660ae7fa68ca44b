"""Fixtures of the supervisor's tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shim_attempts import Workplace


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a path short enough for sockets, as pytest's own is not when tests run side by side."""
    with tempfile.TemporaryDirectory(prefix="pmssm-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A folder for attempts, which all have ended when the test has."""
    place = Workplace(tmp_path)
    yield place
    place.end()
