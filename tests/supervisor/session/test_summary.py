"""The result of a session, as a file and as tables."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.logs.sanitize import MAX_LINE
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.events import EngineStarted, Event, SlotsChosen
from pmssm.supervisor.session.folder import SessionFolder
from pmssm.supervisor.session.reducer import replay
from pmssm.supervisor.session.run_states import run_states
from pmssm.supervisor.session.summary import (
    BLOCK,
    RESULT_FILE,
    SummaryWriter,
    build_summary,
    read_summary,
    write_summary,
)
from pmssm.supervisor.session.summary_tables import results_table, runs_table
from support.events import ended, starting
from support.simulation import plan_of

PLAN = plan_of(a=((), 0), b=(("a",), 0))
GPU = Slot(index=0, gpu_index=2, gpu_uuid="GPU-2", name="GPU 2")


def attempt(number: int, at: float, **exit_record: object) -> list[Event]:
    return [starting(number=number, at=at, slot=GPU), ended(number=number, at=at, **exit_record)]


EVENTS: list[Event] = [
    EngineStarted(at=1, pid=1),
    SlotsChosen(at=2, slots=(GPU,), mode="sequential"),
    *attempt(1, 10, ended=40, signal=9, max_rss_mib=700),
    *attempt(2, 100, ended=3800, exit_code=0, max_rss_mib=500),
]


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    folder = SessionFolder(tmp_path, "20260122_153100")
    for run in PLAN.runs:
        folder.run_folder(run).mkdir(parents=True)
    return folder


def leave(folder: SessionFolder, text: str, run: str = "a") -> None:
    (folder.run_folder(run) / RESULT_FILE).write_text(text)


def summary_of(folder: SessionFolder, events: list[Event] = EVENTS) -> dict:  # type: ignore[type-arg]
    write_summary(folder, PLAN, replay(PLAN, events))
    return json.loads(folder.summary.read_text(), parse_constant=pytest.fail)  # type: ignore[no-any-return]


def test_the_summary_says_what_became_of_each_run(folder: SessionFolder) -> None:
    leave(folder, '{"model": "PMSSMTransformer", "parameters": 795777, "r2": 0.98, "early": false}')
    summary = summary_of(folder)
    assert summary["session"] == "20260122_153100"
    assert summary["mode"] == "sequential"
    assert summary["started"] == 1
    assert summary["runs"]["a"] == {
        "state": "succeeded",
        "group": None,
        "line": None,
        "attempts": 2,
        "exit_code": 0,
        "signal": None,
        "gpu": 2,
        "wall_time_s": 3730,
        "wall_time_measured": True,
        "peak_rss_mib": 700,
        "result": {"model": "PMSSMTransformer", "parameters": 795777, "r2": 0.98, "early": False},
    }
    assert summary["runs"]["b"]["state"] == "queued"
    assert summary["runs"]["b"]["result"] == {}
    assert read_summary(folder) == summary


def test_before_the_first_end_there_is_nothing_to_sum_up(folder: SessionFolder) -> None:
    assert read_summary(folder) == {"runs": {}}
    assert summary_of(folder, [])["runs"]["a"]["state"] == "queued"


def test_a_clock_that_stepped_back_gives_no_negative_time(folder: SessionFolder) -> None:
    assert summary_of(folder, attempt(1, 5000, ended=40, exit_code=0))["runs"]["a"]["wall_time_s"] == 0


# What a run leaves is its own word


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "not json",
        "\xff",
        "[" * 60_000,
        '{"a": ' * 10_000,
        '{"n": ' + "9" * 5000 + "}",
        '{"big": "' + "x" * 70_000 + '"}',
    ],
)
def test_a_result_that_is_none_costs_nothing(folder: SessionFolder, text: str) -> None:
    leave(folder, text)
    assert summary_of(folder)["runs"]["a"]["result"] == {}


def test_only_finite_scalars_are_taken(folder: SessionFolder) -> None:
    leave(folder, '{"list": [1], "table": {}, "none": null, "nan": NaN, "inf": Infinity, "number": 1.5, "text": "x"}')
    assert summary_of(folder)["runs"]["a"]["result"] == {"number": 1.5, "text": "x"}


def test_texts_are_cleaned_and_bounded(folder: SessionFolder) -> None:
    leave(folder, json.dumps({"\x1b[31mkey\ud800": "\x1b]52;c;x\x07value\ud800", "long": "x" * 20_000}))
    result = summary_of(folder)["runs"]["a"]["result"]
    assert result["key?"] == "value?"
    assert len(result["long"]) == MAX_LINE


def test_many_keys_are_cut(folder: SessionFolder) -> None:
    leave(folder, json.dumps({f"k{number}": number for number in range(1000)}))
    assert len(summary_of(folder)["runs"]["a"]["result"]) == 64


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "/nowhere", "."])
def test_a_link_to_something_else_is_no_result(folder: SessionFolder, target: str) -> None:
    (folder.run_folder("a") / RESULT_FILE).symlink_to(target)
    assert summary_of(folder)["runs"]["a"]["result"] == {}


def test_a_fifo_is_no_result_and_does_not_block(folder: SessionFolder) -> None:
    os.mkfifo(folder.run_folder("a") / RESULT_FILE)
    assert summary_of(folder)["runs"]["a"]["result"] == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
)


@given(found=st.dictionaries(st.text(st.characters()), JSON, max_size=6))
def test_whatever_a_run_leaves_the_tables_are_printable(
    found: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = SessionFolder(tmp_path_factory.mktemp("s"), "20260122_153100")
    folder.run_folder("a").mkdir(parents=True)
    leave(folder, json.dumps(found))
    summary = summary_of(folder)
    assert all(line.isprintable() for line in [*runs_table(summary), *results_table(summary)])


def test_a_summary_written_after_each_event_is_the_one_written_at_once(folder: SessionFolder) -> None:
    names = [f"r{number}" for number in range(2 * BLOCK + 3)]
    plan = Plan(runs={name: RunPlan(command=("true",), group="seeds") for name in names})
    writer = SummaryWriter(folder, plan)
    events: list[Event] = [EngineStarted(at=1, pid=1)]
    changed = set(names)
    for name in (names[0], names[BLOCK], names[-1], names[0]):
        folder.run_folder(name).mkdir(exist_ok=True)
        number = 1 + sum(getattr(event, "run", None) == name for event in events) // 2
        leave(folder, json.dumps({"r2": len(events) / 10}), run=name)
        events += [starting(name, number=number, at=2), ended(name, number=number, at=3, ended=3, exit_code=0)]
        state = replay(plan, events)
        writer.write(state, run_states(plan, state), changed | {name}, sync=False)
        assert json.loads(folder.summary.read_text()) == json.loads(json.dumps(build_summary(folder, plan, state)))
        changed = set()
    assert json.loads(folder.summary.read_text())["groups"]["seeds"]["r2"]["count"] == 3
