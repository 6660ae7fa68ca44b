"""The script for a GPU machine keeps what it has and leaves nothing running, whatever its parts do.

On such a machine there is one try: these are the parts that must not fail there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import requires
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.waiting import wait_until

ROOT = Path(__file__).parents[1]
KIT = ROOT / "benchmarks" / "gpu"
ON_THE_MACHINE = {"torch", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn", "threadpoolctl"}
"""What wheels.sh expects there; the last one and scipy come with scikit-learn."""


@pytest.fixture(scope="module")
def session() -> Iterator[ModuleType]:
    sys.path.insert(0, str(KIT))
    try:
        yield importlib.import_module("session")
    finally:
        sys.path.remove(str(KIT))
        for name in ("session", "processes"):
            sys.modules.pop(name, None)


Run = Callable[..., Any]


@pytest.fixture
def run(session: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs Python code as a part and returns its outcome; stderr goes to errors.log."""
    monkeypatch.setattr(session, "END_GRACE_S", 0.5)
    monkeypatch.setattr(session, "LEAST_SECONDS", 0.0)

    def run_code(code: str, seconds: float = 30) -> Any:  # noqa: ANN401
        part = session.Part("part", "A part", seconds, ["-c", code, "FILE"])
        return session.run_part(part, seconds, tmp_path / "errors.log", tmp_path)

    return run_code


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and ") Z" not in Path(f"/proc/{pid}/stat").read_text()


LEAVES_A_PROCESS = """
import pathlib, subprocess, sys
child = subprocess.Popen(["sleep", "300"], start_new_session=True)
pathlib.Path({file!r}).write_text(str(child.pid))
print("half a table", flush=True)
"""


def test_a_part_that_hangs_is_ended_with_all_that_it_started_and_its_output_is_kept(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    outcome = run(code + LEAVES_A_PROCESS.format(file=str(file)) + "time.sleep(300)", seconds=2)
    wait_until(lambda: not is_alive(int(file.read_text())))
    assert outcome.failed
    assert outcome.note == "ended after its 2 s"
    assert outcome.output == "half a table\n"


def test_what_a_part_leaves_running_is_ended_also_after_its_success(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    outcome = run(LEAVES_A_PROCESS.format(file=str(file)))
    wait_until(lambda: not is_alive(int(file.read_text())))
    assert not outcome.failed


def test_a_part_that_fails_shows_its_last_lines_and_what_it_wrote_before(run: Run, tmp_path: Path) -> None:
    code = """
import pathlib, sys
pathlib.Path(sys.argv[1]).write_text('{"models": 1}')
sys.stdout.buffer.write(b"bad \\xff byte" + 300_000 * b"x")
raise ValueError("the GPU fell off")
"""
    outcome = run(code)
    assert (outcome.exit_code, outcome.note) == (1, "exit code 1")
    assert outcome.last_errors[-1] == "ValueError: the GPU fell off"
    assert outcome.figures == {"models": 1}
    assert len(outcome.output) == 200_000
    assert "ValueError: the GPU fell off" in (tmp_path / "errors.log").read_text()
    assert "ValueError: the GPU fell off" in outcome.markdown()


def test_three_files_have_the_results_of_all_parts_and_spare_time_goes_on(
    session: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "machine", lambda _: {"card": "NVIDIA_H100"})
    monkeypatch.setattr(session, "CPU_PATIENCE", 1)
    chosen = [
        session.Part("bad", "Bad", 10, ["-c", "raise SystemExit(3)"]),
        session.Part("timed", "Timed", 10, ["-c", "import sys; print(sys.argv[1])", "SECONDS"]),
        session.Part("late", "Late", 10, ["-c", ""]),
    ]
    monkeypatch.setattr(session, "END_MARGIN_S", 0)
    options = argparse.Namespace(device="cpu", folder=tmp_path / "results")
    outcomes = []
    for outcome in session.run_parts(chosen, options, time.monotonic() + 100):
        outcomes.append(outcome)
        content = json.loads((tmp_path / "results" / "NVIDIA_H100.json").read_text())
        assert len(content["parts"]) == len(outcomes)
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        "NVIDIA_H100.md", "NVIDIA_H100.json", "errors_NVIDIA_H100.log",
    }  # fmt: skip
    assert [outcome.failed for outcome in outcomes] == [True, False, False]
    assert 10 < int(outcomes[1].output) <= 20  # its own ten, and what the first one left
    assert session.summary(outcomes).splitlines()[-3].endswith("Bad: exit code 3")


def test_a_machine_whose_driver_is_missing_is_described_all_the_same(session: ModuleType) -> None:
    assert "FileNotFoundError" in session.output_of(["/no/nvidia-smi"], seconds=5)
    assert session.output_of([sys.executable, "-c", "raise OSError('no driver')"], seconds=30) == "OSError: no driver"
    assert "TimeoutExpired" in session.output_of(["sleep", "30"], seconds=0.1)


def test_the_session_ends_its_part_when_it_is_ended_itself(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    part = LEAVES_A_PROCESS.format(file=str(file)) + "import time; time.sleep(300)"
    code = f"""
import pathlib, signal, sys
sys.path.insert(0, {str(KIT)!r})
import session
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
part = session.Part("part", "A part", 60, ["-c", {part!r}])
session.run_part(part, 60, pathlib.Path({str(tmp_path)!r}) / "errors.log", pathlib.Path({str(tmp_path)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: file.exists() and file.read_text())
    os.kill(process.pid, 15)
    assert process.wait(timeout=30) == 143
    wait_until(lambda: not is_alive(int(file.read_text())))


# -- the wheels ------------------------------------------------------------------------------------------------------


def carried() -> set[str]:
    """The packages that wheels.sh downloads."""
    text = (KIT / "wheels.sh").read_text()
    listed = text[text.index("supervisor=(") : text.index("case ")]
    words = "\n".join(line.partition("#")[0] for line in listed.splitlines())
    return {str(canonicalize_name(word)) for group in words.split("(")[1:] for word in group.split(")")[0].split()}


def needed() -> set[str]:
    """All packages that ours and a terminal of the tests need with Python 3.12, by the installed metadata."""
    python = {"python_version": "3.12", "python_full_version": "3.12.3"}
    found: set[str] = set()
    todo = [Requirement("pmssm-supervise"), Requirement("pexpect"), Requirement("pyte")]
    while todo:
        package = todo.pop()
        for extra in ("", *package.extras):
            key = f"{canonicalize_name(package.name)}[{extra}]"
            if key in found or package.name in ON_THE_MACHINE:
                continue
            found.add(key)
            needs = [Requirement(text) for text in requires(package.name) or ()]
            todo += [one for one in needs if one.marker is None or one.marker.evaluate({**python, "extra": extra})]
    return {key.partition("[")[0] for key in found} - {"pmssm-supervise"}


def test_the_wheels_are_all_that_the_machine_lacks_and_no_more() -> None:
    assert carried() == needed()
