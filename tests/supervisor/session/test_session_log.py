"""The log of the session itself."""

import os
from datetime import datetime
from pathlib import Path

from pmssm.supervisor.logs.sanitize import sanitize_line
from pmssm.supervisor.session.session_log import SessionLog, log_line


def test_a_log_line_has_the_format_of_the_trainers() -> None:
    line = log_line("transformer", "Epoch 0100", at=0.0)
    date, rest = line[:19], line[19:]
    datetime.strptime(date, "%Y-%m-%d %H:%M:%S")
    assert rest == " [info     ] transformer          | Epoch 0100"
    assert log_line("x", "y", "warning", 0.0)[19:] == " [warning  ] x                    | y"


def test_lines_are_appended(tmp_path: Path) -> None:
    log = SessionLog(tmp_path / "training.log")
    log.write("one")
    log.write("two", "error")
    assert [line.split("| ")[1] for line in (tmp_path / "training.log").read_text().splitlines()] == ["one", "two"]


def test_a_line_that_is_not_utf8_is_spelt_out(tmp_path: Path) -> None:
    SessionLog(tmp_path / "training.log").write("path /caf\udce9")
    assert sanitize_line((tmp_path / "training.log").read_bytes()).endswith("path /caf\\udce9")


def test_a_fifo_or_folder_or_nothing_in_place_of_the_log_costs_only_the_line(tmp_path: Path) -> None:
    SessionLog(tmp_path / "absent" / "training.log").write("nowhere")
    os.mkfifo(tmp_path / "training.log")
    SessionLog(tmp_path / "training.log").write("nobody reads")
    SessionLog(tmp_path).write("a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["training.log"]


def test_a_full_disk_costs_only_the_line(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    SessionLog(tmp_path / "full").write("no room")
