"""Scan files that must be rejected; a function per file writes it into a folder."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pmssm.trainers.data.columns import COLUMNS

NAMES = ",".join(COLUMNS)
ROW = ",".join(["0.5"] * 20)

BadInput = Callable[[Path], Path]
BAD_INPUTS: dict[str, BadInput] = {}


def bad(description: str) -> Callable[[BadInput], BadInput]:
    """Register the writer under its description, which names its row of docs/reference/data-errors.md."""

    def register(write: BadInput) -> BadInput:
        BAD_INPUTS[description] = write
        return write

    return register


def columns(count: int = 40) -> dict[str, Any]:
    """Return valid columns by name."""
    random = np.random.default_rng(4)
    arrays: dict[str, Any] = {name: random.uniform(1, 2000, count) for name in COLUMNS}
    arrays["MO_Omega"] = random.uniform(0.01, 0.9, count)
    return arrays


def root(folder: Path, arrays: dict[str, Any], tree: str = "susy", types: dict[str, str] | None = None) -> Path:
    import uproot

    with uproot.recreate(folder / "scan.root") as file:
        plain = {name: (array.dtype, array.shape[1:]) for name, array in arrays.items() if name not in (types or {})}
        file.mktree(tree, plain | (types or {}))
        if len(arrays["IN_meL"]):
            file[tree].extend(arrays)
    return folder / "scan.root"


def rntuple(folder: Path, arrays: dict[str, Any]) -> Path:
    import uproot

    with uproot.recreate(folder / "scan.root") as file:
        file.mkrntuple("susy", arrays)
    return folder / "scan.root"


def npz(folder: Path, **changes: Any) -> Path:  # noqa: ANN401
    np.savez(folder / "scan.npz", **columns() | changes)
    return folder / "scan.npz"


def csv(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    (folder / "scan.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
    return folder / "scan.csv"


def parquet(folder: Path, **changes: Any) -> Path:  # noqa: ANN401
    import pyarrow as pa
    from pyarrow import parquet as pq

    pq.write_table(pa.table(columns() | changes), folder / "scan.parquet")
    return folder / "scan.parquet"


def truncated(path: Path, keep: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return path


bad("ROOT: incomplete")(lambda folder: truncated(root(folder, columns()), 0.5))
bad("ROOT: not a ROOT file")(lambda folder: truncated(csv(folder, NAMES).rename(folder / "scan.root"), 1))
bad("ROOT: another tree")(lambda folder: root(folder, columns(), tree="mssm"))


@bad("ROOT: a histogram of that name")
def _(folder: Path) -> Path:
    import uproot

    with uproot.recreate(folder / "scan.root") as file:
        file["susy"] = np.histogram([1.0, 2.0])
    return folder / "scan.root"


bad("ROOT: a misspelt branch")(
    lambda folder: root(folder, {name.replace("tanb", "tanbeta"): array for name, array in columns().items()})
)
bad("ROOT: no target branch")(lambda folder: root(folder, {n: a for n, a in columns().items() if n != "MO_Omega"}))
bad("ROOT: an array in each row")(lambda folder: root(folder, columns() | {"IN_mA": np.ones((40, 2))}))
bad("ROOT: a boolean branch")(lambda folder: root(folder, columns() | {"IN_mA": np.ones(40, dtype=bool)}))
bad("ROOT: no rows")(lambda folder: root(folder, columns(0)))
bad("ROOT: one row")(lambda folder: root(folder, columns(1)))
bad("ROOT: an integer beyond 2⁵³")(
    lambda folder: root(folder, columns() | {"IN_mA": np.full(40, 2**53 + 1, dtype=np.int64)})
)
bad("ROOT: all nan")(lambda folder: root(folder, columns() | {"IN_mA": np.full(40, np.nan)}))
bad("ROOT: all infinite")(lambda folder: root(folder, columns() | {"MO_Omega": np.full(40, np.inf)}))
bad("ROOT: the same target in all rows")(lambda folder: root(folder, columns() | {"MO_Omega": np.full(40, 0.1)}))


@bad("ROOT: a jagged branch")
def _(folder: Path) -> Path:
    import awkward as ak

    jagged = ak.Array([[1.0] * (row % 3) for row in range(40)])
    return root(folder, columns() | {"IN_mA": jagged}, types={"IN_mA": "var * float64"})


@bad("ROOT: a string field of an RNTuple")
def _(folder: Path) -> Path:
    import awkward as ak

    return rntuple(folder, columns() | {"IN_mA": ak.Array(["2000"] * 40)})


@bad("ROOT: a string branch")
def _(folder: Path) -> Path:
    import awkward as ak

    return root(folder, columns() | {"IN_mA": ak.Array(["2000"] * 40)}, types={"IN_mA": "string"})


bad("CSV: empty")(lambda folder: truncated(csv(folder, NAMES), 0))
bad("CSV: a header and no rows")(lambda folder: csv(folder, NAMES))
bad("CSV: one row")(lambda folder: csv(folder, NAMES, ROW))
bad("CSV: no header")(lambda folder: csv(folder, ROW, ROW))
bad("CSV: a misspelt column")(lambda folder: csv(folder, NAMES.replace("IN_meR", "IN_mER"), ROW))
bad("CSV: a column twice")(lambda folder: csv(folder, f"{NAMES},IN_mA", f"{ROW},1"))
bad("CSV: semicolons")(lambda folder: csv(folder, NAMES.replace(",", ";"), ROW.replace(",", ";")))
bad("CSV: semicolons and decimal commas")(
    lambda folder: csv(folder, NAMES.replace(",", ";"), ROW.replace(",", ";").replace(".", ","))
)
bad("CSV: semicolons and quoted names")(
    lambda folder: csv(folder, ";".join(f'"{name}"' for name in COLUMNS), ROW.replace(",", ";"))
)
bad("CSV: decimal commas, unquoted")(lambda folder: csv(folder, NAMES, ROW.replace("0.5", "0,5")))
bad("CSV: decimal commas, quoted")(lambda folder: csv(folder, NAMES, ROW, ROW.replace("0.5", '"0,5"')))
bad("CSV: tabs")(lambda folder: csv(folder, NAMES.replace(",", "\t"), ROW.replace(",", "\t")))
bad("CSV: a row too long")(lambda folder: csv(folder, NAMES, ROW, f"{ROW},1"))
bad("CSV: a quotation mark that is not closed")(lambda folder: csv(folder, f"{NAMES},note", *[f'{ROW},"good'] * 2))
bad("CSV: a comment and no header")(lambda folder: csv(folder, "# scan of May", ROW, ROW))
bad("CSV: a comment below the header")(lambda folder: csv(folder, NAMES, ROW, ROW, "# end of the scan"))
bad("CSV: a name with a space")(lambda folder: csv(folder, NAMES.replace("IN_meR", "IN meR"), ROW))
bad("CSV: dashes below an infinity")(
    lambda folder: csv(folder, NAMES, ROW.replace("0.5", "inf", 1), ROW.replace("0.5", "--", 1))
)
bad("CSV: an incomplete row")(lambda folder: csv(folder, NAMES, ROW, ROW[:-10]))
bad("CSV: a word")(lambda folder: csv(folder, NAMES, ROW, ROW.replace("0.5", "abc", 1)))
bad("CSV: digits grouped by underscores")(lambda folder: csv(folder, NAMES, ROW, ROW.replace("0.5", "1_000", 1)))
bad("CSV: true and false")(lambda folder: csv(folder, NAMES, ROW.replace("0.5", "True", 1)))
bad("CSV: an integer beyond 2⁵³")(lambda folder: csv(folder, NAMES, ROW.replace("0.5", str(2**53 + 1), 1)))
bad("CSV: an integer beyond 2⁶⁴")(lambda folder: csv(folder, NAMES, ROW.replace("0.5", "9" * 25, 1)))
bad("CSV: 10,000 columns, the needed ones are missing")(
    lambda folder: csv(folder, ",".join(f"c{n}" for n in range(10_000)), ",".join(["1"] * 10_000))
)
bad("CSV: UTF-16")(lambda folder: csv(folder, NAMES, ROW, encoding="utf-16"))
bad("CSV: Latin-1")(lambda folder: csv(folder, f"{NAMES},größe", f"{ROW},1", encoding="latin-1"))
bad("CSV: a file of another format")(lambda folder: npz(folder).rename(folder / "scan.csv"))

bad("Parquet: incomplete")(lambda folder: truncated(parquet(folder), 0.7))
bad("Parquet: strings")(lambda folder: parquet(folder, IN_mA=["2000"] * 40))
bad("Parquet: lists")(lambda folder: parquet(folder, IN_mA=[[1.0]] * 40))
bad("Parquet: an integer beyond 2⁵³")(lambda folder: parquet(folder, IN_mA=np.full(40, 2**53 + 1)))

bad("NumPy: incomplete")(lambda folder: truncated(npz(folder), 0.9))
bad("NumPy: arrays of different lengths")(lambda folder: npz(folder, IN_mA=np.ones(39)))
bad("NumPy: a table instead of columns")(lambda folder: npz(folder, IN_mA=np.ones((40, 2))))
bad("NumPy: strings")(lambda folder: npz(folder, IN_mA=np.full(40, "2000")))
bad("NumPy: Python objects")(lambda folder: npz(folder, IN_mA=np.full(40, 1.0, dtype=object)))
bad("NumPy: complex numbers")(lambda folder: npz(folder, IN_mA=np.full(40, 1j)))
bad("NumPy: an integer beyond 2⁵³")(lambda folder: npz(folder, IN_mA=np.full(40, 2**64 - 1, dtype=np.uint64)))


@bad("NumPy: an archive without the parameters")
def _(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "scan.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    return folder / "scan.npz"


@bad("another kind of file")
def _(folder: Path) -> Path:
    return csv(folder, NAMES, ROW).rename(folder / "scan.txt")


@bad("a folder without scan files")
def _(folder: Path) -> Path:
    (folder / "notes").mkdir()
    return folder / "notes"
