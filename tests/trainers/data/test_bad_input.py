"""Every bad file gets one line that names file and remedy, whatever is in it; and nothing is silently coerced."""

from __future__ import annotations

import csv
import io
import math
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pmssm.trainers.data.columns import COLUMNS, parameter_columns
from pmssm.trainers.data.prepare import prepare
from pmssm.trainers.data.reading import SUFFIXES, read_chunks
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.errors import DataError, OptionError
from support.bad_scan_files import BAD_INPUTS, NAMES, ROW, columns, npz, parquet, rntuple, root

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "reference" / "data-errors.md").read_text()
Write = Callable[..., Path]


def read(path: Path, selection: ScanSelection = ScanSelection()) -> np.ndarray:  # noqa: B008 (frozen)
    """The 19 parameters and the target of all rows."""
    return np.concatenate(list(read_chunks(path, selection.columns(), tree=selection.tree)))[:, : len(COLUMNS)]


def documented(description: str, message: str) -> str:
    """The row of docs/reference/data-errors.md; the text of a library about a damaged file changes with its version."""
    line = re.sub(r" \(\w+: .*\)$", " (…)", message)
    return f"| {description} | `{line}` |" if "`" not in line else f"| {description} | ``{line}`` |"


@pytest.mark.parametrize("description", BAD_INPUTS)
def test_a_bad_file_is_refused_in_the_documented_line_and_leaves_nothing(description: str, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    path = BAD_INPUTS[description](given)
    with pytest.raises(DataError) as caught:
        prepare(tmp_path / "out", patterns=[str(path)], selection=ScanSelection())
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path.resolve()}: ")
    assert not [left for left in tmp_path.rglob("out/*") if left.is_file()]
    assert documented(description, message.removeprefix(f"{given.resolve()}/")) in DOCUMENTED


def test_parquet_without_its_library_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"scan\.parquet: reading Parquet needs pyarrow; `pip install pyarrow`, or use"):
        read(path)


# What looks odd and is read all the same


def test_a_byte_order_mark_is_no_part_of_the_first_name_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scan.csv").write_text(f"{NAMES}\n{ROW}\n", encoding="utf-8-sig")
    with caplog.at_level("INFO", "pmssm.trainers"):
        assert read(tmp_path / "scan.csv").tolist() == [[0.5] * 20]
    assert "scan.csv: starts with a byte-order mark" in caplog.text


def test_ten_thousand_columns_are_read_for_the_twenty_among_them(tmp_path: Path) -> None:
    header = [f"c{n}" for n in range(10_000)]
    header[5_000:5_000] = COLUMNS
    row = ",".join(["0.5"] * len(header))
    (tmp_path / "scan.csv").write_text("\n".join([",".join(header), *[row] * 300]) + "\n")
    assert read(tmp_path / "scan.csv").shape == (300, 20)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_any_system_blank_lines_and_padded_cells_are_read(tmp_path: Path, end: str) -> None:
    lines = [NAMES.replace(",", " , "), ROW, "", ROW.replace(",", " , "), ""]
    (tmp_path / "scan.csv").write_bytes(end.join(lines).encode())
    assert read(tmp_path / "scan.csv").tolist() == [[0.5] * 20] * 2


@pytest.mark.parametrize("blank", ["", " ", "\t", " \t  "])
def test_lines_of_blanks_are_no_rows_and_count_neither_for_the_limit(tmp_path: Path, blank: str) -> None:
    (tmp_path / "scan.csv").write_text("\n".join([blank, NAMES, blank, ROW, blank, ROW, ROW[:-1] + "7", blank]))
    assert len(read(tmp_path / "scan.csv")) == 3
    chunks = list(read_chunks(tmp_path / "scan.csv", ScanSelection().columns(), limit=2))
    assert sum(map(len, chunks)) == 2


