"""Title of the terminal, and messages about ended runs."""

from pmssm.supervisor.dashboard.terminal import (
    ended_runs_message,
    notification,
    progress_title,
    set_title,
    stopped_runs_message,
)
from pmssm.supervisor.plan.schema import Plan, RunPlan
from support.fake_engine import FakeEngine, screen_text, until, until_shown


def test_the_title_shows_the_progress_of_the_session(engine: FakeEngine) -> None:
    assert progress_title(engine.make_snapshot()) == "pmssm 31 % · 1 succeeded, 2 running, 1 waiting"
    assert set_title("a\x1b]0;b\x07c") == "\x1b]2;ac\x07"


def test_the_end_of_a_run_is_announced_once(engine: FakeEngine) -> None:
    before = engine.make_snapshot()
    failed = engine.make_snapshot(
        runs=engine.runs(transformer={"state": "failed", "reason": "exit code 1: \x1b[2Jdisk full"})
    )
    assert ended_runs_message(before, failed) == "transformer failed: exit code 1: disk full"
    assert ended_runs_message(failed, failed) == ended_runs_message(None, failed) == ""
    assert notification("a;b", {}) == "\x1b]9;a;b\x07"
    assert notification("a", {"TERM": "foot"}) == "\x1b]777;notify;pmssm-supervise;a\x07"
    assert notification("a", {"TMUX": "x"}) == "\x1bPtmux;\x1b\x1b]9;a\x07\x1b\\"


def test_a_stop_mentions_the_checkpoint_only_of_a_run_that_may_have_one(engine: FakeEngine) -> None:
    before, stopped = engine.make_snapshot(), engine.make_snapshot(runs=engine.runs(transformer={"state": "stopped"}))
    sleeps = Plan(runs={"transformer": RunPlan(command=("sleep", "60"))})
    trains = Plan(runs={"transformer": RunPlan(command=("train",), fresh_args=("--fresh",))})
    assert stopped_runs_message(before, stopped, sleeps) == "transformer stopped; s starts again"
    for plan in (trains, None):
        assert stopped_runs_message(before, stopped, plan) == "transformer stopped; s resumes from the checkpoint"


async def test_the_end_of_a_run_is_shown_as_a_message(engine: FakeEngine) -> None:
    async with engine.app().run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"state": "failed", "reason": "exit code 1"})))
        await until_shown(pilot, "transformer failed: exit code 1")
        await until(pilot, lambda: "✗ failed" in screen_text(pilot.app))
