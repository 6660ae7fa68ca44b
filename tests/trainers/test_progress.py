from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from pmssm.trainers import progress
from pmssm.trainers.data import survey
from pmssm.trainers.data.scan_files import ScanSelection
from support.bad_scan_files import columns, npz


class Lines:
    """The log, which can be waited for."""

    def __init__(self, wanted: int) -> None:
        self.lines: list[str] = []
        self.wanted = wanted
        self.arrived = threading.Event()

    def info(self, text: str, *values: object) -> None:
        self.lines.append(text % values)
        if len(self.lines) >= self.wanted:
            self.arrived.set()


def test_a_long_task_is_logged_while_it_lasts_and_not_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Lines(3)
    monkeypatch.setattr(progress, "LOGGER", log)
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.01)
    before = threading.active_count()
    with progress.log_progress() as running:
        running.task = "Reading scan.npz (1 of 1): 100 rows"
        assert log.arrived.wait(20)
    assert log.lines[-1] == "Reading scan.npz (1 of 1): 100 rows, 0 s so far"
    assert threading.active_count() == before


def test_a_short_task_and_one_that_fails_leave_no_line_and_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Lines(1)
    monkeypatch.setattr(progress, "LOGGER", log)
    monkeypatch.setattr(progress, "FIRST_LINE_S", 60)
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), progress.log_progress():
        raise ZeroDivisionError
    assert not log.lines
    assert threading.active_count() == before


def test_a_slow_file_is_named_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Lines(1)
    monkeypatch.setattr(progress, "LOGGER", log)
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.01)
    read = survey.read_scan

    def slow(*arguments: object) -> object:
        result = read(*arguments)  # type: ignore[arg-type]
        assert log.arrived.wait(20)
        return result

    monkeypatch.setattr(survey, "read_scan", slow)
    survey.check([str(npz(tmp_path, IN_mA=np.ones(len(columns()["IN_mA"]))))], ScanSelection())
    assert any(
        line.startswith(("Reading scan.npz (1 of 1)", "Looking for copies among 40 points")) for line in log.lines
    )
