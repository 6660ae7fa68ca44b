"""The prepared folder: `meta.json`, and a folder named by the fingerprint with float32 and int8 arrays.

DIR/meta.json                       names and describes the arrays in use; replaced by one rename
DIR/<fingerprint>/meta.json         the same, beside the arrays
DIR/<fingerprint>/train_inputs.npy  (n, width) z-scores   train_targets.npy  (n,) z-scores
DIR/<fingerprint>/val_inputs.npy    (m, width)            val_targets.npy    (m,)
DIR/<fingerprint>/train_lsp.npy     (n,) int8             val_lsp.npy        (m,) int8, indices into LSP_CLASSES
DIR/<fingerprint>/train_reference.npy, val_reference.npy  (n,), (m,) float64: ln of the semi-analytic value of the
                                                          target, if the ratio to it is learned

The width is 19, or more with physics features.

DIR/<fingerprint>/cut_points.npy    (k, 19) float32, GeV  cut_outcomes.npy   (k,) int8, indices into OUTCOMES
DIR/<fingerprint>/cut_part.npy      (k,) int8: 0 train, 1 validation, 3 calibration, 4 holdout

With `--calibration` also calibration_inputs.npy, calibration_targets.npy and calibration_lsp.npy; with
`--fixed-holdout` the same arrays named holdout_*.npy, and holdout_reference.npy where there are references.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NotPreparedError
from .columns import PARAMETERS
from .outcomes import CutRows
from .scan_files import FORMAT
from .standardize import Standardizer
from .targets import Target

if TYPE_CHECKING:
    from .model_inputs import PhysicsColumns

META = "meta.json"
ARRAYS = ("train_inputs", "train_targets", "val_inputs", "val_targets", "train_lsp", "val_lsp")
CALIBRATION_ARRAYS = ("calibration_inputs", "calibration_targets", "calibration_lsp")
"""Arrays of the rows set aside by `--calibration`."""

HOLDOUT_ARRAYS = ("holdout_inputs", "holdout_targets", "holdout_lsp")
"""Arrays of the rows of `--fixed-holdout`."""

CUT_ARRAYS = tuple(f"cut_{field}" for field in CutRows._fields)
"""Arrays of the rows that were cut; folders of earlier versions do not have them."""

Floats = NDArray[np.float32]
Classes = NDArray[np.int8]


class PreparedData(NamedTuple):
    """Memory-mapped z-scores, classes of the lightest sparticle, and meta.json.

    Attributes:
        train_inputs: Shape (n, width).
        train_targets: Shape (n,).
        val_inputs: Shape (m, width).
        val_targets: Shape (m,).
        train_lsp: Index into LSP_CLASSES, shape (n,).
        val_lsp: Index into LSP_CLASSES, shape (m,).
        scaling: Standardizer of the 19 inputs and of the learned values, its last column.
        target: Target to learn.
        meta: Contents of meta.json.
        physics: Physics columns; None: neither features nor a reference of the target.
        val_reference: Reference of the target, shape (m,); None: it has none.
        calibration_inputs: Shape (k, 19); None if no rows were set aside.
        calibration_targets: Shape (k,), or None.
        calibration_lsp: Index into LSP_CLASSES, shape (k,), or None.
        holdout_inputs: Shape (h, width); None without a fixed holdout.
        holdout_targets: Shape (h,), or None.
        holdout_lsp: Index into LSP_CLASSES, shape (h,), or None.
        holdout_reference: Reference of the target, shape (h,), or None.
        cut: Rows that were cut; None in folders of earlier versions.
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
    physics: PhysicsColumns | None = None
    val_reference: NDArray[np.float64] | None = None
    calibration_inputs: Floats | None = None
    calibration_targets: Floats | None = None
    calibration_lsp: Classes | None = None
    holdout_inputs: Floats | None = None
    holdout_targets: Floats | None = None
    holdout_lsp: Classes | None = None
    holdout_reference: NDArray[np.float64] | None = None
    cut: CutRows | None = None


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
    optional = (*CALIBRATION_ARRAYS, *HOLDOUT_ARRAYS, "val_reference", "holdout_reference")
    names = [*ARRAYS, *(name for name in optional if name in meta["bytes"])]
    arrays = {name: np.load(arrays_folder / f"{name}.npy", mmap_mode="r") for name in names}
    cut = [np.load(arrays_folder / f"{name}.npy", mmap_mode="r") for name in CUT_ARRAYS if name in meta["bytes"]]
    if tuple(meta["parameters"]) != PARAMETERS:
        raise NotPreparedError(f"--data {folder}: its parameters are not the 19 of this version; {remedy}")
    return PreparedData(
        **arrays,
        scaling=Standardizer.from_dict(meta),
        target=Target.from_dict(meta["target"]),
        meta=meta,
        physics=_physics_columns(meta, f"--data {folder}", remedy),
        cut=CutRows(*cut) if len(cut) == len(CUT_ARRAYS) else None,
    )


def _physics_columns(meta: Mapping[str, Any], where: str, remedy: str) -> PhysicsColumns | None:
    if "physics" not in meta:
        return None
    from .model_inputs import PhysicsColumns, physics_version  # noqa: PLC0415 (imports torch)

    if meta["physics"]["version"] != physics_version():
        raise NotPreparedError(f"{where}: its physics features are those of another version; {remedy}")
    return PhysicsColumns(tuple(meta["physics"]["names"]), Standardizer.from_dict(meta["physics"]["scaling"]))
