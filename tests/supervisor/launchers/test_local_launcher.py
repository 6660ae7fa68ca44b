"""The local launcher in an event loop: it reports changes, advances all attempts, and releases what it holds."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.attempt_files import read_identity, read_process_record
from pmssm.supervisor.launchers.base import NeverStarted, RunningAttempt
from pmssm.supervisor.launchers.registry import LAUNCHERS, create_launcher
from pmssm.supervisor.plan.schema import LOCAL
from pmssm.supervisor.session.events import Exit
from support.shim_attempts import Workplace, is_alive
from support.waiting import wait_until

DEADLINE_S = 20.0
LOOP = 'echo $$ > "$here/pid"; while :; do sleep 0.05; done'


@pytest.fixture
def second(place: Workplace) -> Iterator[Workplace]:
    """The folder of another attempt."""
    folder = place.path / "second"
    folder.mkdir()
    other = Workplace(folder)
    yield other
    other.end()


class Launched:
    """The default launcher, and how often it has reported a change."""

    def __init__(self) -> None:
        self.change = asyncio.Event()
        self.launcher = create_launcher(LOCAL, self.change.set)

    async def until(self, condition: Callable[[], object]) -> None:
        """Advance the attempts after each reported change, and at no other time, until the condition holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await self.change.wait()
                self.change.clear()
                self.launcher.advance()


def exit_code(attempt: RunningAttempt) -> int | None:
    assert isinstance(attempt.outcome, Exit)
    return attempt.outcome.exit_code


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


async def test_the_start_and_the_end_of_a_command_are_reported(place: Workplace) -> None:
    launched = Launched()
    attempt = launched.launcher.start(place.folder, place.spec('until [ -e "$here/go" ]; do sleep 0.02; done; exit 3'))
    assert attempt.started is None and attempt.outcome is None
    await launched.until(lambda: attempt.started)
    assert attempt.started is not None and is_alive(attempt.started.pid)
    (place.path / "go").touch()
    await launched.until(lambda: attempt.outcome)
    assert exit_code(attempt) == 3
    launched.launcher.close()


async def test_the_death_of_a_shim_and_the_end_of_what_it_left_are_reported(place: Workplace) -> None:
    launched = Launched()
    attempt = launched.launcher.start(place.folder, place.spec(LOOP))
    await launched.until(lambda: attempt.started)
    assert attempt.started is not None
    shim = int(Path(f"/proc/{attempt.started.pid}/stat").read_text().rpartition(")")[2].split()[1])
    messages: list[str] = []
    os.kill(shim, signal.SIGKILL)
    await launched.until(lambda: messages.extend(attempt.take_messages()) or messages)
    assert messages == ["its shim was killed; watching the remaining processes directly"]
    assert attempt.outcome is None
    attempt.request_stop("kill", 0)
    await launched.until(lambda: attempt.outcome)
    assert exit_code(attempt) is None
    assert attempt.take_messages() == [] and attempt.warnings() == ()
    launched.launcher.close()


async def test_an_adopted_attempt_is_watched_and_one_that_never_started_never_will(
    place: Workplace, second: Workplace
) -> None:
    shim = place.shim(place.spec(f"trap 'exit 143' TERM; {LOOP}"))
    pid = place.pid("pid")
    # The command may be quicker than the shim's note of its start.
    wait_until(lambda: read_identity(read_process_record(place.folder), "command"))
    launched = Launched()
    attempt = launched.launcher.adopt(place.folder)
    assert attempt.started is not None and attempt.started.pid == pid
    assert list(attempt.take_messages()) == []
    assert not launched.launcher.was_started(second.folder)
    assert launched.launcher.adopt(second.folder).outcome == NeverStarted()
    assert launched.launcher.was_started(second.folder)
    attempt.request_stop("stop", 60)
    await launched.until(lambda: attempt.outcome)
    assert exit_code(attempt) == 143
    assert shim.wait() == 0
    launched.launcher.close()


async def test_a_stop_of_an_attempt_that_has_ended_does_nothing(place: Workplace) -> None:
    launched = Launched()
    attempt = launched.launcher.start(place.folder, place.spec("exit 4"))
    await launched.until(lambda: attempt.outcome)
    attempt.request_stop("stop", 0)
    attempt.request_stop("kill", 0)
    assert exit_code(attempt) == 4 and attempt.warnings() == ()
    launched.launcher.close()


async def test_the_usage_of_all_commands_that_have_started_is_measured(place: Workplace, second: Workplace) -> None:
    launched = Launched()
    attempts = {
        "a": launched.launcher.start(place.folder, place.spec(LOOP)),
        "b": launched.launcher.start(second.folder, second.spec(LOOP)),
    }
    assert launched.launcher.measure_usage(attempts) == {}
    await launched.until(lambda: all(attempt.started for attempt in attempts.values()))
    place.pid("pid"), second.pid("pid")
    usage = launched.launcher.measure_usage(attempts)
    assert usage.keys() == {"a", "b"}
    for run, attempt in attempts.items():
        assert attempt.started is not None and attempt.started.pid in usage[run].pids and usage[run].memory_mib > 0
    for attempt in attempts.values():
        attempt.request_stop("kill", 0)
    await launched.until(lambda: all(attempt.outcome for attempt in attempts.values()))
    launched.launcher.close()


async def test_a_closed_launcher_holds_no_descriptor_and_its_attempts_go_on(place: Workplace) -> None:
    before = open_descriptors()
    launched = Launched()
    launched.launcher.prepare()
    attempt = launched.launcher.start(place.folder, place.spec(LOOP))
    launched.launcher.prepare()
    pid = place.pid("pid")
    launched.launcher.close()
    assert open_descriptors() == before
    assert is_alive(pid) and attempt.outcome is None


def test_every_registered_launcher_can_be_created() -> None:
    for name in LAUNCHERS:
        assert create_launcher(name, lambda: None).warnings() == ()


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_shim_ends_after_its_record_whether_or_not_the_engine_confirms_it(
    place: Workplace, confirmed: bool
) -> None:
    before = open_descriptors()
    launched = Launched()
    attempt = launched.launcher.start(place.folder, place.spec("exit 4"))
    await launched.until(lambda: attempt.outcome)
    assert exit_code(attempt) == 4
    if confirmed:
        attempt.confirm_end()
    async with asyncio.timeout(DEADLINE_S):
        while attempt.descriptor >= 0:
            await asyncio.sleep(0.01)
    launched.launcher.close()
    assert open_descriptors() == before
