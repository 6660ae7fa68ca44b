"""ROOT files, read with uproot: trees (TTree) and their successors (RNTuple)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..columns import Column
from .common import Rows, abbreviate, as_floats, find_columns, stack_columns

CHUNK = "64 MB"
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
        branches = _find_tree(path, file, tree)
        names = find_columns(path, columns, branches.keys(), "branch")
        for name in names.values():
            _check_branch(path, branches, name)
        wanted = set(names.values())
        start = 0
        for arrays in branches.iterate(
            filter_name=lambda name: name in wanted, library="np", step_size=CHUNK, entry_stop=limit
        ):
            values = {
                key: as_floats(path, "branch", name, arrays[name], first_row=start) for key, name in names.items()
            }
            start += len(next(iter(values.values())))
            yield stack_columns(columns, values)


def _find_tree(path: Path, file: Any, tree: str) -> Any:  # noqa: ANN401 (uproot has no types)
    classes = {key.partition(";")[0]: kind for key, kind in file.classnames().items()}
    if classes.get(tree) in TREES:
        return file[tree]
    trees = sorted(key for key, kind in classes.items() if kind in TREES)
    remedy = f"use --tree {abbreviate(trees[0])}" if trees else "provide a file with a tree of points"
    if tree in classes:
        raise DataError(f"{path}: '{tree}' is a {classes[tree]}, not a tree; {remedy}")
    listing = ", ".join(abbreviate(key) for key in sorted(classes)[:5]) or "nothing"
    raise DataError(f"{path}: no tree named '{tree}', the file contains {listing}; {remedy}")


def _check_branch(path: Path, tree: Any, name: str) -> None:  # noqa: ANN401
    import uproot  # noqa: PLC0415

    branch = tree[name]
    if hasattr(branch, "interpretation"):
        kind = branch.interpretation
        plain = isinstance(kind, uproot.AsDtype) and kind.to_dtype.shape == () and kind.to_dtype.kind in "fiu"
    else:  # an RNTuple
        plain = PLAIN_FIELD.fullmatch(branch.typename) is not None
    if not plain:
        raise DataError(f"{path}: branch '{name}' does not contain one number per row (it is "
                        f"{abbreviate(branch.typename)}); store one floating-point number per row")  # fmt: skip
    if branch.num_entries != tree.num_entries:
        raise DataError(f"{path}: branch '{name}' has {branch.num_entries} entries, its tree has {tree.num_entries}; "
                        "fill all branches in every row")  # fmt: skip
