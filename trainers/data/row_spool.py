"""Rows in a temporary file, so that they need not fit into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

CHUNK_ROWS = 20_000


class RowSpool:
    """Rows of float64 in one unnamed file.

    Args:
        folder: Folder of the file.
        width: Numbers per row; also an attribute.

    Attributes:
        rows: Number of rows.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.width = width
        self.rows = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

    def append(self, rows: Rows) -> None:
        """Append `rows`, shape (k, width).

        Raises:
            OSError: The disk is full.
        """
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self.rows += len(rows)

    def chunks(self, chosen: NDArray[np.bool_]) -> Iterator[Rows]:
        """Yield the rows selected by the mask `chosen`, shape (n,), in their order.

        Yields:
            Arrays of shape (k, width).
        """
        size = self.width * 8
        for start in range(0, self.rows, CHUNK_ROWS):
            mask = chosen[start : start + CHUNK_ROWS]
            if mask.any():
                self._file.seek(start * size)
                rows = np.frombuffer(self._file.read(len(mask) * size), dtype=np.float64)
                yield rows.reshape(-1, self.width)[mask]
        self._file.seek(self.rows * size)
