"""`propose`: the points whose simulation is worth most, according to a surrogate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.columns import PARAMETERS, TREE, parameter_columns
from ..data.lsp import LSP_CLASSES
from ..data.reading import read_chunks
from ..data.scan_files import before_round, find_files, sample_files
from ..data.writing import table_writer
from ..device import choose_device
from ..errors import OptionError
from ..inference.model_file import load_surrogate
from ..inference.predicted_lsp import predict_lsp
from ..inference.surrogate import Surrogate
from ..log import LOGGER
from ..progress import log_progress
from .batch import Indices, diverse_batch, equal_shares, is_simulated, shortlist
from .chain import markov_chain
from .hits import Goal
from .pool import Points, Pool, Ranges, latin_hypercube, ranges_of_files
from .predictions import Predictions, predict_pool
from .slha import write_slha
from .strategies import STRATEGIES, hit_probability, log_likelihood


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What to propose.

    Attributes:
        pool: Value of `--pool`.
        strategy: `random`, or a key of STRATEGIES.
        count: Number of points.
        balanced: Whether each class of lightest sparticle, as the tree level predicts it, gets an equal share.
        goal: Interval to find.
        model: model.pt; None only for `random`.
        ranges: Scan files with the ranges of a Latin hypercube; empty: the training range of the model, without a
            model the ranges of the embedded sample.
        simulated: Scan files of points that were simulated, successfully or not.
        min_usable: Smallest probability of a usable result, if the model predicts it.
        seed: Seed of the pool.
        round: Number of the round; each round has a pool of its own.
        before_round: Leave out simulated files of this round and of later ones; None: none.
        tree: Tree of ROOT files.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.
    """

    pool: str
    strategy: str
    count: int
    goal: Goal
    balanced: bool = False
    model: Path | None = None
    ranges: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    min_usable: float = 0.5
    seed: int = 42
    round: int = 0
    before_round: int | None = None
    tree: str = TREE
    device: str = "auto"
    threads: int = 1


def propose(proposal: Proposal, output: Path) -> None:
    """Choose points and write them to `output`.

    Args:
        proposal: What to propose.
        output: Table; a name without suffix is a folder with one SLHA file per point.

    Raises:
        TrainerError: A file or an option cannot be used, or the pool is too small.
        OSError: A file cannot be read or written.
    """
    torch.set_num_threads(proposal.threads)
    pool = Pool.parse(proposal.pool)
    surrogate = _load_model(proposal, pool)
    random = np.random.default_rng([proposal.seed, proposal.round])
    start = time.monotonic()
    with log_progress() as progress:
        progress.task = "Reading the simulated points"
        files = before_round(find_files(proposal.simulated), proposal.before_round)
        simulated = read_simulated(files, tree=proposal.tree)
        ranges = _ranges(proposal, surrogate)
        progress.task = f"Making the pool {proposal.pool}"
        candidates = _without(_candidates(pool, surrogate, ranges, random, proposal), simulated)
        _check_count(len(candidates), proposal, "that have not been simulated")
        progress.task = f"Scoring {len(candidates):,} candidates"
        if surrogate is None or proposal.strategy == "random":
            points, predictions = choose_random(candidates, random, proposal), None
        else:
            points, predictions = choose_points(surrogate, candidates, simulated, ranges, proposal)
    _write(output, points, predictions, proposal.goal)
    expected = "" if predictions is None else (
        f" | Expected hit rate = {hit_probability(predictions.log_mean, predictions.sigma, proposal.goal).mean():.4f}"
    )  # fmt: skip
    LOGGER.info("Proposed %s of %s candidates by '%s' in %.1f s, away from %s simulated points%s", f"{len(points):,}",
                f"{len(candidates):,}", proposal.strategy, time.monotonic() - start, f"{len(simulated):,}",
                expected)  # fmt: skip
    LOGGER.info("Lightest sparticle by the tree-level spectrum: %s", _class_text(points))
    LOGGER.info("Points in %s", output)


def choose_random(candidates: Points, random: np.random.Generator, proposal: Proposal) -> Points:
    """Return a random batch, shape (count, 19)."""
    order = random.permutation(len(candidates))
    classes = _classes(candidates[order], proposal)
    return np.asarray(candidates[order[equal_shares(classes, proposal.count, lambda members, n, _: members[:n])]])


