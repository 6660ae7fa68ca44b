"""The second try of failed tests, on small test suites that fail as told."""

import subprocess
import sys
from pathlib import Path

RUN_TESTS = Path(__file__).with_name("run_tests.py")
SUITE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("name", {flaky})
def test_needs_two_tries(name):
    marker = Path(name)
    first = not marker.exists()
    marker.touch()
    assert not first

def test_is_stable():
    assert {stable}
"""


def run(folder: Path, *, flaky: int, stable: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a suite with so many tests that pass at their second try only."""
    names = [f"marker{number}" for number in range(flaky)]
    (folder / "test_suite.py").write_text(SUITE.format(flaky=names, stable=stable))
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, RUN_TESTS, "-q", "-n", "0"]  # workers would cost most of the time
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_three_flaky_tests_pass_and_are_named(tmp_path: Path) -> None:
    done = run(tmp_path, flaky=3)
    assert done.returncode == 0, done.stdout
    named = [line for line in done.stdout.splitlines() if line.startswith("flaky: ")]
    assert named == [f"flaky: test_suite.py::test_needs_two_tries[marker{number}]" for number in range(3)]


def test_four_flaky_tests_are_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, flaky=4)
    assert done.returncode == 1
    assert "4 tests passed only in their second try; at most 3 may" in done.stdout


def test_a_test_that_fails_twice_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, flaky=1, stable=False)
    assert done.returncode == 1
    assert "flaky: " not in done.stdout


def test_a_suite_that_cannot_be_collected_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import no_such_module\n")
    done = run(tmp_path, flaky=0)
    assert done.returncode not in (0, 1)
    assert "flaky: " not in done.stdout
