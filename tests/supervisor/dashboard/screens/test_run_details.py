"""The detail view of a run, and the processes and histories of GPUs."""

import json
from pathlib import Path

from pmssm.supervisor.dashboard.app import Dashboard
from pmssm.supervisor.dashboard.data.resource_history import ResourceHistory
from pmssm.supervisor.dashboard.rendering.format import history_rows
from pmssm.supervisor.dashboard.screens.run_details import RunContext, detail_lines, variables
from pmssm.supervisor.dashboard.widgets.gpu_table import gpu_lines
from pmssm.supervisor.gpus.models import Gpu, GpuProcess
from pmssm.supervisor.ipc.messages import Reply, Start, Stop
from pmssm.supervisor.plan.loader import load_plan
from pmssm.supervisor.session.snapshot import AttemptView
from support.fake_engine import NOW, Stage, screen_text, until, until_shown


def text_of(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def details(stage: Stage, name: str, **changes: object) -> str:
    snapshot = stage.picture(runs=stage.runs(**{name: changes}))
    watch = ResourceHistory()
    watch.look(snapshot)
    planned = load_plan(stage.folder / "plan.toml").runs[name]
    subject = RunContext(name, snapshot.runs[name], planned, snapshot, watch.runs)
    return text_of(detail_lines(subject, variables(subject), NOW, 100))


def test_a_waiting_run_tells_what_it_waits_for_and_how_long_that_takes(stage: Stage) -> None:
    told = details(stage, "mlp")
    assert "after transformer: ▶ running, 15% done, about 1h25m left" in told
    assert "after transformer_tabular: ▶ running, 10% done" in told


def test_every_attempt_is_listed_with_how_it_ended(stage: Stage) -> None:
    attempts = (
        AttemptView(number=1, started=NOW - 100, ended=NOW - 90, exit_code=1, gpu=2),
        AttemptView(number=2, started=NOW - 80, ended=NOW - 70, signal=9, fresh=True),
        AttemptView(number=3, started=NOW - 60),
    )
    lines = details(stage, "transformer", attempts=attempts, attempt=3).splitlines()
    at = lines.index("Attempts")
    assert "running" in lines[at + 1]
    assert "from scratch, for 0:00:10: SIGKILL" in lines[at + 2]
    assert "on GPU 2, for 0:00:10: exit code 1" in lines[at + 3]


def test_it_shows_what_a_run_takes_beside_what_was_expected(stage: Stage) -> None:
    assert "806M of 800M expected" in details(stage, "transformer")


def test_it_shows_the_variables_that_the_supervisor_set_and_no_others(stage: Stage) -> None:
    folder = stage.folder / "transformer" / "attempt_1"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps({"env": {"CUDA_VISIBLE_DEVICES": "GPU-1", "TOKEN": "secret"}}))
    told = details(stage, "transformer")
    assert "CUDA_VISIBLE_DEVICES=GPU-1" in told
    assert "secret" not in told


async def test_enter_opens_the_details_and_escape_closes_them(stage: Stage) -> None:
    app = stage.app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter")
        await until_shown(pilot, "train transformer --data 'a b'", "What it takes", f"Log  {Path(stage.folder)}")
        await pilot.press("Y")
        assert app.clipboard == "train transformer --data 'a b'"
        await pilot.press("escape")
        await until(pilot, lambda: "What it takes" not in screen_text(app))


async def test_the_details_act_on_their_run_alone_and_tell_what_came_of_it(stage: Stage) -> None:
    app = stage.app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("j", "j", "m", "k", "k", "enter")  # mlp is marked
        await until_shown(pilot, "─ run transformer ─", "Esc close  s start  x stop")
        await pilot.press("x", "y")
        await until_shown(pilot, "─ run transformer ─", "done as asked")
        assert stage.commands == [Stop(run="transformer")]
        stage.commands.clear()
        stage.reply = Reply(ok=False, message="transformer: is running already")
        await pilot.press("s")
        await until_shown(pilot, "is running already")
        assert stage.commands == [Start(run="transformer")]
        await pilot.press("escape")
        await until_shown(pilot, "log of transformer", "is running already")


async def test_the_details_of_the_next_run_are_one_key_away(stage: Stage) -> None:
    async with stage.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter", "right")
        await until_shown(pilot, "─ run transformer_tabular ─")
        await pilot.press("h", "h")
        await until_shown(pilot, "─ run prepare ─")


async def test_the_details_scroll_are_copied_and_have_a_help_of_their_own(stage: Stage) -> None:
    app = stage.app()
    async with app.run_test(size=(80, 16)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter")
        assert "Log  " not in await until_shown(pilot, "What it takes")
        await pilot.press("G")
        await until_shown(pilot, "Log  ")
        await pilot.press("g")
        await until_shown(pilot, "─ run transformer ─", "transformer: ▶ running · for")
        await pilot.press("y")
        assert "train transformer --data 'a b'" in app.clipboard
        assert "Log  " in app.clipboard
        await pilot.press("question_mark")
        shown = await until_shown(pilot, "This run", "stop it: SIGTERM", "the run before")
        assert "mark the run" not in shown
        await pilot.press("escape", "escape")
        await until_shown(pilot, "? help")


async def test_a_read_only_screen_refuses_in_the_details_too(stage: Stage) -> None:
    app = Dashboard(stage, clock=lambda: stage.now, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter")
        await until_shown(pilot, "read-only  Esc close  Y copy command")
        await pilot.press("x")
        await until_shown(pilot, "─ run transformer ─", "this screen is read-only, so nothing was done")
        assert stage.commands == []


def test_gpu_processes_are_ours_by_run_or_others_by_user(stage: Stage) -> None:
    ours = GpuProcess(pid=7, memory_mib=806, user="me", run="transformer")
    theirs = GpuProcess(pid=8, memory_mib=12000, user="ana")
    gpu = Gpu(index=1, uuid="GPU-1", utilization_percent=50, memory_used_mib=12900, memory_total_mib=40960)
    snapshot = stage.picture(gpus=(gpu.model_copy(update={"processes": (ours, theirs, theirs)}),))
    watch = ResourceHistory()
    watch.look(snapshot)
    told = text_of(gpu_lines(snapshot, 100, NOW, watch.gpus))
    assert "transformer; ana ×2" in told
    assert "transformer: pid 7, 806M of 800M expected" in told
    assert "ana: pid 8, 11.7G" in told
    assert "use ▅" in told


def test_the_past_of_a_gpu_is_drawn_in_as_many_rows_as_there_is_room_for() -> None:
    assert history_rows([0, 50, 100], 10, 0, 100, 2) == ["  █", "▁██"]
    assert history_rows([0, 25, 100], 2, 0, 100, 1) == ["▃█"]
    assert history_rows([], 10, 0, 0, 3) == ["", "", ""]


async def test_zoomed_gpus_fill_the_screen_with_their_past(stage: Stage) -> None:
    app = stage.app()
    async with app.run_test(size=(80, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("tab", "z")
        await until_shown(pilot, "zoomed: gpus", "unknown user")
        await until(pilot, lambda: len(app.gpus._lines) > 20)


def test_every_gpu_says_whose_it_is_at_80_columns(stage: Stage) -> None:
    lines = gpu_lines(stage.picture(), 41, NOW, None)
    assert [text_of([line]).split()[-1] for line in lines] == ["idle", "transformer", "transformer_…", "proc…"]
    assert len({text_of([line]).index("/40.0G") for line in lines}) == 1
