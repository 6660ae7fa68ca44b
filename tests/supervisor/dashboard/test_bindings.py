"""The keys: actions, messages, confirmations."""

import re
from typing import Any

import pytest
from pmssm.supervisor.dashboard.actions import DETACHED, FINISHED
from pmssm.supervisor.dashboard.app import Dashboard
from pmssm.supervisor.dashboard.bindings import DETAILS, GROUPS, PANES, all_keys
from pmssm.supervisor.dashboard.screens.run_details import RunDetailsScreen
from pmssm.supervisor.dashboard.widgets.line_view import LineView
from pmssm.supervisor.dashboard.widgets.runs_table import RunsTable
from pmssm.supervisor.ipc.client import EngineUnavailable
from pmssm.supervisor.ipc.connection import NoActiveSession
from pmssm.supervisor.ipc.messages import Command, Down, Reply, Restart, Start, Stop
from pmssm.supervisor.session.snapshot import RunView
from support.fake_engine import FakeEngine, epoch_line, until, until_shown
from textual.containers import VerticalScroll
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Button


async def ready(pilot: Pilot[Any]) -> None:
    await until_shown(pilot, "transformer: ▶ running", "Epoch 300/2000", "best val")


async def test_s_acts_at_once_and_shows_the_answer(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("s")
        await until_shown(pilot, "done as asked")
        assert engine.commands == [Start(run="transformer")]


async def test_x_needs_a_yes_before_it_keeps_a_run_from_starting(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("G", "x")
        await until_shown(pilot, "Keep mlp from starting?")
        await pilot.press("n", "x")
        await until_shown(pilot, "Keep mlp from starting?")
        assert engine.commands == []
        await pilot.press("y")
        await until_shown(pilot, "done as asked")
        assert engine.commands == [Stop(run="mlp")]


async def test_x_of_marked_runs_names_those_that_wait_stops_them_first_and_leaves_those_that_ended(
    engine: FakeEngine,
) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("M", "x")
        shown = await until_shown(pilot, "Stop transformer, transformer_tabular?")
        assert "mlp will not start." in " ".join(" ".join(re.findall("│(.*?)│", shown)).split())
        await pilot.press("y")
        await until(pilot, lambda: len(engine.commands) == 3)
        assert engine.commands == [Stop(run=name) for name in ("mlp", "transformer", "transformer_tabular")]


async def test_a_confirmation_about_a_run_that_ends_meanwhile_is_withdrawn(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("x")
        await until_shown(pilot, "Stop transformer?")
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"progress": {"epoch": 301, "epochs": 2000}})))
        await pilot.pause(0.3)
        await until_shown(pilot, "Stop transformer?")  # it is still the same attempt
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"attempt": 9})))
        await until_shown(pilot, "The run has ended or started meanwhile; nothing was done")
        await pilot.press("y")
        assert engine.commands == []


