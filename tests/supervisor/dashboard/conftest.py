"""Fixtures of the dashboard's tests."""

from pathlib import Path

import pytest
from support.fake_engine import FakeEngine


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    """A session on disk, and its fake engine."""
    return FakeEngine(tmp_path)


@pytest.fixture(autouse=True)
def _ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
