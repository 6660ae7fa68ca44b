"""Which scan files are meant, and what tells one input from another."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from ..errors import DataError

FORMAT = 1
"""Of the prepared folder; part of the fingerprint, so that a new format is a new input."""

SUFFIXES = (".root", ".csv")


@dataclass(frozen=True)
class Choice:
    """What part of the files is taken, and how it is split."""

    n_datasets: int | None = None
    n_samples: int | None = None
    max_rows: int | None = None
    seed: int = 42


def natural_key(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that puts `scan_2` before `scan_10`."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(part.isascii() and part.isdigit(), int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


def find_files(patterns: Sequence[str]) -> list[Path]:
    """The scan files that files, folders and globs name, resolved, each once, in natural order.

    Raises DataError where a pattern matches nothing, or names a file that is neither ROOT nor CSV.
    """
    found = {path.resolve() for pattern in patterns for path in _matches(pattern)}
    return sorted(found, key=natural_key)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path}: is neither a ROOT nor a CSV file; its name must end in .root or .csv")
        return [path]
    if path.is_dir():
        candidates, where = list(path.iterdir()), f"{path}: the folder holds no .root or .csv file"
    else:
        candidates = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns)
        where = f"--data '{pattern}': no .root or .csv file matches; give a file, a folder or a quoted pattern"
    files = [file for file in candidates if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        raise DataError(where)
    return files


@contextmanager
def sample_files() -> Iterator[list[Path]]:
    """The embedded sample's files, also when the package lies in an archive."""
    with ExitStack() as stack:
        folder = resources.files(__package__) / "sample"
        entries = [entry for entry in folder.iterdir() if entry.name.endswith(".root")]
        yield sorted((stack.enter_context(resources.as_file(entry)) for entry in entries), key=natural_key)


def fingerprint(files: Sequence[Path], choice: Choice) -> str:
    """64 hex digits that change with any file's path, size or time of change, the choice, and the format."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    identity = {"format": FORMAT, "files": stats, "choice": asdict(choice)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