async def test_r_restarts_an_ended_run_without_confirmation(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("k", "r")
        await until_shown(pilot, "done as asked")
        assert engine.commands == [Restart(run="prepare")]


QUESTIONS = [
    ("x", Stop(run="transformer"), ("Stop transformer?", "SIGTERM, checkpoint, up to 45 s, then SIGKILL")),
    (
        "r",
        Restart(run="transformer"),
        ("Restart transformer?", "then SIGKILL. Then resume from the checkpoint"),
    ),
    ("X", Stop(run="transformer", how="kill"), ("Kill transformer?", "SIGKILL now", "last checkpoint is lost")),
    ("R", Restart(run="transformer", fresh=True), ("from scratch?", "SIGTERM, checkpoint, up to 45 s, then SIGKILL")),
    (
        "Q",
        Down(),
        ("End the session?", "transformer, transformer_tabular: SIGTERM, checkpoint, up to 45 s, then SIGKILL"),
    ),
]


@pytest.mark.parametrize(("key", "command", "texts"), QUESTIONS)
async def test_dangerous_keys_act_only_after_a_yes(
    engine: FakeEngine, key: str, command: Command, texts: tuple[str, ...]
) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        for answer in ("enter", "n", "escape", "q"):
            await pilot.press(key)
            dialog = re.findall("│(.*?)│", await until_shown(pilot, texts[0], "No, cancel (n)"))
            shown = " ".join(" ".join(dialog).split())
            assert all(text in shown for text in texts)
            assert isinstance(pilot.app.focused, Button)
            assert pilot.app.focused.id == "no"
            await pilot.press(answer)
            await until_shown(pilot, "transformer: ▶ running", "nothing was done")
            assert engine.commands == []
        for answers in (("y",), ("right", "enter")):
            await pilot.press(key)
            await until_shown(pilot, "No, cancel (n)")
            await pilot.press(*answers)
            await until(pilot, lambda: engine.commands)
            assert engine.commands == [command]
            engine.commands.clear()
        await until_shown(pilot, "done as asked")


async def test_the_end_of_a_stop_is_shown_with_the_key_that_undoes_it(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"state": "stopping"})))
        await until_shown(pilot, "▼ stopping", "SIGKILL in 45s")
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"state": "stopped", "pid": None})))
        await until_shown(pilot, "transformer stopped; s resumes from the checkpoint")


