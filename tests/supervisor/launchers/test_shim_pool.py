"""Spare shims: cloned from a server, replaced when that or they are killed, gone with their engine."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pmssm.supervisor.launchers.local_attempt import LocalAttempt
from pmssm.supervisor.launchers.shim_pool import IdleShim, ShimPool
from support.shim_attempts import Workplace, outcome_of
from support.waiting import wait_until


@pytest.fixture
def shims() -> Iterator[ShimPool]:
    pool = ShimPool()
    yield pool
    pool.close()


def _children() -> set[int]:
    """Our children, zombies included."""
    return {child.pid for child in psutil.Process().children()}


def _server(shims: ShimPool) -> int:
    assert shims._server is not None
    return shims._server.pid


def _spare(shims: ShimPool, others: set[int]) -> int:
    """Return the pid of the spare, once the server has cloned it; `others` are children that were there before."""

    def clones() -> set[int]:
        return _children() - others - {_server(shims)}

    (pid,) = wait_until(clones, what="a spare")
    return pid


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), what="a dead process")


def _attempt(shims: ShimPool, place: Workplace) -> LocalAttempt:
    attempt, ready = LocalAttempt.start(place.folder, place.spec("exit 5"), shims)
    os.close(ready)
    return attempt


def _ending(attempt: LocalAttempt) -> int | None:
    return outcome_of(attempt).exit_code


def test_an_attempt_runs_under_the_spare_shim_which_leads_a_session_and_is_ours_to_reap(
    shims: ShimPool, place: Workplace
) -> None:
    others = _children()
    shims.refill()
    spare = _spare(shims, others)
    wait_until(lambda: os.getsid(spare) == spare, what="a session of its own")
    attempt = _attempt(shims, place)
    assert attempt._child == spare
    assert _ending(attempt) == 5
    assert spare not in _children()


def test_a_spare_has_no_descriptor_but_its_own_four(shims: ShimPool) -> None:
    others = _children()
    shims.refill()
    shims.refill()  # asks for no second one
    spare = _spare(shims, others)
    opened = Path(f"/proc/{spare}/fd")
    wait_until(lambda: {entry.name for entry in opened.iterdir()} == {"0", "1", "2", "3"}, what="four descriptors")


def test_a_spare_that_was_killed_is_replaced(shims: ShimPool, place: Workplace) -> None:
    others = _children()
    shims.refill()
    spare = _spare(shims, others)
    _kill(spare)
    attempt = _attempt(shims, place)
    assert attempt._child != spare
    assert _ending(attempt) == 5


@pytest.mark.parametrize("when", ["before the request", "before the clone", "after the clone"])
def test_a_server_that_was_killed_costs_no_attempt_and_is_replaced(
    shims: ShimPool, place: Workplace, when: str
) -> None:
    others = _children()
    shims.refill()
    first = _server(shims)
    if when == "before the request":
        shims._server.take().terminate()  # type: ignore[union-attr]
    elif when == "after the clone":
        _spare(shims, others)
    _kill(first)
    if when == "before the request":
        shims.refill()
    assert _ending(_attempt(shims, place)) == 5
    shims.refill()
    shims.refill()
    assert _server(shims) != first
    wait_until(lambda: len(_children() - others) >= 2, what="a server and its spare")


def test_closing_leaves_no_process_behind(shims: ShimPool) -> None:
    others = _children()
    shims.refill()
    _spare(shims, others)
    shims.close()
    assert _children() == others


def test_server_and_spare_end_when_their_engine_is_gone(shims: ShimPool) -> None:
    others = _children()
    shims.refill()
    pids = {_spare(shims, others), _server(shims)}
    server = shims._server
    assert server is not None
    server._connection.close()  # the kernel closes the same descriptors when an engine is killed
    for requested in server._requested:
        requested.close()
    shims._server = None
    for pid in pids:
        wait_until(lambda pid=pid: os.waitpid(pid, os.WNOHANG) != (0, 0), what="the end")  # type: ignore[misc]


def test_a_folder_with_a_newline_and_odd_bytes_in_its_name_reaches_the_shim(shims: ShimPool, place: Workplace) -> None:
    odd = place.folder.parent / os.fsdecode(b"a\nb\xff")
    for warm in (False, True):
        if warm:
            shims.refill()
        attempt, ready = LocalAttempt.start(odd / str(warm), place.spec("exit 0"), shims)
        os.close(ready)
        assert _ending(attempt) == 0


def test_shims_that_have_ended_before_they_get_their_folder_make_a_lost_attempt(
    shims: ShimPool, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assign = IdleShim.assign

    def assign_late(shim: IdleShim, folder: Path) -> None:
        wait_until(lambda: os.waitid(os.P_PID, shim.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), what="a dead shim")
        assign(shim, folder)

    monkeypatch.setattr(IdleShim, "assign", assign_late)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    shims.refill()
    attempt, ready = LocalAttempt.start(place.folder, place.spec("exit 0"), shims)
    os.close(ready)
    outcome = outcome_of(attempt)
    assert outcome.exit_code is None and str(outcome.unseen).startswith("never started")


def test_a_clone_is_reaped_though_its_server_never_told_of_it(shims: ShimPool) -> None:
    others = _children()
    shims.refill()
    spare = _spare(shims, others)
    assert shims._server is not None
    shims._server._connection.close()  # with whatever the server has sent
    shims.close()
    assert _children() == others
    assert not psutil.pid_exists(spare)
