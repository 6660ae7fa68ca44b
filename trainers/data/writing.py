"""Tables written chunk by chunk; each file is either complete or absent."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..files import atomic_file
from .columns import TREE

Columns = Mapping[str, NDArray[Any]]
Append = Callable[[Columns], None]


@contextmanager
def table_writer(path: Path) -> Iterator[Append]:
    """Provide a function that appends columns to a table.

    The function takes columns of equal length, with the same names in each call. The file appears when the
    block ends without an error.

    Args:
        path: File to write; its suffix determines the format.

    Raises:
        OptionError: The format cannot be written, or the folder does not exist.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise OptionError(f"--output {path}: its name must end in one of {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise OptionError(f"--output {path}: the folder {path.parent} does not exist; create it or choose another one")
    with atomic_file(path) as temporary, ExitStack() as stack:
        yield writer(temporary, stack)


def _csv(path: Path, stack: ExitStack) -> Append:
    import pandas as pd  # noqa: PLC0415 (635 ms)

    file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))

    def append(columns: Columns) -> None:
        plain = {name: values.astype(np.uint8) if values.dtype == bool else values for name, values in columns.items()}
        pd.DataFrame(plain).to_csv(file, index=False, header=file.tell() == 0)

    return append


def _parquet(path: Path, stack: ExitStack) -> Append:
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise OptionError("--output: writing Parquet needs pyarrow; `pip install pyarrow`, or name a .csv, .npz or "
                          ".root file") from None  # fmt: skip
    writers: list[Any] = []

    def append(columns: Columns) -> None:
        table = pa.table(dict(columns))
        if not writers:
            writers.append(stack.enter_context(parquet.ParquetWriter(path, table.schema)))
        writers[0].write_table(table)

    return append


def _root(path: Path, stack: ExitStack) -> Append:
    import uproot  # noqa: PLC0415 (650 ms)

    file = stack.enter_context(uproot.recreate(path))

    def append(columns: Columns) -> None:
        if TREE not in file:
            kinds = {name: "string" if values.dtype.kind == "U" else values.dtype for name, values in columns.items()}
            file.mktree(TREE, kinds)
        texts = {name: values.astype(object) for name, values in columns.items() if values.dtype.kind == "U"}
        file[TREE].extend({**columns, **texts})

    return append


def _npz(path: Path, stack: ExitStack) -> Append:
    """Write a NumPy archive.

    The columns are spooled to separate files: in an archive they follow one another, each after its length.
    """
    spools: dict[str, tuple[IO[bytes], np.dtype[Any]]] = {}
    open_files = stack.enter_context(ExitStack())

    def append(columns: Columns) -> None:
        for name, values in columns.items():
            if name not in spools:
                spool = open_files.enter_context(TemporaryFile(dir=path.parent))  # noqa: SIM115 (closed with the others)
                spools[name] = (spool, values.dtype)
            spools[name][0].write(np.ascontiguousarray(values).tobytes())

    def finish() -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, (spool, dtype) in spools.items():
                header = {"descr": dtype.str, "fortran_order": False, "shape": (spool.tell() // dtype.itemsize,)}
                spool.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    while block := spool.read(1 << 20):
                        member.write(block)

    # Runs before the other exits, and only if the block ended without an error.
    stack.push(lambda kind, _error, _traceback: finish() if kind is None else None)
    return append


WRITERS: dict[str, Callable[[Path, ExitStack], Append]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npz": _npz,
    ".root": _root,
}
"""Writers by the suffix of the file name, in lower case."""
