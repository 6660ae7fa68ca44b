"""CPU time of the commands that users wait for, in units of a bare interpreter.

    python benchmarks/startup.py [--repeats 15]

Each round runs every command once, so that all see the same machine; the table has the medians. A bare interpreter
is `python -c pass` of the same environment: on another machine the ratios are about the same, the milliseconds are not.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

SUPERVISE = str(Path(sys.executable).with_name("pmssm-supervise"))
BARE = "python -c pass"
PLAN = '[runs.a]\ncommand = ["true"]\n'
LIMITS = {"--help": 12, "--version": 12, "status": 20}  # bare interpreters


@dataclass
class Timing:
    """CPU and wall seconds of one command, round by round."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def measure(self, folder: Path) -> None:
        """Run the command once in `folder`.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        cpu, started = _children_cpu(), time.perf_counter()
        environment = {**os.environ, **self.env}
        subprocess.run(self.command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        self.wall.append(time.perf_counter() - started)
        self.cpu.append(_children_cpu() - cpu)


def _children_cpu() -> float:
    """Return the CPU seconds of all processes that were waited for; finer than `os.times`."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timings() -> dict[str, Timing]:
    """Return what is measured, by name."""
    verbs = ("--version", "--help", "restart --help", "status", "status --json", "sessions", "logs a")
    words = {"COMP_WORDS": "pmssm-supervise stop ", "COMP_CWORD": "2"}
    return {
        BARE: Timing([sys.executable, "-c", "pass"]),
        **{verb: Timing([SUPERVISE, *verb.split()]) for verb in verbs},
        "stop <Tab>": Timing([SUPERVISE], {"_PMSSM_SUPERVISE_COMPLETE": "bash_complete", **words}),
    }


def main() -> int:
    """Print the table.

    Returns:
        Exit code: 1 if a command costs more than its limit.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="rounds; the first one is not counted")
    repeats = parser.parse_args().repeats
    measured = timings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plan.toml").write_text(PLAN)
        subprocess.run([SUPERVISE, "--headless", "--plan", "plan.toml"], cwd=folder, capture_output=True, check=True)
        for timing in measured.values():  # compiles to .pyc what is not yet
            timing.measure(folder)
            timing.cpu.clear()
            timing.wall.clear()
        for _ in range(repeats):
            for timing in measured.values():
                timing.measure(folder)
    return report(measured)


def report(measured: dict[str, Timing]) -> int:
    """Print medians and limits; return 1 if a limit is exceeded."""
    bare = statistics.median(measured[BARE].cpu)
    exceeded = 0
    print(f"{'command':<16}{'CPU ms':>8}{'wall ms':>9}{'bare':>7}{'limit':>7}")
    for name, timing in measured.items():
        cpu, wall = statistics.median(timing.cpu), statistics.median(timing.wall)
        limit = LIMITS.get(name)
        exceeded |= limit is not None and cpu > limit * bare
        print(f"{name:<16}{cpu * 1e3:>8.0f}{wall * 1e3:>9.0f}{cpu / bare:>7.1f}{limit or '':>7}")
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
