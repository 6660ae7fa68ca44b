"""Snapshots from the files of a session."""

import asyncio

from pmssm.supervisor.dashboard.data.session_source import EngineSource
from pmssm.supervisor.session.snapshot import Snapshot
from support.cli_sandbox import CliSandbox

PROGRESS = r"progress = 'Epoch (?P<epoch>\d+)/(?P<epochs>\d+) loss (?P<val_loss>\S+)'"


def test_a_finished_session_is_read_once_and_again_after_more_has_happened(box: CliSandbox) -> None:
    plan = f'[runs.a]\ncommand = ["sh", "-c", "for i in 1 2 3; do echo Epoch $i/3 loss 0.$i; done"]\n{PROGRESS}\n'
    box.ok("--headless", "--plan", box.plan(plan))
    source = EngineSource(box.logs)

    def read_recorded() -> Snapshot | None:
        return asyncio.run(source.read_recorded())

    first = read_recorded()
    assert first is not None
    assert dict(first.runs["a"].progress) == {"epoch": 3, "epochs": 3, "val_loss": 0.3}
    assert read_recorded() is first
    box.ok("restart", "a")
    box.wait(lambda status: status["runs"]["a"]["attempt"] == 2 and status["runs"]["a"]["state"] == "succeeded")
    second = read_recorded()
    assert second is not None
    assert second.runs["a"].attempt == 2


def test_a_folder_without_a_session_has_no_snapshot(box: CliSandbox) -> None:
    assert asyncio.run(EngineSource(box.logs).read_recorded()) is None
