"""The prepared folder: `meta.json`, and a folder named by the fingerprint with float32 and int8 arrays.

DIR/meta.json                       names and describes the arrays in use; replaced by one rename
DIR/<fingerprint>/meta.json         the same, beside the arrays
DIR/<fingerprint>/train_inputs.npy  (n, 19) z-scores      train_targets.npy  (n,) z-scores
DIR/<fingerprint>/val_inputs.npy    (m, 19)               val_targets.npy    (m,)
DIR/<fingerprint>/train_lsp.npy     (n,) int8             val_lsp.npy        (m,) int8, indices into LSP_CLASSES
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NotPreparedError
from .columns import PARAMETERS
from .scan_files import FORMAT
from .standardize import Standardizer
from .targets import Target

META = "meta.json"
ARRAYS = ("train_inputs", "train_targets", "val_inputs", "val_targets", "train_lsp", "val_lsp")

Floats = NDArray[np.float32]
Classes = NDArray[np.int8]


class PreparedData(NamedTuple):
    """Memory-mapped z-scores, classes of the lightest sparticle, and meta.json.

    Attributes:
        train_inputs: Shape (n, 19).
        train_targets: Shape (n,).
        val_inputs: Shape (m, 19).
        val_targets: Shape (m,).
        train_lsp: Index into LSP_CLASSES, shape (n,).
        val_lsp: Index into LSP_CLASSES, shape (m,).
        scaling: Standardizer of the 19 inputs and of `target.forward(y)`, its last column.
        target: Target to learn.
        meta: Contents of meta.json.
    """

    train_inputs: Floats
    train_targets: Floats
    val_inputs: Floats
    val_targets: Floats
    train_lsp: Classes
    val_lsp: Classes
    scaling: Standardizer
    target: Target
    meta: dict[str, Any]


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Return the contents of `folder/meta.json`.

    Returns:
        None if the file is missing or has another format.
    """
    try:
        meta = json.loads((folder / META).read_bytes())
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and meta.get("format") == FORMAT else None


def is_complete(folder: Path, fingerprint: str) -> bool:
    """Return whether `folder` contains all arrays of this fingerprint.

    The size of each file must match the description.
    """
    meta = read_meta(folder)
    if meta is None or meta["fingerprint"] != fingerprint:
        return False
    sizes = {f"{name}.npy": size for name, size in meta["bytes"].items()}
    return all((folder / name).is_file() and (folder / name).stat().st_size == sizes[name] for name in sizes)


def load_prepared(folder: Path) -> PreparedData:
    """Open the arrays that `prepare` wrote.

    Args:
        folder: Output folder of `prepare`, or the folder of the arrays in it.

    Raises:
        NotPreparedError: The arrays are missing or incomplete.
    """
    remedy = f"run `pmssm-surrogate prepare --output {folder}`"
    meta = read_meta(folder)
    if meta is None:
        raise NotPreparedError(
            f"--data {folder}: contains no prepared data (no {META} of this version); {remedy} first"
        )
    arrays_folder = folder if folder.resolve().name == meta["fingerprint"] else folder / meta["fingerprint"]
    if not is_complete(arrays_folder, meta["fingerprint"]):
        raise NotPreparedError(
            f"--data {folder}: the arrays in {arrays_folder.name} are incomplete; remove the folder, then {remedy}"
        )
    arrays = [np.load(arrays_folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS]
    columns = [np.array(meta[key], dtype=np.float64) for key in ("mean", "std", "minimum", "maximum")]
    if tuple(meta["parameters"]) != PARAMETERS:
        raise NotPreparedError(f"--data {folder}: its parameters are not the 19 of this version; {remedy}")
    return PreparedData(
        **dict(zip(ARRAYS, arrays, strict=True)),
        scaling=Standardizer(*columns),
        target=Target.from_dict(meta["target"]),
        meta=meta,
    )
