"""Rounds folded to one line: which run stands for them, and what the line shows."""

from __future__ import annotations

import time

import pytest
from pmssm.supervisor.dashboard.rendering.rounds_line import rounds_line
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.session.round_lines import current_round, fold, lines_of_rounds
from pmssm.supervisor.session.snapshot import RunView
from pmssm.supervisor.session.state import ENDED, RunState

NAMES = ("a-r01", "a-r02", "a-r03", "a-r04")


def view(state: str, **progress: float) -> RunView:
    attempt = 1 if state in (*ENDED - {RunState.SKIPPED}, "running") else 0
    return RunView(state=RunState(state), log="", attempt=attempt, progress=progress)


def views(*states: str) -> dict[str, RunView]:
    return {name: view(state) for name, state in zip(NAMES, states, strict=True)}


@pytest.mark.parametrize(
    ("states", "current"),
    [
        (("waiting",) * 4, "a-r01"),
        (("succeeded", "running", "waiting", "waiting"), "a-r02"),
        (("succeeded", "succeeded", "waiting", "waiting"), "a-r02"),
        (("succeeded", "succeeded", "queued", "waiting"), "a-r03"),
        (("succeeded", "succeeded", "blocked", "blocked"), "a-r03"),
        (("succeeded", "failed", "blocked", "blocked"), "a-r02"),
        (("failed", "running", "waiting", "waiting"), "a-r02"),
        (("succeeded",) * 4, "a-r04"),
        (("succeeded", "succeeded", "skipped", "skipped"), "a-r02"),
    ],
)
def test_the_round_at_work_stands_for_all_then_a_failed_one_then_one_that_is_due_then_the_last_one_that_ended(
    states: tuple[str, ...], current: str
) -> None:
    assert current_round(NAMES, views(*states)) == current


def test_a_line_shows_its_round_the_best_one_and_the_figure_of_each_round_that_has_ended() -> None:
    runs = {
        "a-r01": view("succeeded", epoch=5, epochs=5, train_loss=0.9, val_loss=0.5),
        "a-r02": view("succeeded", epoch=5, epochs=5, train_loss=0.8, val_loss=0.2),
        "a-r03": view("succeeded", epoch=5, epochs=5, train_loss=0.7, val_loss=0.3),
        "a-r04": view("running", epoch=1, epochs=5, val_loss=0.1),
    }
    line = rounds_line("a", NAMES, "a-r04", runs)
    assert (line.label, line.figure, line.curve, line.best) == ("a 4/4", "val_loss", (0.5, 0.2, 0.3), (0.2, 2))


def test_the_best_hit_rate_is_the_largest() -> None:
    runs = {name: view("succeeded", hit_rate=rate) for name, rate in zip(NAMES, (0.1, 0.4, 0.3, 0.2), strict=True)}
    assert rounds_line("a", NAMES, "a-r04", runs).best == (0.4, 2)


def test_a_line_without_figures_has_neither_curve_nor_best_round() -> None:
    line = rounds_line("a", NAMES, "a-r02", views("succeeded", "running", "waiting", "waiting"))
    assert (line.label, line.curve, line.best) == ("a 2/4", (), None)


def test_rounds_are_listed_as_one_line_unless_opened_and_other_runs_stay() -> None:
    runs = {"first": view("succeeded"), **views("succeeded", "running", "waiting", "waiting"), "last": view("waiting")}
    lines = {"a": NAMES}
    assert fold(list(runs), runs, lines, frozenset()) == (["first", "a-r02", "last"], {"a-r02": "a"})
    assert fold(list(runs), runs, lines, frozenset({"a"})) == (list(runs), {})


def test_the_rounds_of_an_opened_line_stand_together() -> None:
    runs = {name: view("succeeded") for name in ("a-r01", "b-r01", "a-r02", "b-r02")}
    lines = {"a": ("a-r01", "a-r02"), "b": ("b-r01", "b-r02")}
    shown, _ = fold(list(runs), runs, lines, frozenset({"a"}))
    assert shown == ["a-r01", "a-r02", "b-r02"]


def test_lines_come_from_the_plan() -> None:
    text = "[session]\nrounds = 2\n" + "".join(
        f'[runs.{name}]\neach_round = true\nmatrix.seed = [1, 2]\ncommand = ["{{seed}}"]\n' for name in ("a", "b")
    )
    assert list(lines_of_rounds(parse_plan(text + '[runs.c]\ncommand = ["c"]\n', "plan.toml"))) == [
        "a-seed1",
        "a-seed2",
        "b-seed1",
        "b-seed2",
    ]
    assert lines_of_rounds(None) == {}


def test_two_hundred_rounds_of_four_chains_are_folded_in_milliseconds() -> None:
    lines = {
        f"{run}-seed{seed}": tuple(f"{run}-seed{seed}-r{n:03d}" for n in range(1, 201))
        for run in ("prepare", "train", "propose", "simulate")
        for seed in range(4)
    }
    runs = {name: view("succeeded", val_loss=0.1) for names in lines.values() for name in names}
    spent = []
    for _ in range(5):
        start = time.process_time()
        shown, folded = fold(list(runs), runs, lines, frozenset())
        for current, line in folded.items():
            rounds_line(line, lines[line], current, runs)
        spent.append(time.process_time() - start)
    assert len(shown) == 16
    assert min(spent) < 0.05  # 5 ms on an idle machine; snapshots come four times a second
