"""Time of `prepare` on data of the lab's size: `python benchmarks/prepare.py [--files 300]`.

It first writes ROOT files, compressed with ROOT's defaults, with additional unused branches. The lower
limit is the time to read and decompress the 20 columns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import uproot
from pmssm.trainers.data.columns import PARAMETERS, TREE

TARGET, OTHERS = "MO_Omega", tuple(f"SP_m_{number}" for number in range(10))


def write(path: Path, rows: int, seed: int) -> None:
    """Write a scan in which a tenth of the rows failed and some points are overclosed."""
    random = np.random.default_rng(seed)
    columns = {name: random.uniform(100, 4000, rows) for name in (*PARAMETERS, *OTHERS)}
    density = random.lognormal(-3, 2, rows)
    density[random.random(rows) < 0.1] = -1
    with uproot.recreate(path) as file:
        file.mktree(TREE, dict.fromkeys((*columns, TARGET), np.float64))
        file[TREE].extend({**columns, TARGET: density})


def decompressed(files: list[Path]) -> float:
    """Return the seconds to read the 20 columns of all files."""
    start = time.perf_counter()
    for path in files:
        with uproot.open(path) as file:
            file[TREE].arrays([*PARAMETERS, TARGET], library="np")
    return time.perf_counter() - start


def run(folder: Path, output: Path) -> tuple[float, float, int]:
    """Run `prepare`; return seconds, peak memory in MiB and the number of printed lines."""
    command = [sys.executable, "-m", "pmssm.trainers", "prepare", "--data", str(folder), "--output", str(output)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = len(process.stdout.readlines())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("prepare failed")
    return time.perf_counter() - start, usage.ru_maxrss / 2**10, lines


def main() -> None:
    """Write the files, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rows", type=int, default=10_000, help="of each file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prepare-") as name:
        folder, output = Path(name) / "scan", Path(name) / "prepared"
        folder.mkdir()
        start = time.perf_counter()
        files = [folder / f"scan_{number}.root" for number in range(options.files)]
        for number, path in enumerate(files):
            write(path, options.rows, number)
        size = sum(path.stat().st_size for path in files) / 2**20
        print(f"{options.files} files × {options.rows:,} rows, {size:.0f} MiB, written in "
              f"{time.perf_counter() - start:.0f} s\n")  # fmt: skip
        print("| | seconds | peak MiB | lines |\n| --- | --- | --- | --- |")
        for what in ("first time", "again, nothing changed"):
            seconds, peak, lines = run(folder, output)
            print(f"| {what} | {seconds:.1f} | {peak:.0f} | {lines} |", flush=True)
        print(f"| floor: the columns read and decompressed | {decompressed(files):.1f} | | |")
    print(f"\nload average {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} cores")


if __name__ == "__main__":
    main()
