"""The spare shim: used once, replaced when it was killed, gone with its engine."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

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


def _spare(shims: ShimPool) -> IdleShim:
    assert shims._spare is not None
    return shims._spare


def _ending(attempt: LocalAttempt) -> int | None:
    return outcome_of(attempt).exit_code


def test_an_attempt_runs_under_the_spare_shim(shims: ShimPool, place: Workplace) -> None:
    shims.refill()
    spare = _spare(shims)
    attempt, ready = LocalAttempt.start(place.folder, place.spec("exit 5"), shims)
    os.close(ready)
    assert attempt._child == spare.pid
    assert _ending(attempt) == 5


def test_a_spare_that_was_killed_is_replaced(shims: ShimPool, place: Workplace) -> None:
    shims.refill()
    spare = _spare(shims)
    os.kill(spare.pid, signal.SIGKILL)
    wait_until(lambda: os.waitid(os.P_PID, spare.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), what="a dead shim")
    attempt, ready = LocalAttempt.start(place.folder, place.spec("exit 5"), shims)
    os.close(ready)
    assert attempt._child != spare.pid
    assert _ending(attempt) == 5


def test_a_spare_ends_when_its_engine_is_gone(shims: ShimPool) -> None:
    shims.refill()
    pid = _spare(shims).pid
    shims.close()  # the kernel closes the same descriptors when an engine is killed
    assert wait_until(lambda: os.waitpid(pid, os.WNOHANG) != (0, 0), what="the end of the spare")


def test_a_folder_with_a_newline_and_odd_bytes_in_its_name_reaches_the_shim(shims: ShimPool, place: Workplace) -> None:
    odd = place.folder.parent / os.fsdecode(b"a\nb\xff")
    attempt, ready = LocalAttempt.start(odd, place.spec("exit 0"), shims)
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
    attempt, ready = LocalAttempt.start(place.folder, place.spec("exit 0"), shims)
    os.close(ready)
    outcome = outcome_of(attempt)
    assert outcome.exit_code is None and str(outcome.unseen).startswith("never started")