@pytest.mark.parametrize(
    ("cell", "value"),
    [(f"{left}{word}{right}", value)
     for left, right in [("", ""), (" ", " "), ("\t", "\t "), ('" ', ' "')]
     for word, value in [("nan", math.nan), ("-NaN", math.nan), ("NAN(ind)", math.nan), ("NA", math.nan),
                         ("null", math.nan), ("inf", math.inf), ("-Inf", -math.inf), ("+Infinity", math.inf),
                         ("-1.#INF", -math.inf), ("1.#QNAN", math.nan), ("-2.5e3", -2500.0)]],
)  # fmt: skip
def test_cells_without_a_finite_number_are_read_with_and_without_blanks(
    tmp_path: Path, cell: str, value: float
) -> None:
    (tmp_path / "scan.csv").write_text(f"{NAMES}\n{ROW.replace('0.5', cell, 1)}\n{ROW}\n")
    np.testing.assert_array_equal(read(tmp_path / "scan.csv"), [[value, *[0.5] * 19], [0.5] * 20])


def test_a_padded_nan_far_below_in_a_long_file_is_read_without_a_warning(tmp_path: Path) -> None:
    lines = [NAMES, *[ROW] * 70_000, ROW.replace("0.5", " nan ", 1)]
    (tmp_path / "scan.csv").write_text("\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = read(tmp_path / "scan.csv")
    assert math.isnan(numbers[-1, 0]) and np.isnan(numbers).sum() == 1 and len(numbers) == 70_001


def test_a_table_of_numpy_savetxt_is_read_with_its_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = np.column_stack(list(columns().values()))
    np.savetxt(tmp_path / "scan.csv", expected, delimiter=",", header=f"scan of May, all points\n{NAMES}")
    with caplog.at_level("INFO", "pmssm.trainers"):
        np.testing.assert_allclose(read(tmp_path / "scan.csv"), expected, rtol=1e-15)
    assert "scan.csv: the column names are taken from line 2, which starts with #" in caplog.text


def test_remarks_above_the_header_are_passed_over_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    lines = ["# scan of May, by me", "", f"#{ROW}", NAMES, ROW, ROW]
    (tmp_path / "scan.csv").write_text("\n".join(lines))
    assert read(tmp_path / "scan.csv").tolist() == [[0.5] * 20] * 2
    (tmp_path / "scan.csv").write_text("\n".join([*lines, "1,2"]))
    with pytest.raises(DataError, match="line 7 has 2 cells"):
        read(tmp_path / "scan.csv")


@pytest.mark.parametrize("name", ["my At", "At*", "$(At)", "it's At", "At=1", "A" * 200 + "At", "-At"])
def test_the_remedy_for_a_misspelt_column_works_as_a_shell_takes_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan.csv").write_text(f"{NAMES.replace('IN_At,', f'{name},')}\n{ROW}\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "scan.csv", ScanSelection(branches=(f"At={name[:-1]}x",)))
    taken = remedy(str(caught.value), "--branches")
    assert taken == f"At={name}"
    assert len(read(tmp_path / "scan.csv", ScanSelection(branches=(taken,)))) == 1


def remedy(message: str, option: str) -> str:
    """The value of the option that the message recommends, after a shell has taken it apart."""
    words = shlex.split(message.rpartition(f"use {option} ")[2])
    return words[0].rstrip(",")


def with_names(spelling: Callable[[str], str]) -> dict[str, np.ndarray]:
    return {name if name == "MO_Omega" else spelling(name): array for name, array in columns().items()}


@pytest.mark.parametrize(
    ("spelling", "branches"),
    [
        (lambda name: name, ()),
        (lambda name: name.removeprefix("IN_"), ()),
        (lambda name: name.replace("At", "AT") if name == "IN_At" else name, ()),
        (lambda name: {"IN_At": "AT"}.get(name, name.removeprefix("IN_")), ()),
        (lambda name: name.replace("IN_", "p."), ("p.*",)),
        (lambda name: name.replace("IN_M_", "M"), ()),
        (lambda name: {"IN_At": "trilinear"}.get(name, name), ("At=trilinear",)),
        (lambda name: {"IN_At": "trilinear"}.get(name, name.lower()[3:] + "_in"), ("*_in", "At=trilinear")),
    ],
)
def test_parameters_are_found_with_or_without_prefix_and_by_the_branches_option(
    spelling: Callable[[str], str], branches: tuple[str, ...], tmp_path: Path
) -> None:
    expected = np.column_stack(list(columns().values()))
    if branches[:1] == ("*_in",):
        branches = (*branches, *(f"{n[3:]}={n.lower()[3:]}_in" for n in COLUMNS[:19] if n != "IN_At"))
    np.savez(tmp_path / "scan.npz", **with_names(spelling))
    np.testing.assert_array_equal(read(tmp_path / "scan.npz", ScanSelection(branches=branches)), expected)


