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
from .columns import LSP_COLUMNS, LSP_TYPE, TREE, Column, parameter_columns
from .targets import TARGETS, Target

FORMAT = 2
"""Of the prepared folder; part of the fingerprint, so that a new format is a new input."""

SUFFIXES = (".root", ".csv", ".parquet", ".pq", ".npz")
KINDS = "ROOT, CSV, Parquet or NumPy (.npz)"


TESTING_ROWS = 2_000
"""Rows that `--testing` reads at most: enough to see every part of the three trainers at work."""


@dataclass(frozen=True)
class ScanSelection:
    """What part of the files is taken, what is learned of it, and how it is split."""

    target: Target = TARGETS["relic_density"]
    neutralino_lsp: bool = False
    """Keep points whose lightest sparticle is a neutralino."""
    tree: str = TREE
    branches: tuple[str, ...] = ()
    """As `--branches` has them."""
    n_datasets: int | None = None
    n_samples: int | None = None
    max_rows: int | None = None
    seed: int = 42

    def columns(self) -> tuple[Column, ...]:
        """What to read of each file: the 19 parameters, the target, and what the lightest sparticle is."""
        lsp = (Column(name, (name,), required=self.neutralino_lsp and name == LSP_TYPE) for name in LSP_COLUMNS)
        return parameter_columns(self.branches, also=(Column(self.target.branch, (self.target.branch,)), *lsp))


def natural_key(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that puts `scan_2` before `scan_10`."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(part.isascii() and part.isdigit(), int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


def find_files(patterns: Sequence[str]) -> list[Path]:
    """The scan files that files, folders and globs name, resolved, each once, in natural order.

    Raises DataError where a pattern matches nothing, or names a file of another kind.
    """
    found = {path.resolve() for pattern in patterns for path in _matches(pattern)}
    return sorted(found, key=natural_key)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path}: is no {KINDS} file; its name must end in {', '.join(SUFFIXES)}")
        return [path]
    if path.is_dir():
        candidates, where = list(path.iterdir()), f"{path}: the folder holds no {KINDS} file; name the files"
    else:
        candidates = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns)
        where = f"--data '{pattern}': no {KINDS} file matches; give a file, a folder or a quoted pattern"
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


def fingerprint(files: Sequence[Path], choice: ScanSelection) -> str:
    """64 hex digits that change with any file's path, size or time of change, the choice, and the format."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    identity = {"format": FORMAT, "files": stats, "choice": asdict(choice)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
