"""The commands for trained models: `predict`, `evaluate`, `export`, `report`.

torch is imported inside the commands, so that `--help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..data.columns import TREE
from ..data.reading import FORMAT_NAMES
from ..errors import OptionError
from ..process_tuning import tune_process
from ..signals import StopRequest
from .options import require_finite

FILE = click.Path(path_type=Path)
SLHA = "Or an SLHA file, a folder of SLHA files, or a quoted glob of them."
POINTS = f"{FORMAT_NAMES} file with the 19 parameters, with or without the prefix IN_."


@click.command(short_help="Predict the target of new points.")
@click.argument("model", type=FILE)
@click.option(
    "--input",
    "source",
    type=FILE,
    required=True,
    help=f"{POINTS} {SLHA}",
)
@click.option("--output", type=FILE, required=True, help="File to write; .csv, .parquet, .npz or .root.")
@click.option("--tree", default=TREE, show_default=True, help="Tree of a ROOT file.")
@click.option("--branches", multiple=True, metavar="NAMES",
              help="Names of the parameters in the file: 'IN_*', or At=some_branch; may be repeated.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
              help="bf16: faster on hardware that supports it, with errors of 0.001 standard deviations.")  # fmt: skip
def predict(
    *, model: Path, source: Path, output: Path, tree: str, branches: tuple[str, ...], device: str, precision: str
) -> None:
    """Predict the target of new points with MODEL, the model.pt of a finished training.

    OUTPUT has one row per point, in the same order. Its columns are the target; its spread, if the model
    is an --ensemble; the bounds of its 68 % and 95 % intervals, if the data were prepared with
    --calibration; the probabilities that the point is usable, fails or is overclosed; and whether the
    point lies outside the training range (1) or inside (0). Outside, there is no guarantee, so the bounds
    are nan. For SLHA files, the first column is the name of the file.
    """
    StopRequest().install()
    tune_process()
    from ..inference.predict_file import predict_file

    predict_file(model, source, output, tree=tree, branches=branches, device=device, precision=precision)


@click.command(short_help="Compare models on points with known truth.")
@click.argument("models", metavar="MODEL...", type=FILE, nargs=-1, required=True)
@click.option(
    "--input",
    "patterns",
    multiple=True,
    required=True,
    metavar="PATTERN",
    help="File, folder or quoted glob with parameters and truth; may be repeated.",
)
@click.option(
    "--output",
    type=FILE,
    default="evaluation",
    show_default=True,
    help="Folder for evaluation.html, evaluation.json and plots.",
)
@click.option(
    "--threshold",
    type=float,
    callback=require_finite,
    metavar="Y",
    help="Smallest excluded value of the target.  [default: 0.12 for the relic density]",
)
@click.option(
    "--sigma",
    type=click.FloatRange(min=0, min_open=True),
    callback=require_finite,
    metavar="S",
    help="Standard deviation of experiment and theory at the threshold.  "
    "[default: 0.012 for the relic density, else 10 % of the threshold]",
)
@click.option("--tree", default=TREE, show_default=True, help="Tree of ROOT files.")
@click.option(
    "--branches", multiple=True, metavar="PATTERN|NAME=BRANCH", help="Names of the branches; may be repeated."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def evaluate(
    *,
    models: tuple[Path, ...],
    patterns: tuple[str, ...],
    output: Path,
    threshold: float | None,
    sigma: float | None,
    tree: str,
    branches: tuple[str, ...],
    device: str,
) -> None:
    """Compare one or more MODELs, each the model.pt of a training, on points whose truth is known.

    No training should have read these points; a warning says how many were read. The page has the figures
    of `report`, the confusion matrix at the threshold, and the quality of the stated errors. All of them
    are also given by lightest sparticle.
    """
    StopRequest().install()
    tune_process()
    from ..evaluation.evaluate import evaluate_models
    from ..evaluation.tables import text_lines

    tables = evaluate_models(models, patterns, output, threshold=threshold, sigma=sigma, tree=tree,
                             branches=branches, device=device)  # fmt: skip
    for table in tables:
        click.echo("\n".join(["", *text_lines(table)]))


@click.command(short_help="Write a model as ONNX or .pt2.")
@click.argument("model", type=FILE)
@click.option("--output", type=FILE, required=True, help="File to write; .onnx for ONNX, .pt2 for torch.export.")
def export(*, model: Path, output: Path) -> None:
    """Export MODEL, the model.pt of a finished training, for programs without this package.

    The exported function maps the 19 parameters in physical units, (n, 19) float64, to the target, (n,)
    float64. The file is kept only if its values agree with those of MODEL to 1e-6. If MODEL has intervals, the
    file also gives their bounds, which agree to 1e-4.
    """
    StopRequest().install()
    tune_process()
    from ..inference.export import export_model

    export_model(model, output)


@click.command(short_help="Compare all trainings of a session on one page.")
@click.argument("session", type=FILE)
@click.option("--data", type=FILE, help="Folder that `prepare` wrote.  [default: SESSION/data]")
@click.option("--output", type=FILE, help="Folder for report.html and its plots.  [default: SESSION/report]")
def report(*, session: Path, data: Path | None, output: Path | None) -> None:
    """Compare all trainings of the folder SESSION and two baselines on one HTML page."""
    StopRequest().install()
    tune_process()
    from ..report.page import build_report

    if not session.is_dir():
        raise OptionError(f"{session}: no such folder; use the folder of a session, logs/session_<stamp>")
    build_report(session, data or session / "data", output or session / "report")
