"""Which scan files to read, and the fingerprint of an input."""

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
from typing import Any, Literal, get_args

from ..errors import DataError
from .columns import HIGGS_MASS, LSP_COLUMNS, LSP_TYPE, PARAMETERS, TREE, Column, parameter_columns
from .natural_order import natural_key
from .reading import FORMAT_NAMES, SUFFIXES
from .requirements import Requirement
from .targets import TARGETS, Target

FeatureSet = Literal["none", "physics"]
FEATURE_SETS: tuple[FeatureSet, ...] = get_args(FeatureSet)

FORMAT = 2
"""Format of the prepared folder; part of the fingerprint, so that a new format is a new input."""

TESTING_ROWS = 2_000
"""Largest number of rows read with `--testing`: enough to exercise all parts of the trainers."""


@dataclass(frozen=True)
class ScanSelection:
    """Which part of the files is used, the target, and the split.

    Attributes:
        target: Target to learn.
        neutralino_lsp: Keep only points whose lightest sparticle is a neutralino.
        tree: Tree of ROOT files.
        branches: Values of `--branches`.
        n_datasets: Largest number of files; None: all.
        n_samples: Largest number of rows per file; None: all.
        max_rows: Largest number of rows in total; None: all.
        seed: Seed of the split.
        features: `physics` adds the physics features to the 19 inputs.
        require: Conditions that usable rows satisfy.
        calibration: Share of the rows that is set aside to calibrate intervals, from 0 to 0.5.
        fixed_holdout: Files, folders and globs whose rows only measure how good a model is; empty: none.
        before_round: Leave out the files of this round of a plan and of later ones; None: none.
    """

    target: Target = TARGETS["relic_density"]
    neutralino_lsp: bool = False
    tree: str = TREE
    branches: tuple[str, ...] = ()
    n_datasets: int | None = None
    n_samples: int | None = None
    max_rows: int | None = None
    seed: int = 42
    features: FeatureSet = "none"
    require: tuple[Requirement, ...] = ()
    calibration: float = 0.0
    fixed_holdout: tuple[str, ...] = ()
    before_round: int | None = None

    @property
    def uses_physics(self) -> bool:
        """Whether the physics of each point is needed: for features or for the reference of the target."""
        return self.features == "physics" or self.target.uses_reference

    def columns(self) -> tuple[Column, ...]:
        """Return the columns to read: 19 parameters, the target, and in any order what the cuts and the report need."""
        alternatives = {self.target.branch: f"another --target ({', '.join(TARGETS)})"}
        if self.neutralino_lsp:
            alternatives.setdefault(LSP_TYPE, "leave out --neutralino-lsp")
        for one in self.require:
            if one.column not in PARAMETERS:
                alternatives.setdefault(one.column, "leave out --require")
        required = (Column(name, (name,), alternative=text) for name, text in alternatives.items())
        optional = (
            Column(name, (name,), required=False) for name in (*LSP_COLUMNS, HIGGS_MASS) if name not in alternatives
        )
        return parameter_columns(self.branches, also=(*required, *optional))

    def positions(self) -> dict[str, int]:
        """Return the place of each of `columns` by its name; of two with one name, the first."""
        names = [column.name for column in self.columns()]
        return {name: names.index(name) for name in names}


def find_files(patterns: Sequence[str], *, option: str = "--data") -> list[Path]:
    """Return the files that match `patterns`, resolved, without repetition, in natural order.

    Args:
        patterns: Files, folders and globs.
        option: Option that has them, for messages.

    Raises:
        DataError: A pattern matches nothing, or names a file of an unknown format.
    """
    found = {path.resolve() for pattern in patterns for path in _expand_pattern(pattern, option)}
    return sorted(found, key=natural_key)


def _expand_pattern(pattern: str, option: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path}: not a {FORMAT_NAMES} file; its name must end in {', '.join(SUFFIXES)}")
        return [path]
    if path.is_dir():
        candidates, problem = (
            list(path.iterdir()),
            f"{path}: the folder contains no {FORMAT_NAMES} file; give the names of the files",
        )
    else:
        candidates = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns)
        problem = f"{option} '{pattern}': no {FORMAT_NAMES} file matches; give a file, a folder or a quoted pattern"
    files = [file for file in candidates if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        raise DataError(problem)
    return files


def round_of(path: Path) -> int | None:
    """Return the round of an active-learning plan that wrote a file: 7 for `simulate-r07/points.root`."""
    match = re.search(r"-r([0-9]{2,3})$", path.parent.name)
    return int(match[1]) if match else None


def before_round(files: Sequence[Path], number: int | None) -> list[Path]:
    """Return the files of the rounds before `number`, and those of no round; all if it is None."""
    return [path for path in files if number is None or (round_of(path) or 0) < number]


def with_holdout(files: Sequence[Path], selection: ScanSelection) -> list[Path]:
    """Return the files of the fixed holdout, then all other files.

    The holdout comes first, so that a copy of one of its points is dropped from the training part.
    """
    holdout = find_files(selection.fixed_holdout, option="--fixed-holdout")
    return [*holdout, *(path for path in files if path not in holdout)]


@contextmanager
def sample_files() -> Iterator[list[Path]]:
    """Provide the files of the embedded sample, also if the package is in an archive."""
    with ExitStack() as stack:
        folder = resources.files(__package__) / "sample"
        entries = [entry for entry in folder.iterdir() if entry.name.endswith(".root")]
        yield sorted((stack.enter_context(resources.as_file(entry)) for entry in entries), key=natural_key)


def fingerprint(files: Sequence[Path], selection: ScanSelection) -> str:
    """Return 64 hex digits that identify an input.

    They change with the path, size or modification time of any file, with the selection, with the format, and
    with the constants of the physics features if these are used.
    """
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    choice = asdict(selection)
    del choice["before_round"]  # it only selects files
    if not selection.calibration:  # as in folders that were prepared before this option existed
        del choice["calibration"]
    if choice["features"] == "none":
        del choice["features"]  # such arrays are the same as before there were features
    if selection.fixed_holdout:
        choice["holdout_arrays"] = True  # it was the validation part before it had arrays of its own
    else:
        del choice["fixed_holdout"]  # such arrays are the same as before there was a fixed holdout
    if not selection.require:
        del choice["require"]  # such arrays are the same as before there were conditions
    identity: dict[str, Any] = {"format": FORMAT, "files": stats, "choice": choice, "keeps_cut_rows": True}
    if selection.uses_physics:
        from .model_inputs import physics_version  # noqa: PLC0415 (imports torch)

        identity["physics"] = physics_version()
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
