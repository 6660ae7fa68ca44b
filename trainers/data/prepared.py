"""The prepared folder: `meta.json`, and a folder named by the fingerprint with float32 and int8 arrays.

DIR/meta.json                       which arrays are meant, and what they are; switched by one rename
DIR/<fingerprint>/meta.json         the same, beside the arrays it describes
DIR/<fingerprint>/train_inputs.npy  (n, 19) z-scores      train_targets.npy  (n,) z-scores
DIR/<fingerprint>/val_inputs.npy    (m, 19)               val_targets.npy    (m,)
DIR/<fingerprint>/train_lsp.npy     (n,) int8             val_lsp.npy        (m,) int8, places in LSP_CLASSES
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
    """Memory-mapped z-scores, what the lightest sparticle of each row is, and what `meta.json` says.

    `scaling` is that of the 19 inputs and of `target.forward(y)`, its last column.
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
    """What `folder/meta.json` says, None where it is missing or is not one of ours."""
    try:
        meta = json.loads((folder / META).read_bytes())
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and meta.get("format") == FORMAT else None


def is_complete(folder: Path, fingerprint: str) -> bool:
    """Whether `folder` holds the arrays of this fingerprint, each of the size that its description says."""
    meta = read_meta(folder)
    if meta is None or meta["fingerprint"] != fingerprint:
        return False
    sizes = {f"{name}.npy": size for name, size in meta["bytes"].items()}
    return all((folder / name).is_file() and (folder / name).stat().st_size == sizes[name] for name in sizes)


def load_prepared(folder: Path) -> PreparedData:
    """The arrays that `prepare` left in `folder`, which may also be the folder of the arrays itself.

    Raises NotPreparedError where there are none, or they are not what their description says.
    """
    remedy = f"run `python -m pmssm.trainers prepare --output {folder}` first"
    meta = read_meta(folder)
    if meta is None:
        raise NotPreparedError(f"--data {folder}: holds no prepared data (no {META} of this version); {remedy}")
    place = folder if folder.resolve().name == meta["fingerprint"] else folder / meta["fingerprint"]
    if not is_complete(place, meta["fingerprint"]):
        raise NotPreparedError(
            f"--data {folder}: the arrays in {place.name} are incomplete; remove the folder, {remedy}"
        )
    arrays = [np.load(place / f"{name}.npy", mmap_mode="r") for name in ARRAYS]
    columns = [np.array(meta[key], dtype=np.float64) for key in ("mean", "std", "minimum", "maximum")]
    if tuple(meta["parameters"]) != PARAMETERS:
        raise NotPreparedError(f"--data {folder}: its parameters are not the 19 this version trains on; {remedy}")
    return PreparedData(
        **dict(zip(ARRAYS, arrays, strict=True)),
        scaling=Standardizer(*columns),
        target=Target.from_dict(meta["target"]),
        meta=meta,
    )
