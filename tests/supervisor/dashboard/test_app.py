"""The main screen at any size and with any text."""

from typing import Any

import pytest
from pmssm.supervisor.gpus.models import Gpu
from pmssm.supervisor.ipc.client import EngineUnavailable
from support.fake_engine import NOW, FakeEngine, screen_text, until, until_shown

NASTY = "\x1b[31mred\x1b[0m [/x] [bold]not bold[/bold] \x1b]0;title\x07 \x9b2J $USER {x} \u202e end"


async def test_the_first_screen_does_not_wait_for_the_engine(engine: FakeEngine) -> None:
    engine.snapshot = None
    async with engine.app().run_test(notifications=True) as pilot:
        shown = screen_text(pilot.app)
        assert "contacting the engine…" in shown
        assert "GPUs" in shown


async def test_an_unreachable_session_shows_why_and_is_retried(engine: FakeEngine) -> None:
    engine.disconnect(EngineUnavailable("nobody listens [/x]"))
    async with engine.app().run_test(notifications=True) as pilot:
        await until_shown(pilot, "cannot reach the engine, retrying… (nobody listens [/x])")
        engine.reconnect()
        await until_shown(pilot, "2 running")


async def test_it_keeps_the_last_snapshot_while_the_engine_is_unreachable_and_reconnects(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await until_shown(pilot, "300/2000")
        engine.disconnect()
        await until_shown(pilot, "engine unreachable, reconnecting…", "out of date", "300/2000")
        assert app.has_class("stale")
        runs = engine.runs(transformer={"progress": {"epoch": 301, "epochs": 2000}})
        engine.snapshot = engine.make_snapshot(runs=runs)
        engine.reconnect()
        shown = await until_shown(pilot, "301/2000")
        assert "reconnecting" not in shown
        assert not app.has_class("stale")


async def test_its_clock_may_tick_while_the_dashboard_ends(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until_shown(pilot, "300/2000", "GPUs", "Epoch 300/2000")
    assert not app.panes.gpus.is_attached
    app.panes.gpus.draw()  # raises nothing


async def test_a_new_snapshot_redraws_only_the_lines_that_changed(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await until_shown(pilot, "300/2000", "best val", "Epoch 300/2000")
        engine.publish(engine.make_snapshot())
        await pilot.pause(0.3)
        drawn: list[Any] = []
        app.panes.runs.refresh = lambda *regions, **_: drawn.extend(regions)
        engine.publish(engine.make_snapshot(taken_at=NOW + 1))
        await pilot.pause(0.2)
        assert drawn == []
        runs = engine.runs(transformer={"progress": {"epoch": 301, "epochs": 2000}})
        engine.publish(engine.make_snapshot(runs=runs))
        await until(pilot, lambda: drawn)
        assert [(region.y, region.height) for region in drawn] == [(2, 1)]


async def test_hostile_text_is_shown_as_text_everywhere(engine: FakeEngine) -> None:
    engine.log("transformer").write_bytes(f"{NASTY}\n[/x]\n[link=file:///x]y[/link]\n".encode() + b"\xff\xfe\x00\n")
    gpus = (Gpu(index=0, name=NASTY, memory_total_mib=10, memory_used_mib=5), Gpu(index=1, error=NASTY))
    runs = engine.runs(transformer={"reason": NASTY}, mlp={"reason": "[/x]"})
    engine.snapshot = engine.make_snapshot(runs=runs, gpus=gpus, name="[/pmssm]", notes=(NASTY,))
    app = engine.app()
    async with app.run_test(size=(200, 50), notifications=True) as pilot:
        await until_shown(pilot, "red [/x] [bold]not bold[/bold]", "[link=file:///x]y[/link]", "[/pmssm]")
        await pilot.press("j", "j", "j")
        await pilot.press("slash", *"[/x]", "enter", "k", "k", "k")
        await until_shown(pilot, "for '[/x]'")
        text = "".join(segment.text for strip in app.screen._compositor.render_strips(app.size) for segment in strip)
        assert text.isprintable()
        engine.publish(engine.make_snapshot(runs=runs, gpus=(), gpu_error=NASTY, gpu_taken_at=None))
        await until_shown(pilot, "no GPU: red [/x]")
        engine.disconnect(EngineUnavailable(NASTY))
        await until_shown(pilot, "this data is out of date. (red [/x]")


async def test_every_size_is_survived_and_shows_state_and_progress(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(80, 24), notifications=True) as pilot:
        for width, height in ((80, 24), (10, 5), (20, 10), (40, 60), (60, 24), (100, 15), (140, 40), (300, 90)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda width=width: width < 40 or "▶ running" in screen_text(pilot.app))
            await until(pilot, lambda width=width: width < 60 or "300/2000" in screen_text(pilot.app))


async def test_columns_come_and_go_with_the_width(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(80, 24), notifications=True) as pilot:
        shown = await until_shown(pilot, "val loss")
        assert "GPU mem" not in shown
        await pilot.resize_terminal(200, 50)
        await until_shown(pilot, "GPU mem", "trend", "best val", "pid", "█▇")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "GPU mem" not in screen_text(pilot.app))


async def test_without_colour_states_are_text_and_the_selection_is_reversed(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await until_shown(pilot, "✓ succeeded", "▶ running", "○ waiting")
        strip = app.panes.runs.render_line(2)
        assert all(segment.style is not None and segment.style.reverse for segment in strip)


async def test_gpu_errors_and_stale_gpu_data_are_shown(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(120, 40), notifications=True) as pilot:
        shown = await until_shown(pilot, "n/a", "1 other process")
        assert "idle" in shown
        engine.publish(engine.make_snapshot(gpus=(Gpu(index=0, error="GPU is lost"),)))
        await until_shown(pilot, "GPU is lost")
        engine.publish(engine.make_snapshot(gpu_taken_at=NOW - 75))
        await until_shown(pilot, "stale: this data is 1m15s old")


async def test_problems_of_the_selected_run_are_described(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"gpu_actual": (3,)})))
        await until_shown(pilot, "runs on GPU 3, not on GPU 1")
        engine.publish(engine.make_snapshot(runs=engine.runs(transformer={"stalled": True})))
        await until_shown(pilot, "! stalled", "without progress")
        engine.publish(
            engine.make_snapshot(runs=engine.runs(transformer={"state": "failed", "reason": "SIGKILL", "signal": 9}))
        )
        await until_shown(pilot, "✗ failed · SIGKILL", "s starts it")
        engine.publish(
            engine.make_snapshot(
                runs=engine.runs(mlp={"state": "blocked", "reason": "blocked by transformer (SIGKILL)"})
            )
        )
        await pilot.press("j", "j")
        await until_shown(pilot, "mlp: ⊘ blocked · blocked by transformer (SIGKILL)", "after transformer, transformer_")


