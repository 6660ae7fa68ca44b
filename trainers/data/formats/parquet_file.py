"""Parquet files, read with pyarrow (an optional package)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import DataError
from ..columns import Column
from .common import Rows, abbreviate, check_declared_size, find_columns, stack_columns

CHUNK_ROWS = 100_000


def read_parquet(path: Path, columns: Sequence[Column], _tree: str, limit: int | None) -> Iterator[Rows]:
    """Read a Parquet file, chunk by chunk.

    Args:
        path: File to read.
        columns: Columns to read.
        _tree: Not used.
        limit: Largest number of rows; None: all.

    Yields:
        Arrays of shape (k, columns), float64.

    Raises:
        DataError: An error in the file that the user can fix.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs pyarrow; `pip install pyarrow`, or use ROOT, CSV or NumPy "
                        "files") from None  # fmt: skip
    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        names = find_columns(path, columns, schema.names, "column")
        for name in names.values():
            kind = schema.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise DataError(f"{path}: column '{name}' does not contain one number per row (it is "
                                f"{abbreviate(str(kind))}); store one floating-point number per row")  # fmt: skip
        remaining = file.metadata.num_rows if limit is None else min(limit, file.metadata.num_rows)
        check_declared_size(path, remaining, len(names))
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=list(dict.fromkeys(names.values()))):
            if remaining <= 0:
                return
            part = batch.slice(0, remaining)
            remaining -= len(part)
            values = {}
            for key, name in names.items():
                try:
                    exact = part.column(name).cast(pa.float64())  # rejects integers that float64 cannot represent
                except pa.ArrowInvalid as error:
                    raise DataError(f"{path}: column '{name}': {error}; store floating-point numbers") from None
                values[key] = exact.to_numpy(zero_copy_only=False)
            yield stack_columns(columns, values)
