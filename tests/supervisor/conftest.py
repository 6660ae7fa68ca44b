"""Fixtures of the supervisor's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from attempts import Workplace


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A folder for attempts, which all have ended when the test has."""
    place = Workplace(tmp_path)
    yield place
    place.end()
