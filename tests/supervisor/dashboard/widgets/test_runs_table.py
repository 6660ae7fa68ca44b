"""Table of runs: marks, filter, order."""

from pmssm.supervisor.ipc.messages import Stop
from pmssm.supervisor.session.snapshot import RunView, Snapshot
from pmssm.supervisor.session.state import RunState
from support.fake_engine import FakeEngine, screen_text, until, until_shown


async def test_marked_runs_are_stopped_together(engine: FakeEngine) -> None:
    async with engine.app().run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("m", "m", "x")
        await until_shown(pilot, "Stop transformer, transformer_tabular?", "*transformer ")
        await pilot.press("y")
        await until_shown(pilot, "2 done; done as asked")
        assert engine.commands == [Stop(run="transformer"), Stop(run="transformer_tabular")]
        await pilot.press("M")
        await until(pilot, lambda: "*transformer" not in screen_text(pilot.app))


async def test_a_filter_hides_runs_while_it_is_typed_and_escape_shows_them_again(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("F", *"tab")
        await until_shown(pilot, "transformer_tabular: ▶ running")
        assert "prepare " not in screen_text(app)
        await pilot.press("enter", "k")
        assert app.panes.runs.selected == "transformer_tabular"
        await pilot.press("F", "escape")
        await until_shown(pilot, "prepare ", "mlp ")
        await pilot.press("F", *"zzz")
        await until_shown(pilot, "no run matches 'zzz'")


async def test_o_sorts_and_the_selected_run_stays_selected(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        engine.publish(engine.make_snapshot(runs=engine.runs(mlp={"state": "failed", "reason": "exit code 1"})))
        await pilot.press("o")
        await until_shown(pilot, "runs sorted by: urgency")
        shown = screen_text(app)
        assert shown.index("mlp ") < shown.index("prepare ")
        assert app.panes.runs.selected == "transformer"


ROUNDS = """
[session]
rounds = 12
[runs.first]
command = ["first"]
[runs.train]
each_round = true
command = ["train"]
after = ["simulate@previous"]
progress = 'loss (?P<val_loss>\\S+)'
[runs.simulate]
each_round = true
command = ["simulate"]
after = ["train"]
progress = 'rate (?P<hit_rate>\\S+)'
"""


def rounds_session(engine: FakeEngine, current: int) -> Snapshot:
    """Return a session whose chain trains for the `current`th time."""
    states = {"first": RunView(state=RunState.SUCCEEDED, log="", attempt=1)}
    for number in range(1, 13):
        done = number < current
        state = RunState.SUCCEEDED if done else RunState.RUNNING if number == current else RunState.WAITING
        ended = RunState.SUCCEEDED if done else RunState.WAITING
        figures = {"train": {"val_loss": 1 / number}, "simulate": {"hit_rate": number / 100}} if done else {}
        for name, one in (("train", state), ("simulate", ended)):
            states[f"{name}-r{number:02d}"] = RunView(
                state=one, log="", attempt=int(one is not RunState.WAITING), progress=figures.get(name, {})
            )
    return engine.make_snapshot(runs=states)


async def test_rounds_are_one_line_that_follows_the_current_one_until_O_lists_them(engine: FakeEngine) -> None:
    (engine.folder / "plan.toml").write_text(ROUNDS)
    engine.publish(rounds_session(engine, 7))
    app = engine.app()
    async with app.run_test(size=(120, 36)) as pilot:
        shown = await until_shown(pilot, "train 7/12", "simulate 6/12", "0.16667 @ r6", "0.06 @ r6")
        assert "train-r03" not in shown
        assert app.panes.runs.selected == "train-r07"
        engine.publish(rounds_session(engine, 8))
        await until_shown(pilot, "train 8/12")
        await until(pilot, lambda: app.panes.runs.selected == "train-r08")  # the selection goes on with the chain
        await pilot.press("O")
        await until_shown(pilot, "train: all rounds", "train-r03", "train-r08")
        assert app.panes.runs.selected == "train-r08"
        await pilot.press("O")
        shown = await until_shown(pilot, "train: the current round", "train 8/12")
        assert "train-r03" not in shown
        await pilot.press("F", *"r03")
        await until_shown(pilot, "train-r03", "simulate-r03")
