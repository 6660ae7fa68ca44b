from __future__ import annotations

import csv
import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pmssm.trainers.data.columns import COLUMNS
from pmssm.trainers.data.cuts import apply_cuts
from pmssm.trainers.data.natural_order import natural_key
from pmssm.trainers.data.reading import read_chunks
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.data.standardize import fit_standardizer
from pmssm.trainers.data.targets import TARGETS

anything = st.one_of(st.floats(width=64), st.sampled_from([-1.0, 0.0, 1.0, 0.5, math.nan, math.inf]))
tables = st.integers(0, 12).flatmap(lambda n: npst.arrays(np.float64, (n, len(COLUMNS)), elements=anything))


@given(tables)
def test_every_row_is_usable_or_fell_to_exactly_one_cut(rows: np.ndarray) -> None:
    pruned = apply_cuts(rows, TARGETS["relic_density"])
    kept = rows[pruned.usable]
    assert len(kept) + pruned.dropped.total() == len(rows)
    assert np.isfinite(kept.astype(np.float32)).all()
    assert ((kept[:, -1] > 0) & (kept[:, -1] < 1)).all()


@given(tables.filter(len), st.permutations(range(len(COLUMNS))))
def test_csv_gives_back_every_bit_whatever_the_order_of_its_columns(rows: np.ndarray, order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["number", *(COLUMNS[i] for i in order)])
            writer.writerows([number, *(repr(float(row[i])) for i in order)] for number, row in enumerate(rows))
        read = np.concatenate(list(read_chunks(path, ScanSelection().columns())))
    np.testing.assert_array_equal(read[:, : len(COLUMNS)], rows)
    assert np.isnan(read[:, len(COLUMNS) :]).all()


finite = st.floats(-1e6, 1e6)


@given(npst.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=finite), st.integers(1, 7))
def test_statistics_do_not_depend_on_the_chunks_and_scale_to_mean_0_and_deviation_1(
    rows: np.ndarray, size: int
) -> None:
    scaling = fit_standardizer(lambda: [rows[start : start + size] for start in range(0, len(rows), size)])
    np.testing.assert_allclose(scaling.mean, rows.mean(axis=0), rtol=1e-9, atol=1e-9)
    scaled = scaling.apply(rows)
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= math.sqrt(len(rows)) * (1 + 1e-6)
    for column, std in enumerate(scaling.std):
        if std == 0:
            assert (scaled[:, column] == 0).all()
        else:
            assert abs(scaled[:, column].std() - 1) < 1e-6


@given(st.floats(-1e5, 1e5), st.integers(1, 500))
def test_a_constant_column_is_0_whatever_its_value_and_length(value: float, count: int) -> None:
    rows = np.full((count, 1), value)
    scaling = fit_standardizer(lambda: [rows])
    assert (scaling.apply(rows) == 0).all()


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int]) -> None:
    paths = sorted((Path(f"scan_{number}.root") for number in numbers), key=natural_key)
    assert paths == [Path(f"scan_{number}.root") for number in sorted(numbers)]
