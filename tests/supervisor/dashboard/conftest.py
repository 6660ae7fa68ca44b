"""Fixtures of the dashboard's tests."""

from pathlib import Path

import pytest
from support.fake_engine import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A session on disk, and an engine that says what the test wants."""
    return Stage(tmp_path)


@pytest.fixture(autouse=True)
def _ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