async def test_kill_of_a_run_that_does_not_run_shows_a_message_without_confirmation(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("k", "X")
        await until_shown(pilot, "prepare is not running: it is succeeded")
        assert engine.commands == []


async def test_a_refusal_is_shown_as_an_error(engine: FakeEngine) -> None:
    engine.reply = Reply(ok=False, message="transformer: is running [already] [/x]")
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("s")
        await until_shown(pilot, "is running [already] [/x]")
        assert app.panes.key_bar.has_class("error")


async def test_a_command_without_an_engine_shows_that_it_failed(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        engine.disconnect(EngineUnavailable("the engine could not start: disk full"))
        await pilot.press("x", "y")
        await until_shown(pilot, "stop failed", "disk full")


async def test_a_read_only_view_offers_no_key_that_controls_runs_and_rejects_them(engine: FakeEngine) -> None:
    app = Dashboard(engine, clock=lambda: engine.now, read_only=True)
    async with app.run_test() as pilot:
        await ready(pilot)
        bar = (await until_shown(pilot, "read-only  ? help  q detach  / search")).splitlines()[-1]
        assert not re.search("start|stop|kill|end", bar)
        for keys in ("s", "x", "X", "r", "R", "Q", "mx"):
            app.panes.key_bar.clear_message()
            await pilot.press(*keys)
            await until_shown(pilot, "read-only view; use `attach` or `web --control`")
        app.panes.key_bar.clear_message()
        await app.run_action("stop")  # as the palette and a click do
        await until_shown(pilot, "read-only view")
        assert engine.commands == []


async def test_keys_pressed_before_there_is_a_session_show_why_nothing_happens(engine: FakeEngine) -> None:
    engine.snapshot = None
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        for key in "sxXrRQ":
            app.panes.key_bar.show_message("", bad=False)
            await pilot.press(key)
            await until_shown(pilot, "still contacting the engine")
        assert engine.commands == []


async def test_j_k_and_arrows_select_a_run_and_stop_at_the_ends(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        for key, selected in (
            ("j", "transformer_tabular"),
            ("down", "mlp"),
            ("j", "mlp"),
            ("up", "transformer_tabular"),
        ):
            await pilot.press(key)
            assert app.panes.runs.selected == selected
        await until_shown(pilot, "log of transformer_tabular", "Epoch 200/2000", "loss · best val 0.10")
        await pilot.press("k", "k", "k", "k")
        await until_shown(pilot, "prepare: ✓ succeeded", "wrote 1000 points", "no progress pattern")


async def test_a_click_selects_a_run(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.click(app.panes.runs, offset=(5, 4))
        assert app.panes.runs.selected == "mlp"


async def test_search_jumps_counts_and_goes_on_with_n_and_N(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"Epoch 1.0/", "enter")
        await until_shown(pilot, "match 10/10 for 'Epoch 1.0/'", "Epoch 190/2000", "paused")
        await pilot.press("n")
        await until_shown(pilot, "match 1/10", "Epoch 100/2000")
        await pilot.press("N", "N")
        await until_shown(pilot, "match 9/10", "Epoch 180/2000")


async def test_a_missing_match_and_a_missing_search_are_shown(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("n")
        await until_shown(pilot, "press / first")
        await pilot.press("slash", *"nowhere(", "enter")
        await until_shown(pilot, "no match for 'nowhere('")


async def test_escape_leaves_the_search_line_and_typing_in_it_is_no_command(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"xsrq", "escape", "k")
        assert app.panes.runs.selected == "prepare"
        assert engine.commands == []


async def test_scrolling_up_pauses_and_f_follows_again(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        app.panes.log.lines.focus()
        await pilot.press("pageup")
        await until_shown(pilot, "paused")
        shown = app.panes.log.lines.scroll_offset.y
        with engine.log("transformer").open("a") as file:
            file.writelines(f"{epoch_line(epoch, 0.1, 0.1)}\n" for epoch in range(301, 313))
        await until_shown(pilot, "+12 new lines")
        assert app.panes.log.lines.scroll_offset.y == shown
        await pilot.press("f")
        await until_shown(pilot, "following", "Epoch 312/2000")
        await pilot.press("f")
        await until_shown(pilot, "paused (f follows)")


async def test_z_zooms_log_and_curve_and_comes_back(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        everything = (app.panes.runs, app.panes.gpus, app.panes.plot, app.panes.log)
        for shown in ((app.panes.log,), (app.panes.plot,), everything):
            await pilot.press("z")
            await until(pilot, lambda shown=shown: [w for w in everything if w.size.height] == list(shown))


async def test_z_zooms_the_focused_pane_first(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("tab", "z")
        await until(pilot, lambda: app.panes.gpus.size.height > 15)
        assert app.panes.gpus.has_focus


async def test_tab_goes_through_all_panes(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        seen = []
        for _ in range(4):
            seen.append(app.focused.id if app.focused else None)
            await pilot.press("tab")
        assert seen == ["runs", "gpus", "curve", "lines"]


def test_every_key_calls_an_action_of_its_app_or_widget() -> None:
    owners: dict[str, type] = {"runs": RunsTable, "lines": LineView, "details": VerticalScroll, "gpus": VerticalScroll}
    names = [(Dashboard, key.action.removeprefix("app.")) for key in all_keys()]
    names += [(owners[pane], key.action) for pane, (_, keys) in PANES.items() for key in keys if key.action]
    details = [key.action for key in DETAILS]
    names += [(RunDetailsScreen, action.removeprefix("screen.")) for action in details if "screen." in action]
    for owner, action in names:
        assert callable(getattr(owner, f"action_{action.partition('(')[0]}")), action


def test_no_two_keys_share_a_key_or_a_rank_in_the_key_bar() -> None:
    for keys in (all_keys(), list(DETAILS)):
        pressed = [name for key in keys for name in key.keys.split(",")]
        assert len(set(pressed)) == len(pressed)
        ranks = [key.rank for key in keys if key.bar]
        assert len(set(ranks)) == len(ranks)
    for _, pane_keys in PANES.values():
        pressed = [name for key in pane_keys if key.action for name in key.keys.split(",")]
        assert len(set(pressed)) == len(pressed)


async def test_help_lists_every_key(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(100, 60), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("question_mark")
        shown = await until_shown(pilot, "keys (Esc closes")
        assert all(key.help in shown for keys in GROUPS.values() for key in keys)
        await pilot.press("question_mark")
        await until_shown(pilot, "transformer: ▶ running", "? help")


async def test_help_starts_with_the_keys_of_the_focused_pane(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(100, 60), notifications=True) as pilot:
        await ready(pilot)
        for tabs, title in (
            (0, "runs"),
            (1, "GPUs"),
            (1, "loss"),
            (1, "log"),
        ):
            await pilot.press(*["tab"] * tabs, "question_mark")
            shown = await until_shown(pilot, f"With the {title} focused", "Runs", "Screen")
            assert shown.index("With the ") < shown.index("select the next run")
            await pilot.press("escape")


async def test_keys_pressed_directly_after_a_key_go_to_the_screen_that_it_opens(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        for key in ("slash", "s", "R", "Q"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until_shown(pilot, " sRQ")
        await pilot.press("escape")
        for key in ("x", "y"):
            app.post_message(Key(key, key))
        await until(pilot, lambda: engine.commands)
        assert engine.commands == [Stop(run="transformer")]


async def test_keys_that_come_all_at_once_act_in_their_order(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        for key in ("down", "s", "j", "s", "up", "k", "s"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: len(engine.commands) == 3)
        assert engine.commands == [Start(run="transformer_tabular"), Start(run="mlp"), Start(run="transformer")]


async def test_the_log_keeps_j_and_k_for_its_lines(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("tab", "tab", "tab", "k", "k")
        await until_shown(pilot, "log of transformer ", "paused")
        assert app.panes.runs.selected == "transformer"


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_q_leaves_with_a_message_that_the_runs_continue(engine: FakeEngine, key: str) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press(key)
    assert app.return_value == DETACHED
    assert engine.commands == []


async def test_ctrl_c_shows_how_to_leave(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+c")
        await until_shown(pilot, "q leaves, the runs continue")


def finished(engine: FakeEngine) -> Dashboard:
    over: dict[str, Any] = {"state": "succeeded", "exit_code": 0, "pid": None, "ended": engine.now}
    runs: dict[str, RunView] = engine.runs(transformer=over, transformer_tabular=over, mlp=over)
    engine.snapshot = engine.recorded_snapshot = engine.make_snapshot(runs=runs, state="finished", ended=engine.now)
    return engine.app()


async def test_a_finished_session_shows_its_result_and_how_to_continue(engine: FakeEngine) -> None:
    app = finished(engine)
    async with app.run_test(notifications=True) as pilot:
        await until_shown(pilot, "finished; every run succeeded", "4 succeeded", "r restarts a run, q leaves")
        await pilot.press("Q")
        await until_shown(pilot, "already finished")
        await pilot.press("q")
    assert app.return_value == FINISHED


async def test_a_session_that_finished_earlier_is_shown_from_its_files_and_can_be_restarted(engine: FakeEngine) -> None:
    app = finished(engine)
    engine.disconnect(NoActiveSession("it has finished"))
    async with app.run_test(notifications=True) as pilot:
        await until_shown(pilot, "finished; every run succeeded", "wrote 1000 points")
        engine.snapshot = engine.make_snapshot()
        await pilot.press("j", "r")
        await until_shown(pilot, "done as asked", "2 running")
        assert engine.commands == [Restart(run="transformer")]
        assert True in engine.reopened


@pytest.mark.parametrize(
    ("opens", "shown", "closes"),
    [("question_mark", "keys (Esc", "q"), ("enter", "Resources", "escape"), ("r", "Restart transformer?", "n")],
)
async def test_a_key_that_is_typed_at_once_after_a_dialog_was_closed_is_for_the_screen_below(
    engine: FakeEngine, opens: str, shown: str, closes: str
) -> None:
    app = engine.app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "300/2000")
        await pilot.press(opens)
        await until_shown(pilot, shown)
        for key in (closes, "x"):  # the pilot would wait in between
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until_shown(pilot, "Stop transformer?")
