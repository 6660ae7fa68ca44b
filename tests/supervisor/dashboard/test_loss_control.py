"""What is drawn in one plot, and how it is looked at."""

from pathlib import Path

from pmssm.supervisor.dashboard.data.loss_comparison import MAX_SESSIONS, curves_of_attempts, earlier_sessions
from pmssm.supervisor.dashboard.rendering.braille_plot import plot
from pmssm.supervisor.dashboard.widgets.loss_plot import newest_point
from pmssm.supervisor.dashboard.widgets.runs_table import RunsTable
from pmssm.supervisor.logs.metric_history import MetricHistory
from support.fake_engine import PROGRESS, Stage, epoch_line, training_log, until_shown


def test_attempts_that_were_taken_back_stay_comparable() -> None:
    history = MetricHistory()
    for epoch, value in [(1, 9.0), (2, 8.0), (3, 7.0), (1, 5.0), (2, 4.0)]:
        history.add({"epoch": epoch, "val_loss": value})
    compared = curves_of_attempts("a", history, "val_loss")
    assert [list(curve.points) for curve in compared.curves] == [
        [(1, 5.0), (2, 4.0)],
        [(1, 9.0), (2, 8.0), (3, 7.0)],
    ]


async def test_earlier_sessions_are_the_newest_others_that_told_a_loss(tmp_path: Path) -> None:
    for day in range(10, 20):
        (tmp_path / f"session_202601{day}_120000").mkdir()
        if day != 15:
            (tmp_path / f"mlp_202601{day}_120000.log").write_text(epoch_line(1, 1.0, float(day)) + "\n")
    found = await earlier_sessions(tmp_path, "20260119_120000", "mlp", PROGRESS)
    assert [stamp[6:8] for stamp in found] == ["18", "17", "16", "14", "13", "12"]
    assert len(found) == MAX_SESSIONS


def test_zooming_shows_the_newest_part_of_all_epochs() -> None:
    curves = [[(float(x), 1.0) for x in range(101)], [(0.0, 1.0), (50.0, 1.0)]]
    assert [[x for x, _ in curve][:1] for curve in newest_point(curves, 0.5)] == [[50.0], [50.0]]


def test_a_linear_axis_draws_a_line_straight() -> None:
    canvas = plot([[(float(x), 10.0 - x) for x in range(10)]], 60, 12, linear=True)
    assert canvas is not None
    falls = [next(row for row, line in enumerate(canvas.cells) if line[column][0] != " ") for column in (5, 25, 45)]
    assert falls[1] - falls[0] == falls[2] - falls[1]


async def test_c_compares_runs_attempts_and_sessions(stage: Stage) -> None:
    (stage.folder / "session_20260101_120000").mkdir()
    (stage.folder / "transformer_20260101_120000.log").write_text(training_log(50))
    async with stage.app().run_test(size=(120, 40)) as pilot:
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


async def test_runs_without_a_slot_are_compared_too(stage: Stage) -> None:
    plan = stage.folder / "plan.toml"
    plan.write_text(plan.read_text().replace("progress =", 'slot = "none"\nprogress ='))
    async with stage.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "best val")
        await pilot.press("c")
        await until_shown(pilot, "val_loss · all runs", "1 transformer 0.051", "2 transformer_tabular 0.10")
        assert pilot.app.query_one(RunsTable).selected == "transformer"


async def test_plus_minus_and_l_change_what_the_plot_shows(stage: Stage) -> None:
    async with stage.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "best val")
        await pilot.press("plus", "l")
        await until_shown(pilot, "last 50%, linear")
        await pilot.press("minus", "l")
        shown = await until_shown(pilot, "logarithmic axis")
        assert "last 50%" not in shown
