"""Fixtures of the dashboard's tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can say `from stage import …`

from stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A session on disk, and an engine that says what the test wants."""
    return Stage(tmp_path)


@pytest.fixture(autouse=True)
def _ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
