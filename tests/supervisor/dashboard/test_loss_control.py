"""Loss curves: comparisons, metric, axis, zoom."""

import asyncio

from pmssm.supervisor.dashboard.data.current_session import CurrentSession
from pmssm.supervisor.dashboard.loss_control import LossControl
from pmssm.supervisor.dashboard.widgets.loss_plot import LossPlot
from pmssm.supervisor.dashboard.widgets.runs_table import RunsTable
from pmssm.supervisor.logs.metric_history import MetricHistories
from support.fake_engine import FakeEngine, training_log, until, until_shown
from textual.app import App, ComposeResult


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


async def test_loss_control_needs_no_app(engine: FakeEngine) -> None:
    session, histories, plot = CurrentSession(), MetricHistories(), LossPlot()
    table = RunsTable(histories.get)
    losses = LossControl(session, histories, table, plot)
    assert engine.snapshot is not None
    await session.update(engine.snapshot)

    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield table
            yield plot

    async with Host().run_test(size=(100, 40)) as pilot:
        table.show(engine.snapshot.runs, "transformer")
        watching = asyncio.create_task(losses.watch())
        await until(pilot, lambda: "best val 0.051" in str(plot.border_title))
        assert losses.next_comparison() == "loss of: all runs"
        await until(pilot, lambda: "all runs" in str(plot.border_title))
        assert losses.next_metric() == "comparisons show the training loss (c compares)"
        assert "train_loss" in str(plot.border_title)
        assert (losses.toggle_axis(), losses.zoom_epochs(1)) == ("linear axis", "the last 50% of the epochs")
        watching.cancel()