async def test_a_flood_of_lines_leaves_the_newest_ones_and_the_others_within_reach(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(notifications=True) as pilot:
        await until_shown(pilot, "Epoch 300/2000")
        with engine.log("transformer").open("a") as file:
            file.writelines(f"flood {number}\n" for number in range(50_000))
        await until_shown(pilot, "flood 49999")
        assert len(app.panes.log.lines.lines) < 20_000
        app.panes.log.lines.focus()
        await pilot.press("home")
        await until_shown(pilot, "Epoch 1/2000", "paused")


async def test_the_command_line_is_shown_ready_to_copy(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "after prepare · train transformer --data 'a b'")


async def test_a_thousand_runs_stay_usable(engine: FakeEngine) -> None:
    template = engine.runs()["transformer"]
    runs = {f"run_{number:04}": template for number in range(1000)}
    engine.snapshot = engine.make_snapshot(runs=runs)
    app = engine.app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "run_0000", "1000 running")
        for _ in range(20):
            await pilot.press("pagedown")
        await pilot.press("end")
        await until_shown(pilot, "run_0999: ▶ running")
        for epoch in range(301, 321):
            changed = template.model_copy(update={"progress": {"epoch": epoch, "epochs": 2000}})
            engine.publish(engine.make_snapshot(runs=dict.fromkeys(runs, changed)))
            await until_shown(pilot, f"{epoch}/2000")


async def test_log_lines_are_short_where_the_screen_is_narrow_and_t_shows_them_whole(engine: FakeEngine) -> None:
    prefix = "2026-01-22 15:31:00 [{level:<9}] transformer          | "
    lines = [prefix.format(level="info") + "Epoch 1", prefix.format(level="warning") + "hot", "bare line"]
    engine.log("transformer").write_text("\n".join([*lines, ""]))
    async with engine.app().run_test(size=(80, 24), notifications=True) as pilot:
        await until_shown(pilot, "\n 15:31:00 Epoch 1", "\n 15:31:00 [warning] hot", "\n bare line")
        await pilot.press("t")
        await until_shown(pilot, "\n Epoch 1", "\n [warning] hot", "text alone")
        await pilot.press("t")
        await until_shown(pilot, *lines, "whole log lines")
        await pilot.resize_terminal(160, 40)
        await pilot.press("t")
        await until_shown(pilot, "\n 15:31:00 Epoch 1", "time and text")


async def test_a_click_on_the_key_bar_is_as_good_as_the_key(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await until_shown(pilot, "? help")
        await pilot.click("#keys", offset=(3, 0))
        await until_shown(pilot, "keys (Esc closes")


async def test_ages_increase_without_new_snapshots(engine: FakeEngine) -> None:
    async with engine.app().run_test(notifications=True) as pilot:
        await until_shown(pilot, "for 1h01m", "1:02:05")
        engine.now += 3600
        await until_shown(pilot, "for 2h01m", "2:02:05", "stale: this data is 1h00m old")


async def test_counts_that_do_not_fit_as_text_are_symbols(engine: FakeEngine) -> None:
    states = {"prepare": "failed", "transformer": "blocked", "transformer_tabular": "queued", "mlp": "stopped"}
    engine.publish(engine.make_snapshot(runs=engine.runs(**{name: {"state": state} for name, state in states.items()})))
    async with engine.app().run_test(size=(80, 24), notifications=True) as pilot:
        shown = await until_shown(pilot, "✗ 1  ⊘ 1  ■ 1  ◇ 1")
        assert "1 failed" not in shown
        await pilot.resize_terminal(160, 40)
        await until_shown(pilot, "1 failed, 1 blocked, 1 stopped, 1 queued")
