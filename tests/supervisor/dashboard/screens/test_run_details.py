"""Details of a run."""

import json
from pathlib import Path

from pmssm.supervisor.dashboard.app import Dashboard
from pmssm.supervisor.dashboard.data.resource_history import ResourceHistory
from pmssm.supervisor.dashboard.screens.run_details import RunContext, attempt_variables, details_lines
from pmssm.supervisor.ipc.messages import Reply, Start, Stop
from pmssm.supervisor.plan.loader import load_plan
from pmssm.supervisor.session.snapshot import AttemptView
from support.fake_engine import NOW, FakeEngine, screen_text, until, until_shown


def text_of(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def details(engine: FakeEngine, name: str, **changes: object) -> str:
    snapshot = engine.make_snapshot(runs=engine.runs(**{name: changes}))
    watch = ResourceHistory()
    watch.add_snapshot(snapshot)
    planned = load_plan(engine.folder / "plan.toml").runs[name]
    context = RunContext(name, snapshot.runs[name], planned, snapshot, watch.runs)
    return text_of(details_lines(context, attempt_variables(context), NOW, 100))


def test_a_waiting_run_lists_its_dependencies_with_their_remaining_time(engine: FakeEngine) -> None:
    text = details(engine, "mlp")
    assert "after transformer: ▶ running, 15% done, about 1h25m left" in text
    assert "after transformer_tabular: ▶ running, 10% done" in text


def test_every_attempt_is_listed_with_how_it_ended(engine: FakeEngine) -> None:
    attempts = (
        AttemptView(number=1, started=NOW - 100, ended=NOW - 90, exit_code=1, gpu=2),
        AttemptView(number=2, started=NOW - 80, ended=NOW - 70, signal=9, fresh=True),
        AttemptView(number=3, started=NOW - 60),
    )
    lines = details(engine, "transformer", attempts=attempts, attempt=3).splitlines()
    at = lines.index("Attempts")
    assert "running" in lines[at + 1]
    assert "from scratch, for 0:00:10: SIGKILL" in lines[at + 2]
    assert "on GPU 2, for 0:00:10: exit code 1" in lines[at + 3]


def test_memory_is_shown_with_the_expected_memory(engine: FakeEngine) -> None:
    assert "806M of 800M expected" in details(engine, "transformer")


def test_only_variables_set_by_the_supervisor_are_shown(engine: FakeEngine) -> None:
    folder = engine.folder / "transformer" / "attempt_1"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps({"env": {"CUDA_VISIBLE_DEVICES": "GPU-1", "TOKEN": "secret"}}))
    text = details(engine, "transformer")
    assert "CUDA_VISIBLE_DEVICES=GPU-1" in text
    assert "secret" not in text


async def test_enter_opens_the_details_and_escape_closes_them(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter")
        await until_shown(pilot, "train transformer --data 'a b'", "Resources", f"Log  {Path(engine.folder)}")
        await pilot.press("Y")
        assert app.clipboard == "train transformer --data 'a b'"
        await pilot.press("escape")
        await until(pilot, lambda: "Resources" not in screen_text(app))


async def test_the_details_control_their_run_alone_and_show_the_reply(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("j", "j", "m", "k", "k", "enter")  # mlp is marked
        await until_shown(pilot, "─ run transformer ─", "Esc close  ? help  s start  x stop")
        await pilot.press("x", "y")
        await until_shown(pilot, "─ run transformer ─", "done as asked")
        assert engine.commands == [Stop(run="transformer")]
        engine.commands.clear()
        engine.reply = Reply(ok=False, message="transformer: is running already")
        await pilot.press("s")
        await until_shown(pilot, "is running already")
        assert engine.commands == [Start(run="transformer")]
        await pilot.press("escape")
        await until_shown(pilot, "log of transformer", "is running already")


async def test_the_details_of_the_next_run_are_one_key_away(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter", "right")
        await until_shown(pilot, "─ run transformer_tabular ─")
        await pilot.press("h", "h")
        await until_shown(pilot, "─ run prepare ─")


async def test_the_details_scroll_are_copied_and_have_a_help_of_their_own(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(size=(80, 16)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter")
        assert "Log  " not in await until_shown(pilot, "Resources")
        await pilot.press("G")
        await until_shown(pilot, "Log  ")
        await pilot.press("g")
        await until_shown(pilot, "─ run transformer ─", "transformer: ▶ running · for")
        await pilot.press("y")
        assert "train transformer --data 'a b'" in app.clipboard
        assert "Log  " in app.clipboard
        await pilot.press("question_mark")
        shown = await until_shown(pilot, "This run", "stop: SIGTERM", "the previous run")
        assert "mark the run" not in shown
        await pilot.press("escape", "escape")
        await until_shown(pilot, "? help")


async def test_a_read_only_screen_refuses_in_the_details_too(engine: FakeEngine) -> None:
    app = Dashboard(engine, clock=lambda: engine.now, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("enter")
        await until_shown(pilot, "read-only  Esc close  ? help  Y copy command")
        await pilot.press("x")
        await until_shown(pilot, "─ run transformer ─", "read-only view; use `attach` or `web --control`")
        assert engine.commands == []


def test_the_jobs_of_an_interrupted_run_are_listed_with_where_they_ran(engine: FakeEngine) -> None:
    error = "reached its time limit on n7"
    past = {"number": 1, "started": NOW - 4000, "ended": NOW - 400, "exit_code": 143, "job_id": "314", "node": "n7"}
    first = AttemptView.model_validate({**past, "error": error, "interrupted": True})
    second = AttemptView(number=2, started=NOW - 300, job_id="315")
    reason = "waits for a free GPU; 2nd job of this run"
    run = {"state": "pending", "launcher": "slurm", "attempt": 2, "job_id": "315", "attempts": (first, second)}
    lines = details(engine, "mlp", reason=reason, **run).splitlines()
    assert lines[0] == f"mlp: ◌ pending · {reason} · job 315 · attempt 2"
    at = lines.index("Attempts")
    assert lines[at + 1].endswith(", job 315, for 0:05:00: pending")
    assert lines[at + 2].endswith(f" on n7, job 314, for 1:00:00: interrupted: {error}")
