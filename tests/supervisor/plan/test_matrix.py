"""Sweeps: the runs that a matrix expands to, and the runs that wait for them."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.plan.errors import PlanError
from pmssm.supervisor.plan.loader import dump_plan, load_plan, parse_plan
from pmssm.supervisor.plan.matrix import MAX_RUNS
from pmssm.supervisor.plan.schema import Plan, RunPlan

SWEEP = Path(__file__).parents[3] / "examples" / "plans" / "sweep.toml"

TWO_KEYS = """
[runs.first]
command = ["true"]
[runs.fit]
command = ["fit", "--seed", "{seed}", "{{seed}}", "{output}"]
env = { RATE = "{rate}" }
fresh_args = ["--fresh={seed}"]
cwd = "{rate}"
after = ["first"]
slot = 1
matrix.seed = [1, 2]
matrix.rate = [1e-4, 0.5]
[runs.last]
command = ["true"]
after = ["first", "fit"]
[runs.report]
command = ["true"]
after_end = ["fit"]
"""


def expanded(text: str) -> Plan:
    return parse_plan(text, "plan.toml")


def test_a_run_becomes_one_for_each_combination_in_its_place_with_a_readable_name() -> None:
    assert list(expanded(TWO_KEYS).runs) == [
        "first",
        "fit-seed1-rate0.0001",
        "fit-seed1-rate0.5",
        "fit-seed2-rate0.0001",
        "fit-seed2-rate0.5",
        "last",
        "report",
    ]


def test_the_values_go_where_their_placeholders_stand_and_nothing_else_is_touched() -> None:
    run = expanded(TWO_KEYS).runs["fit-seed2-rate0.0001"]
    assert run.command == ("fit", "--seed", "2", "{{seed}}", "{output}")
    assert run.env == {"RATE": "0.0001"}
    assert (run.fresh_args, run.cwd, run.slot, run.after) == (("--fresh=2",), "0.0001", 1, ("first",))


def test_a_boolean_becomes_the_text_that_toml_has_for_it() -> None:
    plan = expanded('[runs.fit]\ncommand = ["fit", "--fast={fast}"]\nmatrix.fast = [true, false]\n')
    assert {name: run.command for name, run in plan.runs.items()} == {
        "fit-fast-true": ("fit", "--fast=true"),
        "fit-fast-false": ("fit", "--fast=false"),
    }
    assert parse_plan(dump_plan(plan), "plan.toml") == plan


def test_the_description_of_the_key_names_the_most_runs() -> None:
    assert f"at most {MAX_RUNS}" in str(RunPlan.model_fields["matrix"].description)


def test_a_run_that_waits_for_a_matrix_waits_for_all_its_runs() -> None:
    runs = expanded(TWO_KEYS).runs
    fits = tuple(name for name in runs if name.startswith("fit"))
    assert runs["last"].after == ("first", *fits)
    assert runs["report"].after_end == fits


def test_runs_that_differ_in_their_seed_alone_are_a_group() -> None:
    runs = expanded(TWO_KEYS).runs
    groups = {name: run.group for name, run in runs.items()}
    assert groups["fit-seed1-rate0.5"] == groups["fit-seed2-rate0.5"] == "fit-rate0.5"
    assert groups["first"] is None
    text = '[runs.a]\ncommand = ["{x}"]\nmatrix.x = [1, 2]\n'
    assert [run.group for run in expanded(text).runs.values()] == [None, None]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("seed", '"one"', "a-seed-one"),
        ("seed", "-1", "a-seed--1"),
        ("beta1", "0.9", "a-beta1-0.9"),
        ("file", '"../x y/{z}"', "a-file-.._x_y__z_"),
        ("rate", "1e-07", "a-rate1e-07"),
    ],
)
def test_names_stay_readable_and_usable_whatever_the_value(key: str, value: str, name: str) -> None:
    assert list(expanded(f'[runs.a]\ncommand = ["{{{key}}}"]\nmatrix.{key} = [{value}]\n').runs) == [name]


def test_a_value_with_braces_is_not_taken_for_a_placeholder() -> None:
    run = expanded('[runs.a]\ncommand = ["{x}"]\nmatrix.x = ["{output}"]\n').runs["a-x-_output_"]
    assert run.command == ("{{output}}",)


def test_a_sweep_written_as_a_sessions_plan_reads_back_the_same() -> None:
    plan = expanded(TWO_KEYS)
    assert parse_plan(dump_plan(plan), "plan.toml") == plan


values = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5))


@given(st.dictionaries(st.sampled_from("abcdefg"), st.lists(values, max_size=6), max_size=4))
def test_any_matrix_is_expanded_whole_or_refused_in_one_line(matrix: dict[str, list[object]]) -> None:
    import tomli_w

    command = ["true", *(f"{{{key}}}" for key in matrix)]
    text = tomli_w.dumps({"runs": {"run": {"command": command, "matrix": matrix}}})
    try:
        runs = expanded(text).runs
    except PlanError as error:
        assert str(error).startswith("plan.toml: runs.run.")
        assert str(error).isprintable()
    else:
        assert 0 < len(runs) <= MAX_RUNS
        given_values = [[str(value) for value in column] for column in matrix.values()]
        literal = [tuple(word.replace("{{", "{").replace("}}", "}") for word in run.command) for run in runs.values()]
        assert literal == [("true", *combination) for combination in product(*given_values)]


def test_the_worked_example_is_three_seeds_of_two_learning_rates_between_preparation_and_report() -> None:
    runs = load_plan(SWEEP).runs
    assert len(runs) == 8
    assert len(runs["report"].after_end) == 6
    assert {run.group for run in runs.values()} == {None, "mlp-learning_rate0.0001", "mlp-learning_rate0.001"}
    command = " ".join(runs["mlp-seed3-learning_rate0.001"].command)
    assert command.endswith("{training_options} --seed 3 --learning-rate 0.001")
