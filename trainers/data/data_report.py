"""The description of scan data as lines of text and as a histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import write_atomic
from ..png import png_file
from .columns import HIGGS_MASS
from .lsp import LSP_CLASSES, UNKNOWN
from .targets import FAILED, TARGETS, Target

PERCENTILES = (0, 1, 10, 50, 90, 99, 100)
BINS = 60
BARS = " ▁▂▃▄▅▆▇█"


def target_statistics(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return percentiles and histogram of `values`, shape (n,), for JSON."""
    counts, edges = histogram(values)
    return {
        "percentiles": dict(zip(map(str, PERCENTILES), np.percentile(values, PERCENTILES).tolist(), strict=True)),
        "counts": counts.tolist(),
        "edges": edges.tolist(),
    }


def histogram(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the counts in 60 bins and their 61 edges.

    The bins are logarithmic if the values are positive and span more than a decade.
    """
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 10 * low:
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    edges[0], edges[-1] = low, max(high, edges[-1])
    counts, _ = np.histogram(values, bins=edges)
    return counts, edges


def class_counts(classes: NDArray[np.int8]) -> dict[str, int]:
    """Return the number of points by lightest sparticle.

    The result is empty if the files do not contain the type of the lightest sparticle.
    """
    counts = np.bincount(classes, minlength=len(LSP_CLASSES)).tolist()
    return {} if counts[UNKNOWN] == len(classes) else dict(zip(LSP_CLASSES, counts, strict=True))


def _round_lines(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return where the rows come from, if some are from the rounds of a plan or from a fixed holdout."""
    by_source: dict[str, list[int]] = {}
    for file in files:
        number = file.get("round")
        source = "holdout" if file.get("holdout") else "before" if number is None else f"r{number:02d}"
        counts = by_source.setdefault(source, [0, 0])
        counts[0] += file["usable"] - file["copies"]
        counts[1] += file["read"]
    if by_source.keys() <= {"before"}:
        return []
    return [
        f"Usable rows by round: {', '.join(f'{name} {good:,} of {read:,}' for name, (good, read) in by_source.items())}"
    ]


def report_lines(meta: Mapping[str, Any]) -> list[str]:
    """Return the report on the contents of meta.json."""
    counts, target = meta["counts"], Target.from_dict(meta["target"])
    share = 100 * counts["usable"] / counts["read"]
    files = len(meta["files"])
    cuts = ", ".join(f"{count:,} {cut}" for cut, count in meta["cuts"].items())
    aside = f", {counts['calibration']:,} to calibrate intervals" if "calibration" in counts else ""
    aside += f", {counts['holdout']:,} of the fixed holdout" if "holdout" in counts else ""
    lines = [
        f"Rows: {counts['read']:,} read from {files} file{'s' if files > 1 else ''}, {counts['usable']:,} usable "
        f"({share:.1f} %); pruned {cuts}",
        f"Split: {counts['train']:,} to train, {counts['val']:,} to validate{aside} (seed {meta['seed']}); "
        f"{counts['copies']:,} copies of a point left out, so none is on both sides",
        *_round_lines(meta["files"]),
        f"Target: {target.name} = {target.branch}, learned as {_target_text(target)}; "
        + ", ".join(f"{name} {value:.3g}" for name, value in _percentiles(meta)),
        f"  {meta['target_figures']['edges'][0]:.3g} {_bars(meta['target_figures']['counts'])} "
        f"{meta['target_figures']['edges'][-1]:.3g}",
    ]
    if meta.get("physics"):
        lines.append(f"Physics: {len(meta['physics']['names'])} features join the {len(meta['parameters'])} parameters")
    if meta["lsp"]:
        total = sum(meta["lsp"].values())
        listing = ", ".join(
            f"{name} {count:,} ({100 * count / total:.0f} %)" for name, count in meta["lsp"].items() if count
        )
        lines.append(f"Lightest sparticle: {listing}")
    rows: list[tuple[str, ...]] = [("parameter", "lowest", "highest", "mean", "deviation", "")]
    for column, name in enumerate(meta["parameters"]):
        values = (f"{meta[key][column]:.6g}" for key in ("minimum", "maximum", "mean", "std"))
        rows.append((name, *values, "constant" if name in meta["constant"] else ""))
    return [*lines, *_table(rows)]


def warning_lines(meta: Mapping[str, Any]) -> list[str]:
    """Return the findings in meta.json that the user may want to fix."""
    counts, lines = meta["counts"], []
    if meta["constant"]:
        lines.append(f"Constant in the training part, mapped to 0: {', '.join(meta['constant'])}")
    if meta["not_finite"]:
        where = ", ".join(f"{name} {count:,}" for name, count in meta["not_finite"].items())
        lines.append(f"Not finite (nan, inf, empty or beyond float32): {where}")
    if meta.get("minus_ones"):
        branch = meta["target"]["branch"]
        known = "".join(f", or --target {name}," for name, target in TARGETS.items() if target.branch == branch)
        lines.append(f"{branch} is {FAILED} in {meta['minus_ones']:,} usable rows, as where a calculation failed; "
                     f"--target-above {FAILED}{known} drops them")  # fmt: skip
    higgs = meta.get("failed_higgs", {})
    if higgs.get("usable"):
        lines.append(f"{HIGGS_MASS} is {FAILED} in {higgs['read']:,} rows, {higgs['usable']:,} of them usable: the "
                     "mass of the Higgs boson could not be calculated; "
                     f"--require '{HIGGS_MASS} > 0' drops them")  # fmt: skip
    if counts["copies"]:
        worst = max(meta["files"], key=lambda one: one["copies"])
        lines.append(
            f"Copies: {counts['copies']:,} usable rows repeat the 19 parameters of an earlier row and were left out; "
            f"{meta['conflicts']:,} of them had another {meta['target']['branch']}; most of them, "
            f"{worst['copies']:,}, in {Path(worst['path']).name}"
        )
    return lines


def _target_text(target: Target) -> str:
    return {"log": f"ln(y / {target.y_ref:g})", "ratio": "ln(y / semi-analytic y)"}.get(target.transform, "it is")


def _percentiles(meta: Mapping[str, Any]) -> list[tuple[str, float]]:
    names = {"0": "lowest", "50": "median", "100": "highest"}
    return [(names.get(key, f"{key} %"), value) for key, value in meta["target_figures"]["percentiles"].items()]


def _bars(counts: Sequence[int]) -> str:
    """Return a histogram of one line; a bin with at least one point is visible."""
    top = max(counts)
    return "".join(BARS[-(-count * (len(BARS) - 1) // top)] for count in counts)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells[:-1], widths[1:], strict=False))
        lines.append("  ".join([name.ljust(widths[0]), *numbers, cells[-1]]).rstrip())
    return lines


def draw_histogram(path: Path, meta: Mapping[str, Any]) -> None:
    """Plot the distribution of the target of the usable points.

    Args:
        path: PNG file to write.
        meta: Contents of meta.json.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (500 ms)

    target, counts = Target.from_dict(meta["target"]), meta["target_figures"]["counts"]
    edges = np.array(meta["target_figures"]["edges"])
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(counts, edges, fill=True)
    scale = "log" if edges[0] > 0 and edges[-1] > 10 * edges[0] else "linear"
    axes.set(xscale=scale, xlabel=target.label, ylabel="points", title=f"{sum(counts):,} usable points")
    write_atomic(path, lambda file: file.write(png_file(figure, dpi=120)))
