"""Table of runs: marks, filter, order."""

from pmssm.supervisor.ipc.messages import Stop
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
