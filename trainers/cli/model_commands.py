"""The commands for trained models: predict, export, report.

torch and the rest are imported inside the commands: `--help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..data.columns import TREE
from ..errors import OptionError
from ..process_tuning import tune_process
from ..signals import StopRequest

FILE = click.Path(path_type=Path)
POINTS = "ROOT, CSV, Parquet or NumPy archive with the 19 parameters, with or without the prefix IN_."


@click.command()
@click.argument("model", type=FILE)
@click.option("--input", "source", type=FILE, required=True, help=POINTS)
@click.option("--output", type=FILE, required=True, help="File to write; .csv, .parquet, .npz or .root.")
@click.option("--tree", default=TREE, show_default=True, help="Of a ROOT file.")
@click.option("--branches", multiple=True, metavar="NAMES",
              help="What the file calls the parameters: 'IN_*', or At=some_branch; may be repeated.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
              help="bf16: faster on hardware that has it, off by thousandths of the target's deviation.")  # fmt: skip
def predict(
    *, model: Path, source: Path, output: Path, tree: str, branches: tuple[str, ...], device: str, precision: str
) -> None:
    """Predicts the target of new points with MODEL, the model.pt of a finished training.

    OUTPUT has a row for each point, in the same order: the target, its spread where the model is an --ensemble, and
    whether the point lies outside the training range (1) or inside (0).
    """
    StopRequest().listen()
    tune_process()
    from ..inference.predict_file import predict_file

    predict_file(model, source, output, tree=tree, branches=branches, device=device, precision=precision)


@click.command()
@click.argument("model", type=FILE)
@click.option("--output", type=FILE, required=True, help="File to write; .onnx for ONNX, .pt2 for torch.export.")
def export(*, model: Path, output: Path) -> None:
    """Writes MODEL, the model.pt of a finished training, for programs that know nothing of this package.

    The exported function takes the 19 parameters in physical units, (n, 19) float64, and gives the target, (n,)
    float64. It is checked against MODEL to 1e-6 before it is kept.
    """
    StopRequest().listen()
    tune_process()
    from ..inference.export import export_model

    export_model(model, output)


@click.command()
@click.argument("session", type=FILE)
@click.option("--data", type=FILE, help="Folder that `prepare` wrote.  [default: SESSION/data]")
@click.option("--output", type=FILE, help="Folder for report.html and its pictures.  [default: SESSION/report]")
def report(*, session: Path, data: Path | None, output: Path | None) -> None:
    """Compares all trainings of the folder SESSION, finished or not, and two baselines, on one HTML page."""
    StopRequest().listen()
    tune_process()
    from ..report.page import build_report

    if not session.is_dir():
        raise OptionError(f"{session}: no such folder; give the folder of a session, logs/session_<stamp>")
    build_report(session, data or session / "data", output or session / "report")
