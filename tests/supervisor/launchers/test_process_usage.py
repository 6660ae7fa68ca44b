"""CPU and memory of process trees, measured on real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pmssm.supervisor.launchers import process_tree
from pmssm.supervisor.launchers.process_tree import list_tree
from pmssm.supervisor.launchers.process_usage import UsageMeter
from support.waiting import wait_until

# A child of a child, a child made by a second thread, and ten megabytes; then it waits to be told to end.
FAMILY = """
import subprocess, sys, threading
held = bytearray(10 << 20)
in_thread = lambda: subprocess.Popen(["sleep", "60"])
made = threading.Thread(target=in_thread)
made.start(); made.join()
subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[int]:
    """The pid of a process with three descendants."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, start_new_session=True) as process:
        wait_until(lambda: len(_members(process.pid)) == 4, what="the family to be complete")
        yield process.pid
        os.killpg(process.pid, 9)


def _members(root: int) -> frozenset[int]:
    return UsageMeter().measure({"run": list_tree(root)})["run"].pids


def test_the_whole_tree_counts(family: int) -> None:
    measured = UsageMeter().measure({"run": list_tree(family)})["run"]
    assert family in measured.pids and len(measured.pids) == 4
    assert measured.memory_mib > 10
    assert measured.cpu_percent is None


def test_without_the_kernels_list_of_children_all_processes_are_examined(
    family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = _members(family)
    monkeypatch.setattr(process_tree, "KERNEL_LISTS_CHILDREN", False)
    assert _members(family) == listed


def test_cpu_usage_is_averaged_since_the_previous_measurement() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        meter = UsageMeter()
        meter.measure({"run": list_tree(process.pid)})
        wait_until(lambda: _cpu_ticks(process.pid) > 20, what="the process to compute")
        cpu = meter.measure({"run": list_tree(process.pid)})["run"].cpu_percent
        process.kill()
    assert cpu is not None and cpu > 0


def _cpu_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def test_a_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    measured = UsageMeter().measure({"run": list_tree(process.pid)})["run"]
    assert measured.memory_mib == 0
