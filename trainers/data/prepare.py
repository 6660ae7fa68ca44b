"""`prepare`: from scan files to memory-mapped arrays, once per distinct input."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import folder_in_one_piece, write_atomically
from ..log import LOGGER
from .arrays import ARRAYS, META, is_complete, read_meta
from .columns import COLUMNS, PARAMETERS, TARGET
from .cuts import prune
from .reading import read_chunks
from .scaling import Scaling, measure
from .sources import FORMAT, Choice, find_files, fingerprint, sample_files

VALIDATION_SHARE = 0.1
TESTING_ROWS = 2_000
"""Rows that `--testing` reads at most: enough to see every part of the three trainers at work."""

SPOOL_CHUNK = 100_000

Rows = NDArray[np.float64]


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


@dataclass(frozen=True)
class Spool:
    """All usable rows in one nameless file of float64, and which of them validate."""

    file: IO[bytes]
    is_val: NDArray[np.bool_]

    def chunks(self, *, val: bool) -> Iterator[Rows]:
        """The validation rows, or the training rows, `(k, 20)`, in the order they were read."""
        for start in range(0, len(self.is_val), SPOOL_CHUNK):
            mask = self.is_val[start : start + SPOOL_CHUNK]
            self.file.seek(start * len(COLUMNS) * 8)
            rows = np.frombuffer(self.file.read(len(mask) * len(COLUMNS) * 8), dtype=np.float64)
            yield rows.reshape(-1, len(COLUMNS))[mask == val]


def split(rows: int, seed: int) -> NDArray[np.bool_]:
    """`(rows,)` bool, True for the tenth that validates; at least one row on each side."""
    is_val = np.zeros(rows, dtype=np.bool_)
    is_val[np.random.default_rng(seed).permutation(rows)[: max(1, round(rows * VALIDATION_SHARE))]] = True
    return is_val


def _build(folder: Path, files: list[Path], choice: Choice, mark: str) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        read, fell = _spool(file, files, choice)
        usable = read - fell.total()
        LOGGER.info("Rows: %s read, %s usable; %s", f"{read:,}", f"{usable:,}", _listing(fell))
        if usable < 2:
            raise DataError(f"{files[0]}{' …' if files[1:] else ''}: no usable rows left; {_listing(fell)}; "
                            "give files with 0 < MO_Omega < 1")  # fmt: skip
        spool = Spool(file, split(usable, choice.seed))
        scaling = measure(lambda: spool.chunks(val=False))
        constant = [name for name, std in zip(COLUMNS, scaling.std, strict=True) if std == 0]
        if constant:
            LOGGER.warning("Constant in the training part, mapped to 0: %s", ", ".join(constant))
        if TARGET in constant:
            raise DataError(f"{files[0]}{' …' if files[1:] else ''}: {TARGET} is the same in all {usable} usable rows, "
                            "so there is nothing to learn; give more rows")  # fmt: skip
        for part, val in (("train", False), ("val", True)):
            _write_part(folder, part, spool, scaling, val=val)
    counts = {"read": read, "usable": usable, "train": int((~spool.is_val).sum()), "val": int(spool.is_val.sum())}
    LOGGER.info("Split: %s to train, %s to validate", f"{counts['train']:,}", f"{counts['val']:,}")
    meta: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": mark,
        "content": _digest(folder, scaling),
        "parameters": PARAMETERS,
        "target": TARGET,
        "mean": scaling.mean.tolist(),
        "std": scaling.std.tolist(),
        "minimum": scaling.minimum.tolist(),
        "maximum": scaling.maximum.tolist(),
        "constant": constant,
        "counts": counts,
        "cuts": dict(fell),
        "seed": choice.seed,
        "sources": [str(path) for path in files],
        "bytes": {name: (folder / f"{name}.npy").stat().st_size for name in ARRAYS},
    }
    (folder / META).write_text(json.dumps(meta, indent=1) + "\n")


def _spool(file: IO[bytes], files: list[Path], choice: Choice) -> tuple[int, Counter[str]]:
    read, fell = 0, Counter[str]()
    for number, path in enumerate(files, start=1):
        limits = [
            limit for limit in (choice.n_samples, choice.max_rows and choice.max_rows - read) if limit is not None
        ]
        rows, kept = 0, 0
        for chunk in read_chunks(path, min(limits, default=None)):
            usable = prune(chunk)
            file.write(usable.rows.tobytes())
            rows, kept = rows + len(chunk), kept + len(usable.rows)
            fell.update(usable.fell)
        read += rows
        LOGGER.info("File %d/%d %s: %s rows, %s usable", number, len(files), path.name, f"{rows:,}", f"{kept:,}")
        if choice.max_rows is not None and read >= choice.max_rows:
            if number < len(files):
                LOGGER.warning("--testing reads %s rows at most: %d more files were not read",
                               f"{choice.max_rows:,}", len(files) - number)  # fmt: skip
            break
    return read, fell


def _write_part(folder: Path, part: str, spool: Spool, scaling: Scaling, *, val: bool) -> None:
    rows = int((spool.is_val == val).sum())
    shapes = {"inputs": (rows, len(PARAMETERS)), "targets": (rows,)}
    maps = {
        kind: np.lib.format.open_memmap(folder / f"{part}_{kind}.npy", mode="w+", dtype=np.float32, shape=shape)
        for kind, shape in shapes.items()
    }
    start = 0
    for chunk in spool.chunks(val=val):
        scaled = scaling.apply(chunk).astype(np.float32)
        maps["inputs"][start : start + len(chunk)] = scaled[:, :-1]
        maps["targets"][start : start + len(chunk)] = scaled[:, -1]
        start += len(chunk)
    for array in maps.values():
        array.flush()


def _digest(folder: Path, scaling: Scaling) -> str:
    digest = hashlib.sha256(scaling.mean.tobytes() + scaling.std.tobytes())
    for name in ARRAYS:
        with (folder / f"{name}.npy").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _listing(fell: Counter[str]) -> str:
    return "pruned " + ", ".join(f"{count:,} {cut}" for cut, count in fell.items())
