"""Loss curves: comparisons, metric, axis, zoom."""

from pmssm.supervisor.dashboard.widgets.runs_table import RunsTable
from support.fake_engine import FakeEngine, training_log, until_shown


async def test_c_compares_runs_attempts_and_sessions(engine: FakeEngine) -> None:
    (engine.folder / "session_20260101_120000").mkdir()
    (engine.folder / "transformer_20260101_120000.log").write_text(training_log(50))
    async with engine.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "best val 0.051")
        await pilot.press("c")
        await until_shown(pilot, "val_loss · all runs", "1 transformer 0.051", "2 transformer_tabular 0.10")
        await pilot.press("v")
        await until_shown(pilot, "train_loss · all runs", "1 transformer 0.025")
        await pilot.press("v", "c")
        await until_shown(pilot, "val_loss · attempts of transformer", "1 now 0.051")
        await pilot.press("c")
        await until_shown(pilot, "transformer in earlier sessions", "2 20260101_120000 0.51")
        await pilot.press("c")
        await until_shown(pilot, "best val")


async def test_runs_without_a_slot_are_compared_too(engine: FakeEngine) -> None:
    plan = engine.folder / "plan.toml"
    plan.write_text(plan.read_text().replace("progress =", 'slot = "none"\nprogress ='))
    async with engine.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "best val")
        await pilot.press("c")
        await until_shown(pilot, "val_loss · all runs", "1 transformer 0.051", "2 transformer_tabular 0.10")
        assert pilot.app.query_one(RunsTable).selected == "transformer"


async def test_plus_minus_and_l_change_what_the_plot_shows(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "best val")
        await pilot.press("plus", "l")
        await until_shown(pilot, "last 50%, linear")
        await pilot.press("minus", "l")
        shown = await until_shown(pilot, "logarithmic axis")
        assert "last 50%" not in shown
