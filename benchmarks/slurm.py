"""Cost of the Slurm launcher: `python benchmarks/slurm.py [--runs 200] [--max-jobs 8]`, as root with Slurm installed.

It starts a loopback cluster, where everything shares this machine, and prints a table:

- from the moment at which a run may start to the job's number (`sbatch` has returned);
- from the end of a job's command to the submission of its successor, in a chain of runs, and to the start of the next
  command; the latter also with `--native-dependencies`, and for a chain that a user submits by hand with
  `sbatch --dependency=afterok`;
- calls of Slurm's programs in the busiest minute, with many runs and `--max-jobs`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.slurm_cluster import SlurmCluster

COMMAND = Path(sys.executable).with_name("pmssm-supervise")
CHAIN = 6
SETTINGS = 'launcher = "slurm"\n[slurm]\ngres = "none"\ntime = "10"\n'


class Bench:
    """A cluster, and programs of Slurm that note each call of theirs."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls"
        self.environment = {**os.environ, **cluster.environment, "XDG_CACHE_HOME": str(folder / "cache")}
        wrappers = folder / "bin"
        wrappers.mkdir()
        for program in ("sbatch", "squeue", "scancel", "scontrol", "sacct"):
            real = subprocess.run(["which", program], capture_output=True, text=True, check=True).stdout.strip()
            script = f'#!/bin/sh\ndate +%s.%N >> {self.calls_file}\nexec {real} "$@"\n'
            (wrappers / program).write_text(script)
            (wrappers / program).chmod(0o755)
        self.environment["PATH"] = f"{wrappers}:{self.environment['PATH']}"

    def session(self, plan: str, *options: str) -> list[dict[str, Any]]:
        """Run a plan to its end and return its journal."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        (place / "plan.toml").write_text(plan)
        self.calls_file.write_text("")
        command = [str(COMMAND), "--headless", "--no-probe", "--plan", "plan.toml", *options]
        subprocess.run(command, cwd=place, env=self.environment, stdout=subprocess.DEVNULL, check=True)
        (journal,) = place.glob("logs/session_*/journal.jsonl")
        return [json.loads(line) for line in journal.read_text().splitlines()]

    def calls(self, since: float) -> list[float]:
        """Return when Slurm's programs were called, from `since` on, unix time, s."""
        return [at for at in map(float, self.calls_file.read_text().split()) if at >= since]


def times(journal: list[dict[str, Any]], kind: str, key: str = "at") -> dict[str, float]:
    """Return when the event of one kind happened, by run, unix time, s."""
    return {event["run"]: event[key] for event in journal if event["kind"] == kind}


def measure_chain(bench: Bench, *options: str) -> tuple[list[float], list[float], list[float]]:
    """Return submission times, ends to submissions, and ends to starts, of a chain of runs, s."""
    runs = [f"[runs.r{number}]\ncommand = ['sleep', '1']\n" for number in range(CHAIN)]
    after = [f"{run}after = ['r{number - 1}']\n" if number else run for number, run in enumerate(runs)]
    journal = bench.session(f"[session]\n{SETTINGS}{''.join(after)}", *options)
    starting, submitted = times(journal, "attempt_starting"), times(journal, "attempt_submitted")
    started = times(journal, "attempt_started", "started")
    ended = {event["run"]: event["exit"]["ended"] for event in journal if event["kind"] == "attempt_ended"}
    pairs = [(f"r{number}", f"r{number + 1}") for number in range(CHAIN - 1)]
    return (
        [submitted[run] - starting[run] for run in starting],
        [submitted[after] - ended[before] for before, after in pairs],
        [started[after] - ended[before] for before, after in pairs],
    )


def measure_by_hand(bench: Bench) -> list[float]:
    """Return the times from the end of a job's command to the start of the next, in a chain by hand, s."""
    notes = bench.folder / "by_hand"
    script = f"#!/bin/sh\ndate +%s.%N >> {notes}\nsleep 1\ndate +%s.%N >> {notes}\n"
    job = ""
    for _ in range(CHAIN):
        options = [f"--dependency=afterok:{job}"] if job else []
        command = ["sbatch", "--parsable", "--output=/dev/null", *options]
        result = subprocess.run(
            command, input=script, env=bench.environment, capture_output=True, text=True, check=True
        )
        job = result.stdout.strip()
    deadline = time.monotonic() + 600
    while not notes.exists() or len(notes.read_text().split()) < 2 * CHAIN:
        if time.monotonic() > deadline:
            raise SystemExit("the chain by hand did not end in 10 minutes")
        time.sleep(0.2)
    moments = [float(line) for line in notes.read_text().split()]
    return [moments[2 * number] - moments[2 * number - 1] for number in range(1, CHAIN)]


def measure_many(bench: Bench, runs: int, max_jobs: int) -> str:
    """Return a sentence on many short runs; the check before the session is not counted."""
    plan = f"[session]\n{SETTINGS}" + "".join(f"[runs.r{number}]\ncommand = ['true']\n" for number in range(runs))
    journal = bench.session(plan, "--max-jobs", str(max_jobs))
    calls = bench.calls(journal[0]["at"])
    busiest = max(sum(at <= other < at + 60 for other in calls) for at in calls)
    seconds = journal[-1]["at"] - journal[0]["at"]
    what = f"{runs} runs of `true`, --max-jobs {max_jobs}"
    return f"{what}: {seconds:.0f} s, {len(calls)} calls of Slurm, {busiest} in the busiest minute"


def row(name: str, values: list[float]) -> str:
    """Return a row of the table."""
    return f"| {name} | {statistics.median(values):.2f} s | {max(values):.2f} s |"


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--max-jobs", type=int, default=8)
    arguments = parser.parse_args()
    cluster = SlurmCluster.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(cluster, Path(folder))
            submission, resubmission, restart = measure_chain(bench)
            print("| what | median | largest |\n| --- | --- | --- |")
            print(row("a run may start → sbatch has returned", submission))
            print(row("end of a command → its successor is submitted", resubmission))
            print(row("end of a command → the next command runs", restart))
            print(row("the same, `--native-dependencies`", measure_chain(bench, "--native-dependencies")[2]))
            print(row("the same, `sbatch --dependency` by hand", measure_by_hand(bench)))
            print("\n" + measure_many(bench, arguments.runs, arguments.max_jobs))
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
