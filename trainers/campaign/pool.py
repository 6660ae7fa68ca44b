"""Candidates among which the next points are chosen: a Latin hypercube, or the points of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from ..data.columns import parameter_columns
from ..data.reading import SUFFIXES, read_chunks
from ..data.scan_files import find_files
from ..errors import OptionError

Points = NDArray[np.float64]

MAX_POOL = 100_000_000
LHS = re.compile(r"lhs:(\d[\d_]*)", re.ASCII)


class Ranges(NamedTuple):
    """Smallest and largest value of each parameter, each of shape (19,); equal for a constant parameter."""

    low: Points
    high: Points

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Which parameters vary, shape (19,)."""
        return np.asarray(self.high > self.low)


class Pool(NamedTuple):
    """Where candidates come from.

    Attributes:
        size: Points of the Latin hypercube; 0 for a file.
        path: File of candidates; None for a Latin hypercube.
    """

    size: int
    path: Path | None

    @classmethod
    def parse(cls, text: str) -> Pool:
        """Return the pool that a value of `--pool` describes.

        Raises:
            OptionError: It is neither `lhs:N` nor a file that exists.
        """
        if match := LHS.fullmatch(text):
            count = int(match[1])
            if not 0 < count <= MAX_POOL:
                raise OptionError(f"--pool {text}: must have 1 to {MAX_POOL:,} points")
            return cls(count, None)
        path = Path(text)
        if text.startswith("lhs") or path.suffix.lower() not in SUFFIXES:
            raise OptionError(f"--pool {text}: use lhs:1000000 for a Latin hypercube, or a file whose name ends in one "
                              f"of {', '.join(SUFFIXES)}")  # fmt: skip
        if not path.is_file():
            raise OptionError(f"--pool {text}: no such file")
        return cls(0, path)

    def points(self, ranges: Ranges, random: np.random.Generator, *, tree: str) -> Points:
        """Return the candidates, shape (n, 19)."""
        if self.path is not None:
            return np.concatenate(list(read_chunks(self.path, parameter_columns(), tree=tree)))
        return latin_hypercube(self.size, ranges, random)


def latin_hypercube(count: int, ranges: Ranges, random: np.random.Generator) -> Points:
    """Return points that fill `ranges`: each of `count` equal parts of each range has one point.

    Source: McKay, Beckman and Conover, Technometrics 21 (1979) 239.

    Returns:
        Shape (count, 19).
    """
    points = np.tile(ranges.low, (count, 1))
    varies = ranges.varies
    if varies.any():
        sample = qmc.LatinHypercube(int(varies.sum()), rng=random).random(count)
        points[:, varies] += sample * (ranges.high - ranges.low)[varies]
    return points


def ranges_of_files(patterns: Sequence[str], *, tree: str, branches: Sequence[str] = ()) -> Ranges:
    """Return the ranges of all points in scan files.

    Raises:
        DataError: No file matches, a file cannot be read, or no point is finite.
    """
    low, high = np.full(19, np.inf), np.full(19, -np.inf)
    for path in find_files(patterns):
        for rows in read_chunks(path, parameter_columns(branches), tree=tree):
            finite = rows[np.isfinite(rows).all(axis=1)]
            low = np.minimum(low, finite.min(axis=0, initial=np.inf))
            high = np.maximum(high, finite.max(axis=0, initial=-np.inf))
    if not np.isfinite(low).all():
        raise OptionError(f"--ranges {patterns[0]}: contains no finite point; use another scan")
    return Ranges(low, high)
