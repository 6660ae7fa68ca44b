"""`propose` with a trained model: new points, none simulated before, in each output format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.campaign.hits import Goal
from pmssm.trainers.campaign.pool import Pool, Ranges, latin_hypercube
from pmssm.trainers.campaign.predictions import predict_pool
from pmssm.trainers.campaign.propose import Proposal, choose_points, propose, read_simulated
from pmssm.trainers.campaign.slha import ENTRIES
from pmssm.trainers.campaign.strategies import hit_probability, log_likelihood
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.data.model_inputs import physics_columns
from pmssm.trainers.data.standardize import fit_standardizer
from pmssm.trainers.data.writing import table_writer
from pmssm.trainers.errors import OptionError
from pmssm.trainers.inference.model_file import load_surrogate
from pmssm.trainers.inference.predicted_lsp import predict_lsp
from pmssm.trainers.inference.surrogate import Surrogate
from pmssm.trainers.inference.usability import OutcomeClassifier, Usability
from pmssm.trainers.training.usability import fit_classifier
from support.physics_points import scan_ends

Floats = NDArray[np.float64]
GOAL = Goal(0.5, 0.1)  # what the model of the fixture was trained on lies around 0.5


def proposal(model: Path | None, **changes: Any) -> Proposal:  # noqa: ANN401
    settings = {"pool": "lhs:2000", "strategy": "tolerance", "count": 50, "goal": GOAL, "device": "cpu"}
    return Proposal(**{**settings, "model": model, **changes})


def proposed(output: Path) -> Floats:
    return read_simulated([output], tree=TREE)


def write_points(path: Path, points: Floats) -> Path:
    with table_writer(path) as append:
        append(dict(zip(PARAMETERS, points.T.copy(), strict=True)))
    return path


@pytest.mark.parametrize("strategy", ["random", "tolerance", "entropy", "disagreement", "expected-improvement"])
def test_each_strategy_proposes_new_points_inside_the_ranges(strategy: str, model: Path, tmp_path: Path) -> None:
    propose(proposal(model, strategy=strategy), tmp_path / "out.csv")
    points, scaling = proposed(tmp_path / "out.csv"), load_surrogate(model).scaling
    assert len(np.unique(points, axis=0)) == 50
    assert ((points >= scaling.minimum[:-1]) & (points <= scaling.maximum[:-1])).all()


def test_tolerance_proposes_points_that_are_hits_by_the_models_own_account(model: Path, tmp_path: Path) -> None:
    surrogate = load_surrogate(model)

    narrow = Goal(0.5, 0.005)

    def mean_probability(strategy: str) -> float:
        propose(proposal(model, strategy=strategy, goal=narrow), tmp_path / "out.csv")
        predictions = predict_pool(surrogate, proposed(tmp_path / "out.csv"), uncertain=True)
        return float(hit_probability(predictions.log_mean, predictions.sigma, narrow).mean())

    assert mean_probability("tolerance") > 1.5 * mean_probability("random")


def test_without_a_model_random_points_fill_the_ranges_of_the_embedded_sample(tmp_path: Path) -> None:
    propose(proposal(None, strategy="random"), tmp_path / "out.csv")
    points = proposed(tmp_path / "out.csv")
    assert (points[:, 4] == 4000).all()
    assert -8000 <= points[:, 14].min() < -6000 and 6000 < points[:, 14].max() <= 8000


def test_a_simulated_point_is_not_proposed_again_even_if_it_failed(model: Path, tmp_path: Path) -> None:
    pool = latin_hypercube(120, Ranges(np.full(19, -1000.0), np.full(19, 1000.0)), np.random.default_rng(2))
    source = write_points(tmp_path / "pool.csv", pool)
    simulated = write_points(tmp_path / "simulated.root", pool[:70])  # no result at all: failed, or killed
    for strategy in ("random", "tolerance"):
        settings = proposal(model, pool=str(source), strategy=strategy, simulated=(str(simulated),))
        propose(settings, tmp_path / "out.root")
        assert {tuple(row) for row in proposed(tmp_path / "out.root")} == {tuple(row) for row in pool[70:]}


def test_the_same_seed_and_round_give_the_same_points_and_another_round_others(model: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{name}.csv" for name in "abc"]
    for output, number in zip(outputs, (3, 3, 4), strict=True):
        propose(proposal(model, round=number), output)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert not (set(outputs[0].read_text().splitlines()[1:]) & set(outputs[2].read_text().splitlines()[1:]))


def trained_head(ranges: Ranges) -> Usability:
    """A second head that has learned that a calculation fails for tan β above 30."""
    points = latin_hypercube(600, ranges, np.random.default_rng(6))
    rows = np.column_stack([points, physics_columns(points)])
    head = Usability(OutcomeClassifier(rows.shape[1], 2), (0, 1), fit_standardizer(lambda: [rows]))
    inputs, _ = head.inputs.compute(torch.from_numpy(points))
    labels = torch.from_numpy((points[:, 18] > 30).astype(np.int64))
    fit_classifier(head.classifier, inputs, labels, np.random.default_rng(1), epochs=12)
    return head


def test_points_that_would_give_no_usable_result_are_left_out(model: Path) -> None:
    plain = load_surrogate(model)
    ranges = Ranges(np.array(scan_ends(0)), np.array(scan_ends(1)))
    head = trained_head(ranges)
    surrogate = Surrogate(plain.models, plain.scaling, plain.parameters, plain.target, usability=head)
    candidates, nothing = latin_hypercube(500, ranges, np.random.default_rng(1)), np.empty((0, 19))
    points, _ = choose_points(surrogate, candidates, nothing, ranges, proposal(model, count=60))
    assert (points[:, 18] < 30).mean() > 0.9
    every, _ = choose_points(surrogate, candidates, nothing, ranges, proposal(model, count=60, min_usable=0.0))
    assert (every[:, 18] < 30).mean() < 0.75
    with pytest.raises(OptionError, match=r"^--n 400: the pool has only 2\d\d candidates that are usable with a"):
        choose_points(surrogate, candidates, nothing, ranges, proposal(model, count=400))


@pytest.mark.parametrize("strategy", ["random", "tolerance"])
def test_a_balanced_batch_has_equal_shares_by_lightest_sparticle(strategy: str, model: Path, tmp_path: Path) -> None:
    def counts(**changes: Any) -> list[int]:  # noqa: ANN401
        propose(proposal(model, pool="lhs:6000", strategy=strategy, **changes), tmp_path / "out.csv")
        return sorted(np.bincount(predict_lsp(proposed(tmp_path / "out.csv")), minlength=6)[1:].tolist())

    assert counts(balanced=True) == [10, 10, 10, 10, 10]
    assert counts()[0] < 8


def test_a_chain_finds_more_hits_than_a_latin_hypercube_of_the_same_size(model: Path, tmp_path: Path) -> None:
    surrogate, narrow = load_surrogate(model), Goal(0.5, 0.005)
    settings = proposal(model, strategy="random", goal=narrow)
    shares = []
    for pool in ("lhs:2000", "chain:2000"):
        propose(replace(settings, pool=pool), tmp_path / "out.csv")
        predictions = predict_pool(surrogate, proposed(tmp_path / "out.csv"), uncertain=True)
        shares.append(float(np.exp(log_likelihood(predictions.log_mean, predictions.sigma, narrow)).mean()))
    assert shares[1] > 1.3 * shares[0]
    with pytest.raises(OptionError, match=r"^--pool chain:2000: needs a MODEL; give a model.pt, or use --pool lhs:N"):
        propose(proposal(None, strategy="random", pool="chain:2000"), tmp_path / "out.csv")


def test_a_folder_gets_one_slha_file_a_point(model: Path, tmp_path: Path) -> None:
    propose(proposal(model, count=3), tmp_path / "points")
    propose(proposal(model, count=3), tmp_path / "points.csv")
    texts = [path.read_text() for path in sorted((tmp_path / "points").iterdir())]
    points = proposed(tmp_path / "points.csv")
    assert len(texts) == 3
    for text, point in zip(texts, points, strict=True):
        value = dict(zip(PARAMETERS, point, strict=True))
        entries = dict(line.split()[:2] for line in text.partition("BLOCK EXTPAR\n")[2].splitlines())
        assert {int(number): float(entry) for number, entry in entries.items()} == {
            number: value[name] for number, name in ENTRIES.items()
        }
        assert f"    3   {point[18]:.16E}   # tanb(MZ)" in text


def test_each_part_of_each_range_of_a_latin_hypercube_has_one_point() -> None:
    low, high = np.zeros(19), np.ones(19)
    low[4] = high[4] = 4000.0
    points = latin_hypercube(100, Ranges(low, high), np.random.default_rng(1))
    assert (points[:, 4] == 4000).all()
    for column in range(4):
        assert sorted((points[:, column] * 100).astype(int)) == list(range(100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lhs:0", "--pool lhs:0: must have 1 to 100,000,000 points"),
        ("chain:0", "--pool chain:0: must have 1 to 100,000,000 points"),
        ("lhs:many", "--pool lhs:many: use lhs:1000000 for a Latin hypercube, chain:100000 for a Markov chain, or a"),
        ("points.txt", "--pool points.txt: use lhs:1000000 for a Latin hypercube"),
        ("nowhere.csv", "--pool nowhere.csv: no such file"),
    ],
)
def test_a_pool_that_cannot_be_used_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        Pool.parse(text)


def test_what_is_missing_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^--strategy entropy: needs a MODEL; give a model\.pt"):
        propose(proposal(None, strategy="entropy"), tmp_path / "out.csv")
    with pytest.raises(OptionError, match=r"^--n 50: the pool has only 20 candidates that have not been simulated"):
        propose(proposal(model, pool="lhs:20"), tmp_path / "out.csv")


def test_a_single_model_without_intervals_only_ranks_by_tolerance(model: Path) -> None:
    plain = load_surrogate(model)
    single = Surrogate(plain.models[:1], plain.scaling, plain.parameters, plain.target)
    points = latin_hypercube(
        10, Ranges(plain.scaling.minimum[:-1], plain.scaling.maximum[:-1]), np.random.default_rng(1)
    )
    assert predict_pool(single, points, uncertain=False).sigma.max() == 0.01
    with pytest.raises(OptionError, match="the model states no uncertainty; train it with --ensemble 3"):
        predict_pool(single, points, uncertain=True)
