"""Attempts as an engine sees them: started, stopped, adopted by another engine, orphaned."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pmssm.supervisor.files import read_object
from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE, read_identity
from pmssm.supervisor.launchers.base import NeverStarted
from pmssm.supervisor.launchers.local_attempt import LocalAttempt
from pmssm.supervisor.launchers.process_identity import ProcessIdentity, find_by_environment
from pmssm.supervisor.launchers.shim_pool import ShimPool
from pmssm.supervisor.session.events import Exit
from support.shim_attempts import (
    HEADER,
    Attempt,
    Workplace,
    bystander,
    has_ended,
    is_alive,
    is_stopped,
    outcome_of,
    poll,
)
from support.waiting import wait_until

LOOP = 'echo $$ > "$here/pid"; while :; do sleep 0.05; done'
GENTLE = f"trap 'echo saved; exit 143' TERM; {LOOP}"
STUBBORN = f"trap 'echo told >> $here/told' TERM; {LOOP}"


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def change_record(place: Workplace, who: str, **changes: object) -> None:
    path = place.folder / "process.json"
    record = json.loads(path.read_text())
    record[who].update(changes)
    path.write_text(json.dumps(record))


def found_alive(place: Workplace) -> LocalAttempt:
    found = LocalAttempt.adopt(place.folder)
    assert found.outcome is None
    return found


def found_ended(place: Workplace) -> Exit:
    outcome = LocalAttempt.adopt(place.folder).outcome
    assert isinstance(outcome, Exit)
    return outcome


def recorded_command(place: Workplace) -> ProcessIdentity | None:
    return read_identity(read_object(place.folder / "process.json"), "command")


# An attempt of one's own


def test_an_attempt_is_started_and_watched_to_its_end(place: Workplace) -> None:
    attempt = place.attempt(place.spec(f"{LOOP[:-4]} [ -e $here/go ] && exit 3; done"))
    pid = place.pid("pid")
    assert poll(attempt.local) is None
    started = attempt.local.started
    assert started is not None and started.pid == pid
    assert recorded_command(place) == ProcessIdentity.of(pid)
    assert not has_ended(attempt.local.descriptor)
    descriptor = attempt.local.descriptor
    (place.path / "go").touch()
    wait_until(lambda: has_ended(descriptor), what="news of the end")
    outcome = attempt.outcome()
    assert (outcome.exit_code, outcome.signal, outcome.error) == (3, None, None)


def test_the_end_of_an_attempt_leaves_no_descriptor_and_no_zombie(place: Workplace) -> None:
    before, shims = open_descriptors(), ShimPool()
    local, ready = LocalAttempt.start(place.folder, place.spec("exit 0"), shims)
    outcome_of(local)
    shims.close()
    shim_pid = json.loads((place.folder / "process.json").read_text())["shim"]["pid"]
    os.close(ready)
    assert open_descriptors() == before
    assert not Path(f"/proc/{shim_pid}").exists()


def test_the_shim_has_a_session_of_its_own_and_so_survives_the_terminal(place: Workplace) -> None:
    attempt = place.attempt(place.spec(GENTLE))
    place.pid("pid")
    assert os.getsid(attempt.shim_pid) == attempt.shim_pid != os.getsid(0)
    attempt.local.request_stop("kill", 0)
    attempt.outcome()


def test_stop_is_gentle(place: Workplace) -> None:
    attempt = place.attempt(place.spec(GENTLE))
    place.pid("pid")
    attempt.local.request_stop("stop", 60)
    assert attempt.outcome().exit_code == 143
    assert place.log_lines()[-1] == "saved"


def test_kill_does_not_wait(place: Workplace) -> None:
    attempt = place.attempt(place.spec(GENTLE, grace_s=3600))
    place.pid("pid")
    attempt.local.request_stop("kill", 60)
    assert attempt.outcome().signal == signal.SIGKILL


def test_a_stop_at_any_moment_of_the_start_is_obeyed(place: Workplace) -> None:
    for number in range(8):
        here = Workplace(place.path / str(number))
        here.path.mkdir()
        local, ready = LocalAttempt.start(here.folder, here.spec(["sleep", "600"]), ShimPool())
        local.request_stop("stop", 60)
        try:
            outcome = outcome_of(local)
            assert outcome.signal == signal.SIGTERM
            assert json.loads((here.folder / "exit.json").read_text())["stop"] == "stop"
        finally:
            os.close(ready)
            here.end()


def test_sending_to_an_attempt_that_has_ended_does_nothing(place: Workplace) -> None:
    attempt = place.attempt(place.spec("exit 4"))
    wait_until(lambda: has_ended(attempt.local.descriptor))
    attempt.local.request_stop("stop", 1)
    attempt.local.request_stop("kill", 1)
    assert attempt.outcome().exit_code == 4


def test_an_attempt_whose_shims_cannot_run_is_lost(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    before = open_descriptors()
    attempt = place.attempt(place.spec("exit 0"))
    outcome = attempt.outcome()
    assert (outcome.exit_code, outcome.signal, outcome.error) == (None, None, None)
    reason = "its shim ended before it could start the command"
    assert outcome.unseen == f"never started: {reason}"
    expected = [f"{reason}; starting another (try {number} of 4)" for number in (2, 3, 4)]
    assert attempt.local.take_messages() == expected
    assert len(open_descriptors()) == len(before) + 1  # the test's own pidfd


def test_a_command_starts_under_another_shim_where_one_was_killed_too_early(place: Workplace) -> None:
    for number in range(10):
        here = Workplace(place.path / str(number))
        here.path.mkdir()
        local, ready = LocalAttempt.start(here.folder, here.spec("echo started; exit 5"), ShimPool())
        assert local._child is not None
        os.kill(local._child, signal.SIGKILL)  # the interpreter has hardly started
        try:
            outcome = outcome_of(local)
            if outcome.exit_code is None:  # it had claimed the attempt: nobody knows whether the command ran
                continue
            assert outcome.exit_code == 5
            assert here.log_lines() == [HEADER.strip(), "started"]
            messages = " ".join(local.take_messages())
            assert "starting another (try 2 of 4)" in messages or not messages  # the exit may precede the kill
        finally:
            os.close(ready)
            here.end()


def test_a_stop_before_another_shim_is_started_is_obeyed(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    attempt = place.attempt(place.spec("exit 0"))
    wait_until(lambda: poll(attempt.local) is None and attempt.local.descriptor < 0)
    attempt.local.request_stop("stop", 60)
    outcome = attempt.outcome()
    assert (outcome.error, outcome.stop) == ("stopped before it started", "stop")


def test_a_start_that_is_impossible_is_an_error_and_costs_no_descriptor(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    place.folder.touch()
    with pytest.raises(OSError):
        LocalAttempt.start(place.folder, place.spec("exit 0"), ShimPool())
    place.folder.unlink()
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(OSError):
        LocalAttempt.start(place.folder, place.spec("exit 0"), ShimPool())
    assert open_descriptors() == before


def test_letting_go_of_an_attempt_leaves_it_alone(place: Workplace) -> None:
    attempt = place.attempt(place.spec(GENTLE))
    pid = place.pid("pid")
    attempt.local.close()
    again = found_alive(place)
    assert is_alive(pid)
    again.request_stop("stop", 60)
    assert outcome_of(again).exit_code == 143
    os.waitpid(attempt.shim_pid, 0)


# An attempt whose shim was killed


@pytest.fixture
def orphan(place: Workplace) -> Iterator[Attempt]:
    """A gentle command whose shim was killed, as the engine that started it sees it."""
    attempt = place.attempt(place.spec(GENTLE))
    place.pid("pid")
    attempt.kill_shim()
    yield attempt
    attempt.local.close()


def test_a_command_without_its_shim_is_still_watched(place: Workplace, orphan: Attempt) -> None:
    pid = place.pid("pid")
    shim_fd = orphan.local.descriptor
    assert has_ended(shim_fd)
    assert poll(orphan.local) is None
    assert not has_ended(orphan.local.descriptor)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: has_ended(orphan.local.descriptor), what="news of the command's end")
    outcome = orphan.outcome()
    assert (outcome.exit_code, outcome.signal, outcome.error) == (None, None, None)  # lost


def test_a_command_without_its_shim_can_be_stopped(place: Workplace, orphan: Attempt) -> None:
    assert poll(orphan.local) is None
    orphan.local.request_stop("stop", 60)
    assert orphan.outcome().exit_code is None
    assert place.log_lines()[-1] == "saved"


def test_a_command_without_its_shim_can_be_killed(place: Workplace, orphan: Attempt) -> None:
    assert poll(orphan.local) is None
    orphan.local.request_stop("kill", 3600)
    orphan.outcome()
    assert place.log_lines()[-1] != "saved"
    assert not is_alive(place.pid("pid"))


def test_a_stop_reaches_a_shim_that_has_died_unnoticed(place: Workplace, orphan: Attempt) -> None:
    orphan.local.request_stop("stop", 60)  # to a pidfd of the dead
    orphan.outcome()
    assert place.log_lines()[-1] == "saved"


def test_a_stop_that_the_shim_did_not_live_to_carry_out_is_carried_out(place: Workplace) -> None:
    attempt = place.attempt(place.spec(GENTLE))
    place.pid("pid")
    os.kill(attempt.shim_pid, signal.SIGSTOP)
    attempt.local.request_stop("stop", 60)
    attempt.kill_shim()
    attempt.outcome()
    assert place.log_lines()[-1] == "saved"


def test_an_orphan_that_ignores_sigterm_is_killed_after_the_grace(place: Workplace) -> None:
    attempt = place.attempt(place.spec(STUBBORN))
    place.pid("pid")
    attempt.kill_shim()
    assert poll(attempt.local) is None
    attempt.local.request_stop("stop", 0.2)
    attempt.outcome()
    assert place.note("told") == "told"
    assert not is_alive(place.pid("pid"))


def test_a_stopped_orphan_still_gets_its_sigterm(place: Workplace, orphan: Attempt) -> None:
    pid = place.pid("pid")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid))
    assert poll(orphan.local) is None
    orphan.local.request_stop("stop", 3600)
    orphan.outcome()
    assert place.log_lines()[-1] == "saved"


def test_a_second_stop_does_not_begin_the_grace_anew(place: Workplace) -> None:
    attempt = place.attempt(place.spec(STUBBORN))
    place.pid("pid")
    attempt.kill_shim()
    assert poll(attempt.local) is None
    attempt.local.request_stop("stop", 0.2)
    attempt.local.request_stop("stop", 3600)
    attempt.outcome()
    assert place.note("told") == "told"


ONCE = "trap '[ -s $here/told ] && exit 1; echo told > $here/told' TERM; until [ -e $here/go ]; do sleep 0.05; done"


def test_a_stop_that_the_shim_has_begun_goes_on_without_a_second_sigterm(place: Workplace) -> None:
    attempt = place.attempt(place.spec(f"echo $$ > $here/pid; {ONCE}; echo saved", grace_s=3600))
    place.pid("pid")
    attempt.local.request_stop("stop", 3600)
    place.note("told")
    wait_until((place.folder / "stop.json").exists)
    attempt.kill_shim()
    assert poll(attempt.local) is None
    again = LocalAttempt.adopt(place.folder)  # by another engine, which repeats the request
    again.request_stop("stop", 3600)
    assert poll(again) is None
    (place.path / "go").touch()
    attempt.outcome()
    outcome_of(again)
    assert place.log_lines()[-1] == "saved"


def test_the_grace_of_a_stop_is_not_begun_anew_when_the_shim_is_killed(place: Workplace) -> None:
    attempt = place.attempt(place.spec(STUBBORN, grace_s=0.5))
    place.pid("pid")
    attempt.local.request_stop("stop", 3600)  # the shim has its own grace from spec.json
    place.note("told")
    wait_until((place.folder / "stop.json").exists)
    attempt.kill_shim()
    attempt.outcome()
    assert place.note("told") == "told"


def test_daemons_of_a_dead_shim_are_found_by_their_environment(place: Workplace) -> None:
    script = f"setsid sh -c 'echo $$ > $here/daemon; exec sleep 600' & until [ -s $here/daemon ]; do :; done; {GENTLE}"
    attempt = place.attempt(place.spec(script))
    pid, daemon = place.pid("pid"), place.pid("daemon")
    attempt.kill_shim()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    assert poll(attempt.local) is None  # the daemon may still hold the GPU
    attempt.local.request_stop("stop", 60)
    attempt.outcome()
    assert not is_alive(daemon)


HIDDEN = "env -i setsid sh -c 'echo $$ > {here}/daemon; exec sleep 600'"  # neither variable nor session remains


@contextlib.contextmanager
def ended(pid: int) -> Iterator[None]:
    """End a process that the attempt's own means may have missed."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_hidden_child_of_a_command_without_shim_is_found_below_it(place: Workplace) -> None:
    attempt = place.attempt(place.spec(f"{HIDDEN.format(here=place.path)} & {LOOP}"))
    pid, daemon = place.pid("pid"), place.pid("daemon")
    with ended(daemon):
        attempt.kill_shim()
        assert poll(attempt.local) is None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))
        assert poll(attempt.local) is None, "its hidden child is alive"
        attempt.local.request_stop("stop", 60)
        attempt.outcome()
        assert not is_alive(daemon)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_hidden_daemon_that_was_seen_once_is_known_without_its_shim(place: Workplace, is_restarted: bool) -> None:
    attempt = place.attempt(place.spec(f"({HIDDEN.format(here=place.path)} &); {LOOP}"))
    pid, daemon = place.pid("pid"), place.pid("daemon")
    with ended(daemon), bystander() as other:
        wait_until(lambda: poll(attempt.local) is None and attempt.local.started)
        found = attempt.local.find_processes()
        assert {pid, daemon} <= found and not {other.pid, os.getpid(), attempt.shim_pid} & found
        attempt.kill_shim()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))
        local = LocalAttempt.adopt(place.folder) if is_restarted else attempt.local
        assert poll(local) is None
        wait_until(lambda: local.find_processes() == {daemon})  # the loop's last sleep ends by itself
        local.request_stop("stop", 60)
        outcome_of(local)
        assert not is_alive(daemon)