def choose_points(
    surrogate: Surrogate, candidates: Points, simulated: Points, ranges: Ranges, proposal: Proposal
) -> tuple[Points, Predictions]:
    """Return the batch and its predictions.

    Args:
        surrogate: Trained model.
        candidates: Shape (n, 19).
        simulated: Shape (m, 19).
        ranges: Ranges that distances are measured in.
        proposal: Strategy and number of points.

    Raises:
        OptionError: Too few candidates are usable.
    """
    predictions = predict_pool(surrogate, candidates, uncertain=proposal.strategy != "tolerance")
    scores = STRATEGIES[proposal.strategy](predictions.log_mean, predictions.sigma, proposal.goal)

    def is_usable(chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(surrogate.p_usable(candidates[chosen]) >= proposal.min_usable)

    asks = surrogate.usability is not None and proposal.min_usable > 0
    varies = ranges.varies
    unit = np.where(varies, ranges.high - ranges.low, 1.0)[varies]

    def choose(members: Indices, count: int, chosen: Indices) -> Indices:
        usable = (lambda rows: is_usable(members[rows])) if asks else None
        best = members[shortlist(scores[members], count, usable)]
        taken = np.concatenate([simulated, candidates[chosen]])[:, varies] / unit
        return best[diverse_batch(candidates[best][:, varies] / unit, min(count, len(best)), taken)]

    chosen = equal_shares(_classes(candidates, proposal), proposal.count, choose)
    _check_count(len(chosen), proposal, f"that are usable with a probability of {proposal.min_usable:g}")
    return candidates[chosen], predictions.rows(chosen)


def read_simulated(files: Sequence[Path], *, tree: str) -> Points:
    """Return all points of the files, also those that failed, shape (m, 19)."""
    parts = [rows for path in files for rows in read_chunks(path, parameter_columns(), tree=tree)]
    return np.concatenate([np.empty((0, len(PARAMETERS))), *parts])


def _classes(candidates: Points, proposal: Proposal) -> NDArray[np.int8]:
    """Return the classes that share the batch, shape (n,): those of the lightest sparticle, or a single one."""
    return predict_lsp(candidates) if proposal.balanced else np.zeros(len(candidates), dtype=np.int8)


def _class_text(points: Points) -> str:
    counts = np.bincount(predict_lsp(points), minlength=len(LSP_CLASSES))
    return ", ".join(f"{name} {count:,}" for name, count in zip(LSP_CLASSES, counts, strict=True) if count)


def _load_model(proposal: Proposal, pool: Pool) -> Surrogate | None:
    if proposal.strategy == "random" and not pool.is_chain:
        return None
    if proposal.model is None:
        option = f"--pool {proposal.pool}" if pool.is_chain else f"--strategy {proposal.strategy}"
        raise OptionError(f"{option}: needs a MODEL; give a model.pt, or use --pool lhs:N with --strategy random")
    return load_surrogate(proposal.model).to(choose_device(proposal.device))


def _ranges(proposal: Proposal, surrogate: Surrogate | None) -> Ranges:
    if proposal.ranges:
        return ranges_of_files(proposal.ranges, tree=proposal.tree)
    if surrogate is None and proposal.model is not None:
        surrogate = load_surrogate(proposal.model)
    if surrogate is None:
        with sample_files() as files:
            return ranges_of_files([str(path) for path in files], tree=TREE)
    return Ranges(surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1])


def _candidates(
    pool: Pool, surrogate: Surrogate | None, ranges: Ranges, random: np.random.Generator, proposal: Proposal
) -> Points:
    """Return the points of the pool, shape (n, 19)."""
    if pool.path is not None:
        return np.concatenate(list(read_chunks(pool.path, parameter_columns(), tree=proposal.tree)))
    if surrogate is None or not pool.is_chain:
        return latin_hypercube(pool.size, ranges, random)

    def likelihood(points: Points) -> NDArray[np.float64]:
        return log_likelihood(*predict_pool(surrogate, points, uncertain=False), proposal.goal)

    return markov_chain(likelihood, ranges, pool.size, random)


def _without(candidates: Points, simulated: Points) -> Points:
    """Return the candidates that are finite and have not been simulated, each once."""
    keep = np.isfinite(candidates).all(axis=1) & ~is_simulated(candidates, simulated)
    return candidates[keep]


def _check_count(found: int, proposal: Proposal, kind: str) -> None:
    if found < proposal.count:
        raise OptionError(f"--n {proposal.count}: the pool has only {found:,} candidates {kind}; use a larger --pool, "
                          "or a smaller --n")  # fmt: skip


def _write(output: Path, points: Points, predictions: Predictions | None, goal: Goal) -> None:
    if not output.suffix:
        write_slha(output, points)
        return
    columns: dict[str, NDArray[np.float64]] = dict(zip(PARAMETERS, points.T.copy(), strict=True))
    if predictions is not None:
        columns |= {
            "predicted": np.exp(predictions.log_mean),
            "predicted_log_sigma": predictions.sigma,
            "hit_probability": hit_probability(predictions.log_mean, predictions.sigma, goal),
        }
    with table_writer(output) as append:
        append(columns)
