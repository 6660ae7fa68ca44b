"""A session recorded with version 0.1.0; README.md in this folder describes it."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path

_HERE = Path(__file__).parent
_SOURCE = _HERE.parents[2]
_TEXT = (".json", ".jsonl", ".toml", ".log")
# The checkpoint is bf16, which `auto` chose where it was recorded; a checkpoint of another precision is not resumed.
_PRECISION = {
    b'"--checkpoint-seconds",\n    "0",': '"--checkpoint-seconds",\n    "0",\n    "--precision",\n    "bf16",'
}
_NO_PID = 1 << 22  # one more than Linux gives to a process

STAMP = "20261127_023626"
EXPECTED = json.loads((_HERE / "expected.json").read_text())  # points, shape (n, 19), and predictions of model.pt


def restore_session(root: Path) -> Path:
    """Unpack the logs folder into `root/logs`, as if the session had been started there by this user.

    Returns:
        The session folder.
    """
    logs = root / "logs"
    with tarfile.open(_HERE / "recorded_session.tar.xz") as archive:
        archive.extractall(logs, filter="data")
    replacements = {b"@ROOT@": root, b"@PYTHON@3": sys.executable, b"@SOURCE@": _SOURCE, **_PRECISION}
    for path in logs.rglob("*"):
        if path.is_file() and path.suffix in _TEXT:
            text = path.read_bytes()
            for placeholder, value in replacements.items():
                text = text.replace(placeholder, os.fsencode(value))
            path.write_bytes(text)
    folder = logs / f"session_{STAMP}"
    _update(folder / "settings.json", owner=os.getuid())
    _update(logs / ".engine.lock", pid=_NO_PID)
    return folder


def _update(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
