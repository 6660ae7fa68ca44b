"""Columns of the runs table: selection by width, cells."""

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.rendering.run_cells import Row
from pmssm.supervisor.dashboard.rendering.run_columns import (
    COLUMNS,
    choose_columns,
    format_header,
    format_row,
    unused_columns,
)
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.snapshot import RunView
from rich.cells import cell_len

PMSSM = ("prepare", "transformer", "transformer_tabular", "mlp")
JOB_COLUMNS = {"node", "job"}


def keys(width: int) -> set[str]:
    return {column.key for column in choose_columns(width, PMSSM, JOB_COLUMNS)}


@given(st.integers(30, 250), st.lists(st.text("abc_", min_size=1, max_size=64), max_size=5))
def test_every_line_fits_the_table(width: int, names: list[str]) -> None:
    columns = choose_columns(width, names)
    row = Row("some_run", RunView(state="running", progress={"epoch": 3, "epochs": 10**9}))
    assert cell_len(format_header(columns)) <= max(width, 40)
    assert cell_len("".join(text for text, _ in format_row(columns, row))) <= max(width, 40)


def test_important_columns_are_there_at_80_columns() -> None:
    assert keys(78) == {"name", "state", "gpu", "progress", "eta", "val_loss", "trend"}


def test_wider_tables_only_gain_columns() -> None:
    for width in range(40, 200):
        assert keys(width) <= keys(width + 1)


def test_everything_is_there_at_200_columns() -> None:
    assert {"train_loss", "best", "gpu_memory", "cpu", "memory", "attempt", "pid"} <= keys(198)


def test_a_run_on_another_gpu_than_given_is_flagged() -> None:
    row = Row("a", RunView(state="running", gpu=1, gpu_actual=(3,), cuda_visible_devices="GPU-1"))
    assert "1!" in "".join(text for text, _ in format_row(choose_columns(78, PMSSM), row))


def test_a_stalled_run_is_shown_as_stalled() -> None:
    row = Row("a", RunView(state="running", stalled=True))
    assert "! stalled" in "".join(text for text, _ in format_row(choose_columns(78, PMSSM), row))


def test_a_run_that_cannot_run_shows_the_reason_in_place_of_values() -> None:
    columns = choose_columns(78, PMSSM, JOB_COLUMNS)
    blocked = RunView(state="blocked", reason="blocked by transformer (exit code 1)")
    failed = RunView(state="failed", reason="exit code 1: disk full", progress={"epoch": 3, "epochs": 9})
    lines = ["".join(text for text, _ in format_row(columns, Row("mlp", run))) for run in (blocked, failed)]
    assert "blocked by transformer (exit code 1)" in lines[0]
    assert "3/9" in lines[1]
    assert "exit code 1: disk full" in lines[1]
    assert len({cell_len(text) for text in lines}) == 1


def test_columns_have_unique_keys_and_ranks() -> None:
    assert len({column.key for column in COLUMNS}) == len(COLUMNS)
    ranks = [column.rank for column in COLUMNS if column.rank]
    assert sorted(ranks) == sorted(set(ranks))


def plan(**fields: object) -> Plan:
    return Plan(runs={"a": RunPlan(command=("x",), **fields), "b": RunPlan(command=("x",), slot="none")})


WAITING = {"a": RunView(state="waiting"), "b": RunView(state="waiting")}


def test_columns_that_no_run_can_fill_are_left_out() -> None:
    losses = {"train_loss", "val_loss", "best", "trend"} | JOB_COLUMNS
    epochs = {"progress", "eta"}
    assert unused_columns(plan(), WAITING) == losses | epochs | {"gpu_memory"}
    assert unused_columns(plan(slot="none"), WAITING) == losses | epochs | {"gpu_memory", "gpu"}
    assert unused_columns(plan(progress=r"(?P<epoch>\d+)"), WAITING) == losses | {"gpu_memory"}
    on_gpu = {**WAITING, "a": RunView(state="running", gpu=0)}
    pattern = r"(?P<epoch>\d+) (?P<train_loss>\d+)"
    assert unused_columns(plan(progress=pattern), on_gpu) == {"val_loss", "best"} | JOB_COLUMNS
    assert unused_columns(None, WAITING) == set()


def test_a_reason_has_its_place_without_the_columns_of_epochs() -> None:
    columns = choose_columns(78, ["mlp"], unused_columns(plan(slot="none"), WAITING))
    assert {column.key for column in columns} >= {"name", "state", "cpu", "memory", "attempt", "pid"}
    line = "".join(text for text, _ in format_row(columns, Row("mlp", RunView(state="failed", reason="exit code 3"))))
    assert line.split() == ["mlp", "✗", "failed", "exit", "code", "3"]
    assert len(line) == len(format_header(columns))


def test_jobs_have_a_column_for_their_node_and_no_column_for_a_gpu_of_this_machine() -> None:
    jobs = {"a": RunView(state="running", launcher="slurm", node="n7", job_id="314"), "b": WAITING["b"]}
    unused = unused_columns(plan(launcher="slurm", progress=r"(?P<epoch>\d+)"), jobs)
    assert {"gpu", "gpu_memory"} <= unused and not unused & JOB_COLUMNS
    line = "".join(text for text, _ in format_row(choose_columns(120, ["a", "b"], unused), Row("a", jobs["a"])))
    assert "n7" in line and "314" in line


def test_a_pending_run_shows_why_it_waits() -> None:
    pending = RunView(state="pending", launcher="slurm", job_id="314", reason="waits for a free GPU")
    line = "".join(text for text, _ in format_row(choose_columns(78, PMSSM, {"gpu"}), Row("mlp", pending)))
    assert "◌ pending" in line and "waits for a free GPU" in line


def test_long_names_take_the_room_of_the_progress_bar() -> None:
    names = ("simulate-seed1-strategy-random", "simulate-seed2-strategy-random")
    widths = {column.key: column.width for column in choose_columns(80, names)}
    assert (widths["name"], widths["progress"]) == (28, 9)
