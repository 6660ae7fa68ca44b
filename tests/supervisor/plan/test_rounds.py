"""Rounds: the runs that `each_round` expands to, alone and with a matrix."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.plan.loader import dump_plan, parse_plan
from pmssm.supervisor.plan.schema import Plan

LOOP = """
[session]
rounds = 3
[runs.first]
command = ["scan"]
[runs.train]
each_round = true
command = ["train", "{simulate@rounds}/points.csv", "--name", "{run} {round}", "{{round}}"]
later_args = ["--init-from", "{previous}/model.pt", "{simulate@previous}"]
env = { ROUND = "{round}" }
after = ["first", "simulate@previous"]
[runs.simulate]
each_round = true
command = ["simulate", "{train@round}/model.pt", "{output}"]
after = ["train"]
[runs.report]
command = ["report"]
after = ["first"]
after_end = ["simulate"]
"""

CHAINS = """
[session]
rounds = 2
[runs.first]
command = ["scan", "{seed}"]
matrix.seed = [1, 2]
[runs.train]
each_round = true
matrix.seed = [1, 2]
matrix.strategy = ["best", "random"]
command = ["train", "{seed}", "{strategy}", "{simulate@rounds}"]
after = ["first", "simulate@previous"]
[runs.simulate]
each_round = true
matrix.seed = [1, 2]
matrix.strategy = ["best", "random"]
command = ["simulate", "{train@round}"]
after = ["train"]
[runs.compare]
each_round = true
command = ["compare", "{round}"]
after = ["simulate"]
"""


def expanded(text: str) -> Plan:
    return parse_plan(text, "plan.toml")


def test_the_runs_of_a_round_stand_together_where_the_first_of_them_stood() -> None:
    names = ["train-r01", "simulate-r01", "train-r02", "simulate-r02", "train-r03", "simulate-r03"]
    assert list(expanded(LOOP).runs) == ["first", *names, "report"]


def test_a_run_waits_for_the_same_round_or_the_round_before_which_the_first_round_lacks() -> None:
    runs = expanded(LOOP).runs
    assert [runs[f"train-r0{n}"].after for n in (1, 2, 3)] == [
        ("first",),
        ("first", "simulate-r01"),
        ("first", "simulate-r02"),
    ]
    assert runs["simulate-r02"].after == ("train-r02",)


def test_a_run_outside_the_rounds_waits_for_all_of_them() -> None:
    report = expanded(LOOP).runs["report"]
    assert (report.after, report.after_end) == (("first",), ("simulate-r01", "simulate-r02", "simulate-r03"))


def test_references_become_folders_and_later_arguments_join_from_the_second_round_on() -> None:
    runs = expanded(LOOP).runs
    pattern = "{session}/simulate-r[0-9][0-9]/points.csv"
    assert runs["train-r01"].command == ("train", pattern, "--name", "{run} 1", "{{round}}")
    assert runs["train-r03"].command == (
        *("train", pattern, "--name", "{run} 3", "{{round}}"),
        *("--init-from", "{session}/train-r02/model.pt", "{session}/simulate-r02"),
    )
    assert runs["simulate-r02"].command == ("simulate", "{session}/train-r02/model.pt", "{output}")
    assert runs["train-r02"].env == {"ROUND": "2"}


def test_a_hundred_rounds_have_three_digits() -> None:
    runs = expanded(LOOP.replace("rounds = 3", "rounds = 100", 1)).runs
    assert {"train-r001", "train-r100"} <= runs.keys()
    assert "{session}/simulate-r[0-9][0-9][0-9]/points.csv" in runs["train-r001"].command


def test_each_chain_of_a_matrix_waits_for_its_own_runs_only() -> None:
    runs = expanded(CHAINS).runs
    train = runs["train-seed2-strategy-best-r02"]
    assert train.after == ("first-seed2", "simulate-seed2-strategy-best-r01")
    assert train.command == ("train", "2", "best", "{session}/simulate-seed2-strategy-best-r[0-9][0-9]")
    assert runs["simulate-seed1-strategy-random-r01"].after == ("train-seed1-strategy-random-r01",)


def test_a_round_without_a_matrix_waits_for_all_chains() -> None:
    assert len(expanded(CHAINS).runs["compare-r02"].after) == 4


def test_a_run_names_its_round_its_line_and_its_chain() -> None:
    run = expanded(CHAINS).runs["train-seed2-strategy-best-r02"]
    assert (run.round, run.line, run.chain) == (2, "train-seed2-strategy-best", "seed2-strategy-best")
    assert (run.each_round, run.group) == (False, "train-strategy-best-r02")
    compare = expanded(CHAINS).runs["compare-r01"]
    assert (compare.round, compare.line, compare.chain, compare.group) == (1, "compare", "", None)


def test_expanded_rounds_written_as_a_sessions_plan_read_back_the_same() -> None:
    for text in (LOOP, CHAINS):
        plan = expanded(text)
        assert parse_plan(dump_plan(plan), "plan.toml") == plan


names = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, min_size=1)


@given(st.data(), names, st.integers(1, 12), st.integers(0, 2), st.integers(0, 2))
def test_any_loop_is_expanded_to_all_rounds_of_all_chains_in_an_order_that_can_run(
    data: st.DataObject, lines: list[str], rounds: int, seeds: int, arms: int
) -> None:
    values = {"seed": range(1, seeds + 1), "arm": range(1, arms + 1)}
    matrix = {key: list(numbers) for key, numbers in values.items() if numbers}
    text = f"[session]\nrounds = {rounds}\n"
    for position, name in enumerate(lines):  # each waits for runs above it, and for any run of the round before
        same = data.draw(st.lists(st.sampled_from(lines[:position]), unique=True)) if position else []
        before = data.draw(st.lists(st.sampled_from(lines), unique=True))
        after = [*same, *(f"{one}@previous" for one in before)]
        text += f"[runs.{name}]\neach_round = true\nafter = {after}\n"
        text += f"command = {['true', '{round}', *(f'{{{key}}}' for key in matrix)]}\n"
        text += "".join(f"matrix.{key} = {numbers}\n" for key, numbers in matrix.items())
    runs = expanded(text).runs
    chains = list(product(*matrix.values()))
    assert len(runs) == len(lines) * rounds * len(chains)
    assert {(run.line, run.round) for run in runs.values()} == {
        (run.line, number) for run in runs.values() for number in range(1, rounds + 1)
    }
    for run in runs.values():
        assert run.round is not None
        assert run.command[1] == str(run.round)
        waited = [runs[name] for name in run.after]
        assert {one.chain for one in waited} <= {run.chain}  # a chain never waits for another one
        assert all(one.round in (run.round, run.round - 1) for one in waited)
