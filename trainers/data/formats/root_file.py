"""ROOT files, read with uproot: trees (TTree) and their successors (RNTuple)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..columns import Column
from .common import Rows, abbreviate, as_argument, as_floats, check_declared_size, find_columns, stack_columns

CHUNK_BYTES = 64_000_000
TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
PLAIN_FIELD = re.compile(r"double|float|(std::)?u?int(8|16|32|64)_t")


def read_root(path: Path, columns: Sequence[Column], tree: str, limit: int | None) -> Iterator[Rows]:
    """Read a tree of a ROOT file, chunk by chunk.

    Args:
        path: File to read.
        columns: Columns to read.
        tree: Name of the tree.
        limit: Largest number of rows; None: all.

    Yields:
        Arrays of shape (k, columns), float64.

    Raises:
        DataError: An error in the file that the user can fix.
    """
    import uproot  # noqa: PLC0415 (650 ms)

    with uproot.open(path) as file:
        rows = _find_tree(path, file, tree)
        names = find_columns(path, columns, rows.keys(), "branch")
        branches = dict(rows.items())  # rows[name] would look for a branch of an object before one of the tree
        for name in names.values():
            _check_branch(path, rows, name, branches[name])
        end = rows.num_entries if limit is None else min(rows.num_entries, limit)
        check_declared_size(path, end, len(names))
        chunk_rows = max(1, CHUNK_BYTES // (8 * len(names)))
        for start in range(0, end, chunk_rows):
            stop = min(start + chunk_rows, end)
            values = {key: _numbers(path, name, branches[name], start, stop) for key, name in names.items()}
            yield stack_columns(columns, values)


def _numbers(path: Path, name: str, branch: Any, start: int, stop: int) -> Rows:  # noqa: ANN401
    """Read one branch; by itself, because uproot returns branches together under names that may be equal."""
    return as_floats(path, "branch", name, branch.array(library="np", entry_start=start, entry_stop=stop),
                     first_row=start)  # fmt: skip


def _find_tree(path: Path, file: Any, tree: str) -> Any:  # noqa: ANN401 (uproot has no types)
    classes = {key.partition(";")[0]: kind for key, kind in file.classnames().items()}
    if classes.get(tree) in TREES:
        return file[tree]
    trees = sorted(key for key, kind in classes.items() if kind in TREES)
    remedy = f"use --tree {as_argument(trees[0]) or 'TREE'}" if trees else "provide a file with a tree of points"
    if tree in classes:
        raise DataError(f"{path}: '{tree}' is a {classes[tree]}, not a tree; {remedy}")
    listing = ", ".join(abbreviate(key) for key in sorted(classes)[:5]) or "nothing"
    raise DataError(f"{path}: no tree named '{tree}', the file contains {listing}; {remedy}")


def _check_branch(path: Path, tree: Any, name: str, branch: Any) -> None:  # noqa: ANN401
    import uproot  # noqa: PLC0415

    if hasattr(branch, "interpretation"):
        kind = branch.interpretation
        plain = isinstance(kind, uproot.AsDtype) and kind.to_dtype.shape == () and kind.to_dtype.kind in "fiu"
        if isinstance(kind, (uproot.AsDouble32, uproot.AsFloat16)):  # packed, but plain numbers once read
            plain = kind.to_dims == ()
    else:  # an RNTuple
        plain = PLAIN_FIELD.fullmatch(branch.typename) is not None
    if not plain:
        raise DataError(f"{path}: branch '{name}' does not contain one number per row (it is "
                        f"{abbreviate(branch.typename)}); store one floating-point number per row")  # fmt: skip
    if branch.num_entries != tree.num_entries:
        raise DataError(f"{path}: branch '{name}' has {branch.num_entries} entries, its tree has {tree.num_entries}; "
                        "fill all branches in every row")  # fmt: skip
