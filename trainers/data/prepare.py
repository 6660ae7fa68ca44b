"""`prepare`: convert scan files to memory-mapped arrays, once per distinct input."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import atomic_folder, write_atomic
from ..log import LOGGER
from .columns import PARAMETERS
from .data_report import draw_histogram, report_lines, warning_lines
from .prepared import ARRAYS, CALIBRATION_ARRAYS, HOLDOUT_ARRAYS, META, is_complete, read_meta
from .scan_files import FORMAT, ScanSelection, fingerprint, sample_files, with_holdout
from .standardize import FEATURE_LIMIT, Standardizer
from .survey import Subset, select_files, survey
from .targets import Target

HISTOGRAM = "target_histogram.png"


def prepare(output: Path, *, patterns: Sequence[str], selection: ScanSelection, cache: Path | None = None) -> None:
    """Convert scan files to arrays in `output`.

    Args:
        output: Folder for the arrays.
        patterns: Files, folders and globs; empty: the embedded sample.
        selection: Rows and target to use.
        cache: Folder that keeps the arrays for other outputs.

    Raises:
        DataError: The files contain nothing to train on.
        OSError: `output` cannot be written.
    """
    if patterns:
        _prepare(output, select_files(patterns, selection), selection, cache)
    else:
        with sample_files() as files:
            LOGGER.info("No --data given: taking the embedded sample")
            _prepare(output, with_holdout(files[: selection.n_datasets], selection), selection, cache)


def _prepare(output: Path, files: list[Path], selection: ScanSelection, cache: Path | None) -> None:
    key = fingerprint(files, selection)
    folder = output / key
    meta = read_meta(output)
    if meta is not None and meta["fingerprint"] == key and is_complete(folder, key):
        LOGGER.info("Already prepared: %s holds these %d files (fingerprint %s)", output, len(files), key[:12])
        return
    output.mkdir(parents=True, exist_ok=True)
    store = folder if cache is None else cache / key
    if _is_usable(store, key):
        LOGGER.info("Already prepared in %s (fingerprint %s)", store.parent, key[:12])
    else:
        with atomic_folder(store) as temporary:
            _build(temporary, files, selection, key)
    if not _is_usable(folder, key):
        with atomic_folder(folder) as temporary:
            for source in store.iterdir():
                _link(source, temporary / source.name)
    plot, description = ((folder / name).read_bytes() for name in (HISTOGRAM, META))
    write_atomic(output / HISTOGRAM, lambda file: file.write(plot))
    write_atomic(output / META, lambda file: file.write(description))  # last: it names the arrays in use
    meta = json.loads(description)
    for line in report_lines(meta):
        LOGGER.info("%s", line)
    for line in warning_lines(meta):
        LOGGER.warning("%s", line)
    LOGGER.info("Prepared data in %s", output)


def _is_usable(folder: Path, key: str) -> bool:
    existed = folder.exists()
    complete = is_complete(folder, key)
    if existed and not complete:  # complete folders are renamed into place, so it was damaged later
        LOGGER.warning("%s is damaged: making it again", folder)
        shutil.rmtree(folder)
    return complete


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or no hard links
        shutil.copyfile(source, target)


def _build(folder: Path, files: list[Path], selection: ScanSelection, key: str) -> None:
    with survey(folder, files, selection) as result:
        subsets = {"train": result.train, "val": result.val}
        if selection.calibration:
            subsets["calibration"] = result.calibration
        if selection.fixed_holdout:
            subsets["holdout"] = result.holdout
        for name, values in result.cut._asdict().items():
            np.save(folder / f"cut_{name}.npy", values)
        for name, subset in subsets.items():
            _write_subset(folder, name, subset, result.scaling)
            if subset.reference is not None:
                np.save(folder / f"{name}_reference.npy", np.concatenate(list(subset.references())))
    arrays = [name for name in (*ARRAYS, *CALIBRATION_ARRAYS, *HOLDOUT_ARRAYS) if name.partition("_")[0] in subsets]
    draw_histogram(folder / HISTOGRAM, result.meta)
    meta = result.meta | {
        "format": FORMAT,
        "fingerprint": key,
        "content": _content_hash(folder, arrays, result.scaling, selection.target),
        "bytes": {path.stem: path.stat().st_size for path in sorted(folder.glob("*.npy"))},
    }
    (folder / META).write_text(json.dumps(meta, indent=1) + "\n")


def _write_subset(folder: Path, name: str, subset: Subset, scaling: Standardizer) -> None:
    count, width = len(subset), len(PARAMETERS) + len(subset.features)
    kinds = {"inputs": (np.float32, (count, width)), "targets": (np.float32, (count,)), "lsp": (np.int8, (count,))}
    maps = {
        kind: np.lib.format.open_memmap(folder / f"{name}_{kind}.npy", mode="w+", dtype=dtype, shape=shape)
        for kind, (dtype, shape) in kinds.items()
    }
    start = 0
    for rows, classes in zip(subset.learned_rows(), subset.classes(), strict=True):
        span = slice(start, start + len(rows))
        scaled = scaling.apply(rows)
        if subset.features:
            features = scaled[:, len(PARAMETERS) : -1]
            np.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT, out=features)
        maps["inputs"][span], maps["targets"][span], maps["lsp"][span] = scaled[:, :-1], scaled[:, -1], classes
        start += len(rows)
    for array in maps.values():
        array.flush()


def _content_hash(folder: Path, arrays: Sequence[str], scaling: Standardizer, target: Target) -> str:
    digest = hashlib.sha256(scaling.mean.tobytes() + scaling.std.tobytes())
    digest.update(json.dumps(target.as_dict(), sort_keys=True).encode())
    references = sorted(path.stem for path in folder.glob("*_reference.npy"))
    for name in (*arrays, *references):
        with (folder / f"{name}.npy").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
