"""Run control without an app: targets, confirmations, replies."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pmssm.supervisor.dashboard.data.current_session import CurrentSession
from pmssm.supervisor.dashboard.run_control import NO_RUNS, READ_ONLY, RunControl, summarize_replies
from pmssm.supervisor.dashboard.screens.confirm import Confirmation
from pmssm.supervisor.ipc.client import EngineUnavailable
from pmssm.supervisor.ipc.messages import Down, Reply, Restart, Start, Stop
from support.fake_engine import FakeEngine


class RecordingApp:
    """An app that records what `RunControl` asks of it."""

    def __init__(self, *target_names: str) -> None:
        self.target_names = target_names
        self.messages: list[str] = []
        self.confirmations: list[Confirmation] = []
        self.refreshes = 0
        self.answer: Callable[[bool | None], None] = lambda _: None
        self._work: list[Coroutine[Any, Any, None]] = []

    def show_message(self, message: str, *, bad: bool = False) -> None:
        self.messages.append(f"error: {message}" if bad else message)

    def open_confirmation(self, confirmation: Confirmation, on_answer: Callable[[bool | None], None]) -> None:
        self.confirmations.append(confirmation)
        self.answer = on_answer

    def withdraw_confirmation(self) -> None:
        self.answer(None)

    def refresh_now(self) -> None:
        self.refreshes += 1

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str) -> object:
        assert group == "commands"
        self._work.append(work)
        return work

    async def finish(self) -> None:
        """Wait until all commands were answered."""
        while self._work:
            await self._work.pop()


async def make(engine: FakeEngine, *targets: str, read_only: bool = False) -> tuple[RunControl, RecordingApp]:
    session, app = CurrentSession(), RecordingApp(*targets)
    assert engine.snapshot is not None
    await session.update(engine.snapshot)
    return RunControl(app, session, engine, read_only=read_only), app


async def test_start_sends_one_command_per_target_and_refreshes(engine: FakeEngine) -> None:
    control, app = await make(engine, "mlp", "prepare")
    control.start()
    await app.finish()
    assert engine.commands == [Start(run="mlp"), Start(run="prepare")]
    assert app.messages == ["2 done; done as asked"]
    assert app.refreshes == 1
    assert engine.reopened == [True, True]


@pytest.mark.parametrize("yes", [True, False])
async def test_stop_needs_a_yes(engine: FakeEngine, yes: bool) -> None:
    control, app = await make(engine, "transformer", "mlp", "prepare")
    control.stop()
    assert [confirmation.title for confirmation in app.confirmations] == ["Stop transformer?"]
    assert app.confirmations[0].consequence.endswith("mlp will not start.")
    app.answer(yes)
    await app.finish()
    assert engine.commands == ([Stop(run="mlp"), Stop(run="transformer")] if yes else [])
    assert app.messages == (["2 done; done as asked"] if yes else ["Stop transformer? Cancelled; nothing was done."])


async def test_restart_of_an_ended_run_needs_no_confirmation(engine: FakeEngine) -> None:
    control, app = await make(engine, "prepare")
    control.restart()
    await app.finish()
    assert app.confirmations == []
    assert engine.commands == [Restart(run="prepare")]


async def test_end_stops_the_session_after_a_yes(engine: FakeEngine) -> None:
    control, app = await make(engine)
    control.end_session()
    app.answer(True)
    await app.finish()
    assert engine.commands == [Down()]


@pytest.mark.parametrize("command", ["start", "stop", "restart", "restart_fresh", "kill", "end_session"])
async def test_a_read_only_view_sends_nothing_and_opens_no_confirmation(engine: FakeEngine, command: str) -> None:
    control, app = await make(engine, "transformer", read_only=True)
    getattr(control, command)()
    await app.finish()
    assert app.messages == [f"error: {READ_ONLY}"]
    assert (engine.commands, app.confirmations) == ([], [])


@pytest.mark.parametrize("command", ["start", "stop", "restart", "restart_fresh", "kill", "end_session"])
async def test_without_a_session_each_command_shows_why_nothing_happens(engine: FakeEngine, command: str) -> None:
    app = RecordingApp()
    getattr(RunControl(app, CurrentSession(), engine), command)()
    assert app.messages in ([f"error: {NO_RUNS}"], ["error: no session yet; still contacting the engine"])


async def test_a_confirmation_is_withdrawn_once_the_run_has_another_attempt(engine: FakeEngine) -> None:
    session, app = CurrentSession(), RecordingApp("transformer")
    control = RunControl(app, session, engine)
    await session.update(engine.make_snapshot())
    control.kill()
    control.withdraw_outdated_confirmation()
    assert app.messages == []
    await session.update(engine.make_snapshot(runs=engine.runs(transformer={"attempt": 2})))
    control.withdraw_outdated_confirmation()
    control.withdraw_outdated_confirmation()
    assert app.messages == ["Kill transformer? The run has ended or started meanwhile; nothing was done."]


async def test_an_unreachable_engine_is_reported_with_the_command_that_failed(engine: FakeEngine) -> None:
    control, app = await make(engine, "mlp")
    engine.disconnect(EngineUnavailable("disk full"))
    control.start()
    await asyncio.wait_for(app.finish(), 10)
    assert app.messages == ["error: start failed: disk full"]


async def test_rejections_are_shown_as_errors(engine: FakeEngine) -> None:
    engine.reply = Reply(ok=False, message="is running already")
    control, app = await make(engine, "transformer")
    control.start()
    await app.finish()
    assert app.messages == ["error: is running already"]


def test_replies_are_summarized_with_rejections_first() -> None:
    assert summarize_replies(["a started"], []) == "a started"
    assert summarize_replies(["a started", "b started"], ["c is running"]) == "1 rejected, 2 done; c is running"
