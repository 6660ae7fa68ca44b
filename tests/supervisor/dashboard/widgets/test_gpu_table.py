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


def test_the_gpus_of_jobs_are_shown_with_machine_run_and_age(engine: FakeEngine) -> None:
    gpu = Gpu(index=0, node="n7", run="mlp", read_at=NOW - 3, utilization_percent=91, memory_total_mib=40960)
    old = gpu.model_copy(update={"node": "n8", "run": "transformer", "read_at": NOW - 90})
    runs = engine.runs(mlp={"launcher": "slurm", "state": "running", "gpu_error": "NVML is not installed on n7"})
    snapshot = engine.make_snapshot(runs=runs, gpus=(gpu, old), gpu_taken_at=None)
    error, *lines = (text_of([line]) for line in gpu_lines(snapshot, 140, NOW, None))
    assert error == "mlp: NVML is not installed on n7"
    assert lines[0].startswith("n7 0 ") and lines[0].endswith("mlp") and "91" in lines[0]
    assert lines[1].startswith("n8 0 ") and lines[1].endswith("transformer, 1m30s ago")
    nothing = engine.make_snapshot(runs=runs, gpus=(), gpu_taken_at=None)
    assert "no reading of a job's GPUs" in text_of(gpu_lines(nothing, 100, NOW, None))
    mixed = engine.make_snapshot(runs=runs, gpus=(gpu,), gpu_error="no driver")  # a run of this machine takes a slot
    assert "no GPU here: no driver" in text_of(gpu_lines(mixed, 100, NOW, None))


def test_gpus_of_two_machines_have_a_history_each(engine: FakeEngine) -> None:
    watch = ResourceHistory()
    for at in (NOW, NOW, NOW + 5):
        gpus = tuple(Gpu(index=0, node=node, read_at=at, utilization_percent=50) for node in ("n7", "n8"))
        watch.add_snapshot(engine.make_snapshot(gpus=gpus, gpu_taken_at=None))
    assert [len(watch.gpus.values((node, 0, None), "use")) for node in ("n7", "n8")] == [2, 2]