def test_a_recorded_pid_that_went_to_a_stranger_is_left_alone(place: Workplace) -> None:
    attempt = place.attempt(place.spec(LOOP))
    pid = place.pid("pid")
    with bystander() as other:
        identity = ProcessIdentity.of(other.pid)
        assert identity is not None
        earlier = identity.model_copy(update={"start_ticks": identity.start_ticks - 1}).model_dump()
        (place.folder / "processes.json").write_text(json.dumps({"processes": [earlier]}))
        attempt.kill_shim()
        local = LocalAttempt.adopt(place.folder)
        found = local.find_processes()
        assert pid in found and other.pid not in found
        local.request_stop("kill", 0)
        outcome_of(local)


def test_an_attempt_that_lost_its_shim_and_all_else_is_lost(place: Workplace) -> None:
    attempt = place.attempt(place.spec(LOOP))
    pid = place.pid("pid")
    os.kill(attempt.shim_pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    attempt.kill_shim()
    outcome = attempt.outcome()
    assert (outcome.exit_code, outcome.signal, outcome.error) == (None, None, None)


# An attempt found by another engine


def test_a_running_attempt_is_found_and_can_be_stopped(place: Workplace) -> None:
    shim = place.shim(place.spec(GENTLE))
    pid = place.pid("pid")
    shim.is_ready()
    found = found_alive(place)
    assert found.started is not None and found.started.pid == pid
    assert recorded_command(place) == ProcessIdentity.of(pid)
    assert poll(found) is None
    found.request_stop("stop", 60)
    assert outcome_of(found).exit_code == 143


def test_an_attempt_that_ended_meanwhile_has_its_exit_record(place: Workplace) -> None:
    shim = place.shim(place.spec("exit 6"))
    record = shim.exit()
    outcome = found_ended(place)
    assert (outcome.exit_code, outcome.ended) == (6, record["ended"])
    assert found_ended(place) == outcome


def test_an_attempt_that_never_began_never_will(place: Workplace) -> None:
    assert LocalAttempt.adopt(place.folder).outcome == NeverStarted()
    assert LocalAttempt.adopt(place.folder).outcome == NeverStarted()
    assert place.shim(place.spec("echo > $here/started")).wait() == 0
    assert not (place.path / "started").exists()


def test_an_attempt_after_a_reboot_is_lost_and_nobody_is_harmed(place: Workplace) -> None:
    shim = place.shim(place.spec("exit 0"))
    shim.exit()
    (place.folder / "exit.json").unlink()
    with bystander() as process:  # who now has both pids
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        for who in ("shim", "command"):
            change_record(place, who, **{**identity.model_dump(), "boot_id": "another-boot"})
        assert found_ended(place).exit_code is None


def test_a_process_that_got_the_same_pid_is_no_attempt(place: Workplace) -> None:
    shim = place.shim(place.spec("exit 0"))
    shim.exit()
    (place.folder / "exit.json").unlink()
    with bystander() as process:
        identity = ProcessIdentity.of(process.pid)
        assert identity is not None
        for who in ("shim", "command"):
            change_record(place, who, **{**identity.model_dump(), "start_ticks": identity.start_ticks - 1})
        assert found_ended(place).exit_code is None


def test_a_reused_pid_does_not_hide_the_exit_record(place: Workplace) -> None:
    place.shim(place.spec("exit 8")).exit()
    with bystander() as process:
        change_record(place, "shim", pid=process.pid)
        assert found_ended(place).exit_code == 8


def test_an_orphan_is_found_by_another_engine_and_can_be_stopped(place: Workplace) -> None:
    attempt = place.attempt(place.spec(GENTLE))
    pid = place.pid("pid")
    attempt.kill_shim()
    found = found_alive(place)
    assert poll(found) is None
    found.request_stop("stop", 60)
    assert outcome_of(found).exit_code is None
    assert not is_alive(pid)
    assert place.log_lines()[-1] == "saved"
    attempt.outcome()


@pytest.mark.parametrize("name", ["process.json", "exit.json"])
@pytest.mark.parametrize("text", ["", "not json", "[1]", "{}", '{"shim": 3, "ended": "soon"}'])
def test_damaged_records_make_a_lost_attempt_not_a_crash(place: Workplace, name: str, text: str) -> None:
    place.shim(place.spec("exit 0")).exit()
    if name == "process.json":
        (place.folder / "exit.json").unlink()
    (place.folder / name).write_text(text)
    outcome = found_ended(place)
    assert (outcome.exit_code, outcome.signal) == (None, None)


# Identities


def test_an_identity_opens_exactly_its_process(place: Workplace) -> None:
    shim = place.shim(place.spec(GENTLE))
    identity = ProcessIdentity.of(place.pid("pid"))
    assert identity is not None
    descriptor = identity.open()
    assert descriptor is not None
    os.close(descriptor)
    assert identity.model_copy(update={"start_ticks": identity.start_ticks + 1}).open() is None
    assert identity.model_copy(update={"boot_id": "another"}).open() is None
    shim.send(signal.SIGTERM)
    shim.exit()
    assert identity.open() is None
    assert ProcessIdentity.of(identity.pid) != identity


def test_a_zombie_is_not_alive() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    descriptor = os.pidfd_open(pid)
    wait_until(lambda: has_ended(descriptor))
    os.close(descriptor)
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    assert identity.open() is None
    os.waitpid(pid, 0)


def test_processes_are_found_by_a_whole_variable(place: Workplace) -> None:
    shim = place.shim(place.spec(GENTLE))
    pid = place.pid("pid")
    assert pid in {identity.pid for identity in find_by_environment(ATTEMPT_VARIABLE, str(place.folder))}
    assert list(find_by_environment(ATTEMPT_VARIABLE, str(place.folder)[:-1])) == []
    assert list(find_by_environment(ATTEMPT_VARIABLE[:-1], str(place.folder))) == []
    shim.send(signal.SIGTERM)
    shim.exit()
    assert list(find_by_environment(ATTEMPT_VARIABLE, str(place.folder))) == []


def test_the_log_of_an_attempt_begins_with_its_header(place: Workplace) -> None:
    place.attempt(place.spec("echo hello")).outcome()
    assert place.log.read_text() == HEADER + "hello\n"
