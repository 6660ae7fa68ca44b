"""Table of GPUs: users, processes, history."""

from pmssm.supervisor.dashboard.data.resource_history import ResourceHistory
from pmssm.supervisor.dashboard.widgets.gpu_table import gpu_lines
from pmssm.supervisor.gpus.models import Gpu, GpuProcess
from support.fake_engine import NOW, FakeEngine, until, until_shown


def text_of(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_gpu_processes_are_ours_by_run_or_others_by_user(engine: FakeEngine) -> None:
    ours = GpuProcess(pid=7, memory_mib=806, user="me", run="transformer")
    theirs = GpuProcess(pid=8, memory_mib=12000, user="ana")
    gpu = Gpu(index=1, uuid="GPU-1", utilization_percent=50, memory_used_mib=12900, memory_total_mib=40960)
    snapshot = engine.make_snapshot(gpus=(gpu.model_copy(update={"processes": (ours, theirs, theirs)}),))
    watch = ResourceHistory()
    watch.add_snapshot(snapshot)
    text = text_of(gpu_lines(snapshot, 100, NOW, watch.gpus))
    assert "transformer; ana ×2" in text
    assert "transformer: pid 7, 806M of 800M expected" in text
    assert "ana: pid 8, 11.7G" in text
    assert "use ▅" in text


async def test_zoomed_gpus_fill_the_screen_with_their_history(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(size=(80, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("tab", "z")
        await until_shown(pilot, "zoomed: gpus", "unknown user")
        await until(pilot, lambda: len(app.panes.gpus._lines) > 20)


def test_every_gpu_shows_its_user_at_80_columns(engine: FakeEngine) -> None:
    lines = gpu_lines(engine.make_snapshot(), 41, NOW, None)
    assert [text_of([line]).split()[-1] for line in lines] == ["idle", "transformer", "transformer_…", "proc…"]
    assert len({text_of([line]).index("/40.0G") for line in lines}) == 1


async def test_more_gpus_than_fit_into_the_zoomed_pane_do_not_end_the_dashboard(engine: FakeEngine) -> None:
    gpus = tuple(Gpu(index=index, uuid=f"GPU-{index}", memory_total_mib=81559) for index in range(20))
    engine.snapshot = engine.make_snapshot(gpus=gpus)
    app = engine.app()
    async with app.run_test(size=(80, 12)) as pilot:
        await until_shown(pilot, "transformer")
        await pilot.press("tab", "z")
        await until_shown(pilot, "zoomed: gpus")
        engine.publish(engine.make_snapshot(gpus=gpus, taken_at=NOW + 1))
        await until(pilot, lambda: app.screen.has_class("zoom-gpus"))
        app.panes.gpus.draw()
