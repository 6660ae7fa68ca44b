"""Run pytest, and what failed once more alone: `python tests/run_tests.py [PYTEST OPTIONS]`.

Many tests wait for processes, and a busy machine misses deadlines. So a test that passes the second time is no defect,
but it is named at the end (`flaky: …`), and more than `MAX_FLAKY` of them are a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

MAX_FLAKY = 3
FAILED = 1  # exit code of pytest when tests have failed; higher ones mean that it could not run
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def run_pytest(*options: str) -> int:
    """Run pytest in the current folder and return its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *options], check=False).returncode


def main(options: list[str]) -> int:
    """Run all tests, then the failed ones again, and return the exit code."""
    # Many tests only wait for processes, so more workers than cores.
    workers = str(5 * len(os.sched_getaffinity(0)) // 2)
    code = run_pytest("-n", workers, "--dist", "worksteal", "--durations", "15", "--cache-clear", *options)
    if code != FAILED:
        return code
    failed = sorted(json.loads(LAST_FAILED.read_text()))
    code = run_pytest("--last-failed", "--last-failed-no-failures", "none", *options)
    if code != 0:
        return code
    for test in failed:
        print(f"flaky: {test}")
    if len(failed) > MAX_FLAKY:
        print(f"{len(failed)} tests passed only in their second try; at most {MAX_FLAKY} may")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
