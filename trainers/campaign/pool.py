"""Candidates among which the next points are chosen: a Latin hypercube, a Markov chain, or the points of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.columns import parameter_columns
from ..data.reading import SUFFIXES, read_chunks
from ..data.scan_files import find_files
from ..errors import OptionError

Points = NDArray[np.float64]

MAX_POOL = 100_000_000
MADE = re.compile(r"(lhs|chain):(\d[\d_]*)", re.ASCII)


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
        size: Points of the Latin hypercube or states of the Markov chain; 0 for a file.
        path: File of candidates; None for the others.
        is_chain: Whether it is a Markov chain.
    """

    size: int
    path: Path | None
    is_chain: bool = False

    @classmethod
    def parse(cls, text: str) -> Pool:
        """Return the pool that a value of `--pool` describes.

        Raises:
            OptionError: It is neither `lhs:N` nor `chain:N` nor a file that exists.
        """
        if match := MADE.fullmatch(text):
            count = int(match[2])
            if not 0 < count <= MAX_POOL:
                raise OptionError(f"--pool {text}: must have 1 to {MAX_POOL:,} points")
            return cls(count, None, match[1] == "chain")
        path = Path(text)
        if text.startswith(("lhs:", "chain:")) or path.suffix.lower() not in SUFFIXES:
            raise OptionError(f"--pool {text}: use lhs:1000000 for a Latin hypercube, chain:100000 for a Markov chain, "
                              f"or a file whose name ends in one of {', '.join(SUFFIXES)}")  # fmt: skip
        if not path.is_file():
            raise OptionError(f"--pool {text}: no such file")
        return cls(0, path)


def latin_hypercube(count: int, ranges: Ranges, random: np.random.Generator) -> Points:
    """Return points that fill `ranges`: each of `count` equal parts of each range has one point.

    Source: McKay, Beckman and Conover, Technometrics 21 (1979) 239.

    Returns:
        Shape (count, 19).
    """
    from scipy.stats import qmc  # noqa: PLC0415 - half a second, which other pools do without

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
