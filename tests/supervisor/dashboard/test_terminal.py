"""Title of the terminal, and messages about ended runs."""

from pmssm.supervisor.dashboard.terminal import ended_runs_message, notification, progress_title, set_title
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


async def test_the_end_of_a_run_is_shown_as_a_message(engine: FakeEngine) -> None:
    async with engine.app().run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"state": "failed", "reason": "exit code 1"})))
        await until_shown(pilot, "transformer failed: exit code 1")
        await until(pilot, lambda: "✗ failed" in screen_text(pilot.app))