def test_the_target_may_have_another_name_and_keep_its_cuts(tmp_path: Path) -> None:
    arrays = columns()
    np.savez(tmp_path / "scan.npz", **{"oh2" if name == "MO_Omega" else name: a for name, a in arrays.items()})
    selection = ScanSelection(branches=("MO_Omega=oh2",))
    np.testing.assert_array_equal(read(tmp_path / "scan.npz", selection)[:, -1], arrays["MO_Omega"])


@pytest.mark.parametrize("item", ["IN_", "a*b*", "At=", "Atop=x", "=x", ""])
def test_branches_that_mean_nothing_are_refused(item: str) -> None:
    with pytest.raises(OptionError, match=r"--branches .*: use a pattern with one star"):
        parameter_columns((item,))


@pytest.mark.parametrize("write", [root, rntuple, lambda folder, arrays: parquet(folder, **arrays),
                                   lambda folder, arrays: npz(folder, **arrays)])  # fmt: skip
def test_every_format_gives_the_same_numbers_also_of_other_types(write: Write, tmp_path: Path) -> None:
    arrays = columns(7)
    arrays |= {"IN_mA": np.arange(7, dtype=np.int32), "IN_mu": np.arange(7, dtype=np.float32)}
    arrays["IN_tanb"] = np.arange(7, dtype=np.uint8)
    path = write(tmp_path, arrays)
    np.testing.assert_array_equal(read(path), np.column_stack([arrays[name] for name in COLUMNS]).astype(np.float64))
    first = np.concatenate(list(read_chunks(path, ScanSelection().columns(), limit=3)))
    assert len(first) == 3


def test_a_tree_of_another_name_is_read_where_it_is_named(tmp_path: Path) -> None:
    path = root(tmp_path, columns(), tree="points/all")
    assert len(read(path, ScanSelection(tree="points/all"))) == 40


# What a file declares before it is read


@pytest.mark.parametrize("write", [root, parquet, npz])
def test_a_small_file_that_declares_gigabytes_is_refused_before_it_is_read(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmssm.trainers.data.formats.common.MOST_UNQUESTIONED_BYTES", 1_000_000)
    arrays = {name: np.ones(100_000) for name in COLUMNS}
    path = tmp_path / "scan.npz"
    if write is npz:
        np.savez_compressed(path, **arrays)
    else:
        path = write(tmp_path, arrays) if write is root else write(tmp_path, **arrays)
    with pytest.raises(DataError, match=r"declares 100,000 rows, 0 GB of numbers in a file of 0\.\d MB") as caught:
        next(read_chunks(path, ScanSelection().columns()))
    limit = int(str(caught.value).rpartition("--n-samples ")[2])
    assert len(np.concatenate(list(read_chunks(path, ScanSelection().columns(), limit=limit)))) == limit


def test_a_numpy_bomb_ends_check_at_once(tmp_path: Path, cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    rows, header = 10_000_000, io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (rows,)})
    array, packer = header.getvalue() + bytes(8 * rows), zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed, checksum = packer.compress(array) + packer.flush(), zlib.crc32(array)
    with zipfile.ZipFile(tmp_path / "scan.npz", "w") as archive:
        for name in COLUMNS:  # compressed once, which takes less time than 20 times
            archive.writestr(f"{name}.npy", packed)
            entry = archive.getinfo(f"{name}.npy")
            entry.compress_type, entry.file_size, entry.CRC = zipfile.ZIP_DEFLATED, len(array), checksum
    done = cli("check", "--data", tmp_path / "scan.npz")
    assert done.returncode == 2
    assert "scan.npz: declares 10,000,000 rows, 2 GB of numbers in a file of 7.0 MB" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("rows", [41, 39, 2**60])
