"""Parquet files, through pyarrow where that is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import DataError
from ..columns import Column
from .common import Rows, find_columns, short, stack

CHUNK_ROWS = 100_000


def read_parquet(path: Path, columns: Sequence[Column], _tree: str, limit: int | None) -> Iterator[Rows]:
    """The first `limit` rows (all: None), chunk by chunk. Raises DataError for what a user can mend."""
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs pyarrow; `pip install pyarrow`, or give ROOT, CSV or NumPy "
                        "files") from None  # fmt: skip
    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        names = find_columns(path, columns, schema.names, "column")
        for name in names.values():
            kind = schema.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise DataError(f"{path}: column '{name}' does not hold one number a row (it is {short(str(kind))}); "
                                "store it as a column of floating-point numbers")  # fmt: skip
        left = file.metadata.num_rows if limit is None else limit
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=list(dict.fromkeys(names.values()))):
            if left <= 0:
                return
            part = batch.slice(0, left)
            left -= len(part)
            values = {}
            for key, name in names.items():
                try:
                    exact = part.column(name).cast(pa.float64())  # refuses integers that a float64 can't hold
                except pa.ArrowInvalid as error:
                    raise DataError(f"{path}: column '{name}': {error}; store floating-point numbers") from None
                values[key] = exact.to_numpy(zero_copy_only=False)
            yield stack(columns, values)
