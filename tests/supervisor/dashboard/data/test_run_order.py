"""Sorting, filtering and marking runs."""

from pmssm.supervisor.dashboard.data.run_order import ORDERS, next_order, sort_and_filter
from pmssm.supervisor.ipc.messages import Stop
from pmssm.supervisor.session.snapshot import RunView
from support.fake_engine import Stage, screen_text, until, until_shown

RUNS = {
    "b": RunView(state="succeeded", progress={"val_loss": 0.1}),
    "a": RunView(state="running", progress={"val_loss": 0.2}, eta_s=5.0),
    "d": RunView(state="failed"),
    "c": RunView(state="running", stalled=True, eta_s=3.0),
}


def test_every_order_puts_first_what_it_says() -> None:
    assert {order: "".join(sort_and_filter(RUNS, order, "")) for order in ORDERS} == {
        "plan": "badc",
        "urgency": "cdab",
        "val loss": "badc",
        "ETA": "cabd",
        "name": "abcd",
    }
    assert next_order("name") == "plan"


def test_a_filter_takes_words_of_name_or_state() -> None:
    assert sort_and_filter(RUNS, "plan", "RUN") == ["a", "c"]
    assert sort_and_filter(RUNS, "plan", "run c") == ["c"]
    assert sort_and_filter(RUNS, "plan", "nothing") == []


async def test_marked_runs_are_stopped_together(stage: Stage) -> None:
    async with stage.app().run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("m", "m", "x")
        await until_shown(pilot, "Stop transformer, transformer_tabular?", "*transformer ")
        await pilot.press("y")
        await until_shown(pilot, "2 done; done as asked")
        assert stage.commands == [Stop(run="transformer"), Stop(run="transformer_tabular")]
        await pilot.press("M")
        await until(pilot, lambda: "*transformer" not in screen_text(pilot.app))


async def test_a_filter_hides_runs_while_it_is_typed_and_escape_shows_them_again(stage: Stage) -> None:
    app = stage.app()
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("F", *"tab")
        await until_shown(pilot, "transformer_tabular: ▶ running")
        assert "prepare " not in screen_text(app)
        await pilot.press("enter", "k")
        assert app.runs.selected == "transformer_tabular"
        await pilot.press("F", "escape")
        await until_shown(pilot, "prepare ", "mlp ")
        await pilot.press("F", *"zzz")
        await until_shown(pilot, "no run matches 'zzz'")


async def test_o_sorts_and_the_selected_run_stays_selected(stage: Stage) -> None:
    app = stage.app()
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        stage.show(stage.picture(runs=stage.runs(mlp={"state": "failed", "reason": "exit code 1"})))
        await pilot.press("o")
        await until_shown(pilot, "in the order of: urgency")
        shown = screen_text(app)
        assert shown.index("mlp ") < shown.index("prepare ")
        assert app.runs.selected == "transformer"
