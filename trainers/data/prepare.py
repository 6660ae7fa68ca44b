"""`prepare`: from scan files to memory-mapped arrays, once per distinct input."""

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
from .prepared import ARRAYS, META, is_complete, read_meta
from .scan_files import FORMAT, ScanSelection, fingerprint, sample_files
from .standardize import Standardizer
from .survey import Part, chosen_files, survey
from .targets import Target

HISTOGRAM = "target_histogram.png"


def prepare(output: Path, *, patterns: Sequence[str], choice: ScanSelection, cache: Path | None = None) -> None:
    """Nothing; `output` then holds the arrays of the files that `patterns` name (none: the embedded sample).

    Raises DataError where the files give nothing to train on, OSError where `output` can't be written.
    """
    if patterns:
        _prepare(output, chosen_files(patterns, choice), choice, cache)
    else:
        with sample_files() as files:
            LOGGER.info("No --data given: taking the embedded sample")
            _prepare(output, files[: choice.n_datasets], choice, cache)


def _prepare(output: Path, files: list[Path], choice: ScanSelection, cache: Path | None) -> None:
    mark = fingerprint(files, choice)
    place = output / mark
    meta = read_meta(output)
    if meta is not None and meta["fingerprint"] == mark and is_complete(place, mark):
        LOGGER.info("Already prepared: %s holds these %d files (fingerprint %s)", output, len(files), mark[:12])
        return
    output.mkdir(parents=True, exist_ok=True)
    store = place if cache is None else cache / mark
    if _is_there(store, mark):
        LOGGER.info("Already prepared in %s (fingerprint %s)", store.parent, mark[:12])
    else:
        with atomic_folder(store) as folder:
            _build(folder, files, choice, mark)
    if not _is_there(place, mark):
        with atomic_folder(place) as folder:
            for source in store.iterdir():
                _link(source, folder / source.name)
    picture, description = ((place / name).read_bytes() for name in (HISTOGRAM, META))
    write_atomic(output / HISTOGRAM, lambda file: file.write(picture))
    write_atomic(output / META, lambda file: file.write(description))  # last: it says which arrays are meant
    found = json.loads(description)
    for line in report_lines(found):
        LOGGER.info("%s", line)
    for line in warning_lines(found):
        LOGGER.warning("%s", line)
    LOGGER.info("Prepared data in %s", output)


def _is_there(folder: Path, mark: str) -> bool:
    existed = folder.exists()
    complete = is_complete(folder, mark)
    if existed and not complete:  # folders appear whole, so somebody damaged this one
        LOGGER.warning("%s is damaged: making it again", folder)
        shutil.rmtree(folder)
    return complete


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _build(folder: Path, files: list[Path], choice: ScanSelection, mark: str) -> None:
    with survey(folder, files, choice) as found:
        for name, part in (("train", found.train), ("val", found.val)):
            _write_part(folder, name, part, found.scaling)
    draw_histogram(folder / HISTOGRAM, found.meta)
    described = found.meta | {
        "format": FORMAT,
        "fingerprint": mark,
        "content": _digest(folder, found.scaling, choice.target),
        "bytes": {name: (folder / f"{name}.npy").stat().st_size for name in ARRAYS},
    }
    (folder / META).write_text(json.dumps(described, indent=1) + "\n")


def _write_part(folder: Path, name: str, part: Part, scaling: Standardizer) -> None:
    count, width = len(part), len(PARAMETERS)
    kinds = {"inputs": (np.float32, (count, width)), "targets": (np.float32, (count,)), "lsp": (np.int8, (count,))}
    maps = {
        kind: np.lib.format.open_memmap(folder / f"{name}_{kind}.npy", mode="w+", dtype=dtype, shape=shape)
        for kind, (dtype, shape) in kinds.items()
    }
    start = 0
    for rows, classes in zip(part.learned(), part.classes(), strict=True):
        place = slice(start, start + len(rows))
        scaled = scaling.apply(rows)
        maps["inputs"][place], maps["targets"][place], maps["lsp"][place] = scaled[:, :-1], scaled[:, -1], classes
        start += len(rows)
    for array in maps.values():
        array.flush()


def _digest(folder: Path, scaling: Standardizer, target: Target) -> str:
    digest = hashlib.sha256(scaling.mean.tobytes() + scaling.std.tobytes())
    digest.update(json.dumps(target.as_dict(), sort_keys=True).encode())
    for name in ARRAYS:
        with (folder / f"{name}.npy").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