def test_a_numpy_array_whose_header_tells_another_length_is_refused(rows: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(npz(tmp_path)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    shape, other = (f"({count},), }}".encode().ljust(30) for count in (40, rows))
    contents["IN_mA.npy"] = contents["IN_mA.npy"].replace(shape, other)
    with zipfile.ZipFile(tmp_path / "scan.npz", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match=rf"array 'IN_mA' is incomplete or damaged: it declares {rows:,} numbers"):
        read(tmp_path / "scan.npz")


# Whatever is in a file


@contextmanager
def file_of(suffix: str, content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"scan{suffix}"
        path.write_bytes(content)
        yield path


@given(st.sampled_from(sorted(SUFFIXES)), st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_refused_in_one_line(suffix: str, content: bytes) -> None:
    with file_of(suffix, content) as path, pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()


@pytest.fixture(scope="module", params=["root", "rntuple", "parquet", "npz"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    writers: dict[str, Write] = {"root": root, "rntuple": rntuple}
    if request.param in writers:
        return writers[request.param](folder, columns())
    return parquet(folder) if request.param == "parquet" else npz(folder)


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_in_one_line_or_gives_as_many_numbers(whole: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    with file_of(whole.suffix, bytes(content)) as path:
        try:
            rows = read(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ")
            assert str(error).isprintable()
        else:
            assert rows.shape[1] == 20


CELLS = ["1", "1.5", "-2.5e3", ".5", "5.", "+3", " 7 ", "-0", "1e400", "", "nan", "inf", "-inf", "NA", "1,5", "abc",
         "1_000", "0x10", "True", "１２", "9" * 25, str(2**53), str(2**53 + 1), "1e5", "1.0.0", "--1", "1 2",
         "None", " nan ", "inf ", "-1.#IND"]  # fmt: skip
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
rows_of_cells = st.lists(st.lists(st.sampled_from(CELLS), min_size=20, max_size=20), min_size=1, max_size=4)
plain_rows = st.lists(st.lists(st.sampled_from(CELLS[:14]), min_size=20, max_size=20), min_size=1, max_size=4)


@given(rows_of_cells | plain_rows)
@settings(max_examples=100, deadline=None)
def test_every_number_that_is_read_from_csv_stands_there_in_digits(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    with file_of(".csv", text.getvalue().encode()) as path:
        try:
            numbers = read(path)
        except DataError as error:
            assert re.search(r"scan\.csv: column '\w+', data row \d+: ", str(error))
            return
    assert numbers.shape == (len(rows), 20)
    for cells, values in zip(rows, numbers, strict=True):
        for cell, value in zip(cells, values, strict=True):
            if math.isfinite(value):
                assert NUMBER.fullmatch(cell) and float(cell) == value
            else:
                assert cell.strip() in ("1e400", "", "nan", "inf", "-inf", "NA", "None", "-1.#IND")


raw_cells = st.sampled_from(["1", "0.5", '"1"', '"', '1"', '"1', '""', '" 1', "\0", "a\tb", "", '"a,b"'])
raw_lines = st.lists(
    st.tuples(st.lists(raw_cells, min_size=1, max_size=2), st.booleans()).map(
        lambda drawn: ",".join([*["0.5"] * 20, *drawn[0]] if drawn[1] else [*drawn[0], *["0.5"] * 20])
    ),
    min_size=1,
    max_size=4,
)


@given(raw_lines)
@settings(max_examples=150, deadline=None)
def test_a_csv_file_is_refused_or_each_of_its_lines_is_a_row(lines: list[str]) -> None:
    content = "\n".join([f"{NAMES},note", *lines]) + "\n"
    with file_of(".csv", content.encode()) as path:
        try:
            numbers = read(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ") and str(error).isprintable()
        else:
            assert len(numbers) == len(lines)
