"""`prepare`: from scan files to memory-mapped arrays, once per distinct input."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..files import folder_in_one_piece, write_atomically
from ..log import LOGGER
from .arrays import ARRAYS, META, is_complete, read_meta
from .columns import PARAMETERS
from .scaling import Scaling, measure
from .scan import COPY, TARGET, TRAIN, VAL, WIDTH, Scan, listing, scan_files
from .sources import FORMAT, Choice, find_files, fingerprint, sample_files
from .spool import Rows, Spool
from .targets import Target


def prepare(output: Path, *, patterns: Sequence[str], choice: Choice, cache: Path | None = None) -> None:
    """Nothing; `output` then holds the arrays of the files that `patterns` name (none: the embedded sample).

    Raises DataError where the files give nothing to train on, OSError where `output` can't be written.
    """
    if patterns:
        _prepare(output, find_files(patterns), choice, cache)
    else:
        with sample_files() as files:
            LOGGER.info("No --data given: taking the embedded sample")
            _prepare(output, files, choice, cache)


def _prepare(output: Path, files: list[Path], choice: Choice, cache: Path | None) -> None:
    files = files[: choice.n_datasets]
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
        with folder_in_one_piece(store) as folder:
            _build(folder, files, choice, mark)
    if not _is_there(place, mark):
        with folder_in_one_piece(place) as folder:
            for source in store.iterdir():
                _link(source, folder / source.name)
    content = (place / META).read_bytes()
    write_atomically(output / META, lambda file: file.write(content))
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


def _build(folder: Path, files: list[Path], choice: Choice, mark: str) -> None:
    with Spool(folder, WIDTH) as spool:
        scan = scan_files(files, choice, spool)
        parts = {name: Part(scan, number, choice.target) for name, number in (("train", TRAIN), ("val", VAL))}
        scaling = measure(parts["train"].learned)
        meta = describe(scan, scaling, choice)
        for name, part in parts.items():
            _write_part(folder, name, part, scaling)
    meta |= {
        "format": FORMAT,
        "fingerprint": mark,
        "content": _digest(folder, scaling, choice.target),
        "bytes": {name: (folder / f"{name}.npy").stat().st_size for name in ARRAYS},
    }
    (folder / META).write_text(json.dumps(meta, indent=1) + "\n")


def describe(scan: Scan, scaling: Scaling, choice: Choice) -> dict[str, Any]:
    """What `meta.json` says of the scan. Raises DataError where the target does not vary."""
    names = (*PARAMETERS, choice.target.branch)
    constant = [name for name, std in zip(names, scaling.std, strict=True) if std == 0]
    read = sum(one.read for one in scan.files)
    counts = {"read": read, "usable": len(scan.part), "copies": scan.count(COPY),
              "train": scan.count(TRAIN), "val": scan.count(VAL)}  # fmt: skip
    LOGGER.info("Rows: %s read, %s usable; %s", f"{read:,}", f"{counts['usable']:,}", listing(scan.fell))
    if counts["copies"]:
        LOGGER.warning("Copies: %s usable rows repeat the 19 parameters of an earlier one and were left out, so that "
                       "no point both trains and validates; %s of them had another %s",
                       f"{counts['copies']:,}", f"{scan.conflicts:,}", choice.target.branch)  # fmt: skip
    if constant:
        LOGGER.warning("Constant in the training part, mapped to 0: %s", ", ".join(constant))
    if choice.target.branch in constant:
        where = f"{scan.files[0].path}{' …' if scan.files[1:] else ''}"
        raise DataError(f"{where}: {choice.target.branch} is the same in all {counts['train']} training rows, "
                        "so there is nothing to learn; give more rows")  # fmt: skip
    LOGGER.info("Split: %s to train, %s to validate", f"{counts['train']:,}", f"{counts['val']:,}")
    return {
        "parameters": PARAMETERS,
        "target": choice.target.as_dict(),
        "neutralino_lsp": choice.neutralino_lsp,
        "mean": scaling.mean.tolist(),
        "std": scaling.std.tolist(),
        "minimum": scaling.minimum.tolist(),
        "maximum": scaling.maximum.tolist(),
        "constant": constant,
        "counts": counts,
        "conflicts": scan.conflicts,
        "cuts": dict(scan.fell),
        "seed": choice.seed,
        "sources": [str(one.path) for one in scan.files],
    }


@dataclass(frozen=True)
class Part:
    """The rows of a scan that train, or those that validate."""

    scan: Scan
    number: int
    target: Target

    def learned(self) -> Iterator[Rows]:
        """The rows, `(k, 20)` at a time: the 19 parameters and what is learned of the target."""
        for rows in self._rows():
            yield np.column_stack([rows[:, :TARGET], self.target.forward(rows[:, TARGET])])

    def classes(self) -> Iterator[Rows]:
        """The class of the lightest sparticle of each row, `(k,)` at a time."""
        for rows in self._rows():
            yield rows[:, -1]

    def _rows(self) -> Iterator[Rows]:
        return self.scan.spool.chunks(self.scan.part == self.number)


def _write_part(folder: Path, name: str, part: Part, scaling: Scaling) -> None:
    count = part.scan.count(part.number)
    kinds = {"inputs": (np.float32, (count, TARGET)), "targets": (np.float32, (count,)), "lsp": (np.int8, (count,))}
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


def _digest(folder: Path, scaling: Scaling, target: Target) -> str:
    digest = hashlib.sha256(scaling.mean.tobytes() + scaling.std.tobytes())
    digest.update(json.dumps(target.as_dict(), sort_keys=True).encode())
    for name in ARRAYS:
        with (folder / f"{name}.npy").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
