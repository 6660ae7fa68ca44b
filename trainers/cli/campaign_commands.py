"""The commands of active learning: `propose`, `simulate`, `campaign`.

torch is imported inside the commands, so that `--help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..data.columns import TREE
from ..errors import OptionError
from ..process_tuning import tune_process
from ..signals import StopRequest
from .model_commands import FILE, POINTS
from .options import POSITIVE, require_finite
from .output import echo

STRATEGIES = ("random", "tolerance", "entropy", "disagreement", "expected-improvement")


@click.command(short_help="Calculate the relic density of points with a formula.")
@click.option("--input", "source", type=FILE, required=True, help=POINTS)
@click.option("--output", type=FILE, required=True, help="Folder for points.root, points.csv and result.json.")
@click.option("--failure-rate", type=click.FloatRange(0, 1), default=0.0, show_default=True, callback=require_finite,
              metavar="SHARE", help="Share of the points that fail; they get -1.")  # fmt: skip
@click.option("--delay", type=click.FloatRange(0, 86_400), default=0.0, show_default=True, callback=require_finite,
              metavar="SECONDS", help="Time per point.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Seed of the failures.")
@click.option("--tree", default=TREE, show_default=True, help="Tree of a ROOT file.")
@click.option(
    "--branches", multiple=True, metavar="NAMES", help="Names of the parameters in the file; may be repeated."
)
@click.option("--fresh", is_flag=True, help="Start over and delete the results in the output folder.")
def simulate(*, source: Path, output: Path, failure_rate: float, delay: float, seed: int, tree: str,
             branches: tuple[str, ...], fresh: bool) -> None:  # fmt: skip
    """Calculate the relic density of points with the semi-analytic formula of this package.

    Use it in place of a spectrum generator and a relic density code, to try out a plan. Its values are not those of a
    real calculation. The output has the branches of a scan, so that `prepare` can read it. If the output folder
    contains some of the results, the missing ones are added.
    """
    StopRequest().install()
    tune_process()
    from ..campaign.simulate import Behaviour, simulate_file

    simulate_file(source, output, Behaviour(failure_rate, delay, seed), tree=tree, branches=branches, fresh=fresh)


@click.command(short_help="Choose the points to simulate next.")
@click.argument("model", type=FILE, required=False)
@click.option("--pool", default="lhs:1000000", show_default=True, metavar="lhs:N|chain:N|FILE",
              help="Candidates: a Latin hypercube of N points; N states of a Markov chain that follows the "
                   "likelihood of the wanted value, as MODEL predicts it; or the points of a file.")  # fmt: skip
@click.option("--ranges", multiple=True, metavar="PATTERN",
              help="Scan files whose ranges the Latin hypercube fills.  [default: the training range of MODEL, else "
                   "the embedded sample]")  # fmt: skip
@click.option("--n", "count", type=POSITIVE, default=500, show_default=True, help="Number of points to propose.")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="tolerance", show_default=True,
              help="tolerance: most probable hits.  entropy: least certain side of the wanted value.  disagreement: "
                   "largest uncertainty.  expected-improvement: largest expected improvement of the contour.  "
                   "random: needs no model.")  # fmt: skip
@click.option("--balance", type=click.Choice(["lsp"]),
              help="lsp: equal numbers of points with bino, wino, higgsino, mixed neutralino and no neutralino as "
                   "lightest sparticle of the tree-level spectrum, as far as the pool has them.")  # fmt: skip
@click.option("--center", type=click.FloatRange(min=0, min_open=True), default=0.12, show_default=True,
              callback=require_finite, metavar="Y", help="Wanted value of the target.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.1, show_default=True,
              callback=require_finite, metavar="SHARE", help="Largest relative deviation of a hit.")  # fmt: skip
@click.option("--simulated", multiple=True, metavar="PATTERN",
              help="Scan files of points that were simulated or failed; none is proposed again.")  # fmt: skip
@click.option("--min-usable", type=click.FloatRange(0, 1), default=0.5, show_default=True, callback=require_finite,
              metavar="P", help="Smallest probability of a usable result, if the model predicts it.")  # fmt: skip
@click.option("--output", type=FILE, required=True,
              help=".csv, .root, .parquet or .npz file; without a suffix, a folder of SLHA files.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Seed of the pool.")
@click.option("--round", "number", type=click.IntRange(min=0), default=0, show_default=True,
              help="Number of the round. Each round has its own pool.")  # fmt: skip
@click.option(
    "--before-round",
    type=POSITIVE,
    metavar="N",
    help="Leave out simulated files of round N and later rounds: files in folders whose names end in -rN.",
)
@click.option("--tree", default=TREE, show_default=True, help="Tree of ROOT files.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=POSITIVE, help="CPU threads.  [default: OMP_NUM_THREADS, or all cores]")
def propose(*, model: Path | None, pool: str, ranges: tuple[str, ...], count: int, strategy: str, balance: str | None,
            center: float, tolerance: float, simulated: tuple[str, ...], min_usable: float, output: Path, seed: int,
            number: int, before_round: int | None, tree: str, device: str, threads: int | None) -> None:  # fmt: skip
    """Choose the points to simulate next, with MODEL, the model.pt of a training.

    Each candidate gets a score from the prediction of the model and its uncertainty. The uncertainty comes from
    calibrated intervals, if the model has them, else from the spread of the ensemble. Of the candidates with the best
    scores, the command takes those that differ most from each other and from the simulated points.
    """
    StopRequest().install()
    tune_process()
    from ..campaign.hits import Goal
    from ..campaign.propose import Proposal, propose
    from ..device import default_threads

    if not output.parent.is_dir():
        raise OptionError(f"--output {output}: the folder {output.parent} does not exist; create it")
    propose(
        Proposal(
            pool=pool, strategy=strategy, count=count, balanced=balance is not None, goal=Goal(center, tolerance),
            model=model, ranges=ranges, simulated=simulated, min_usable=min_usable, seed=seed, round=number,
            before_round=before_round, tree=tree, device=device, threads=threads or default_threads(),
        ),
        output,
    )  # fmt: skip


@click.command(short_help="Compare the chains of a session on one page.")
@click.argument("session", type=FILE)
@click.option("--output", type=FILE, help="Folder for report.html and its plots.  [default: SESSION/campaign]")
@click.option("--center", type=click.FloatRange(min=0, min_open=True), default=0.12, show_default=True,
              callback=require_finite, metavar="Y", help="Wanted value of the relic density.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.1, show_default=True,
              callback=require_finite, metavar="SHARE", help="Largest relative deviation of a hit.")  # fmt: skip
def campaign(*, session: Path, output: Path | None, center: float, tolerance: float) -> None:
    """Compare the chains of the folder SESSION on one HTML page. Its plan must have rounds.

    The page shows the hits per simulator call, and hit rate and accuracy by round with their spread over the seeds. It
    also shows where the hits lie, and which strategy was better than random points. The command also works while the
    session runs.
    """
    StopRequest().install()
    tune_process()
    from ..campaign.hits import Goal
    from ..campaign.report import build_campaign_report
    from ..evaluation.tables import text_lines

    if not session.is_dir():
        raise OptionError(f"{session}: no such folder; use the folder of a session, logs/session_<stamp>")
    for table in build_campaign_report(session, output or session / "campaign", Goal(center, tolerance)):
        echo("\n".join(["", *text_lines(table)]))
