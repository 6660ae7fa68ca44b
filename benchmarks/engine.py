"""Cost of the supervisor: `python benchmarks/engine.py [--rest-seconds 600]`.

It prints a table for three sessions of commands that do nothing, each in a temporary folder:

- a chain of runs of 0.1 s, each after the one before: from the exit of a run to the exec of its successor;
- many short runs on eight GPUs of the tests' fake NVML: wall time, compared with the ideal (eight slots without a
  gap) and with the same commands started by `xargs -P 8`;
- three runs that print an epoch every 2 s: CPU time and memory of an engine without clients.
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
from support.fake_nvml import FakeNvml, build, fake_gpu

COMMAND = Path(sys.executable).with_name("pmssm-supervise")
SLOTS = 8
SHORT_RUN_S = 0.2
NO_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
EPOCHS = "i=0; while :; do i=$((i+1)); echo Epoch $i/2000 loss 0.$i; sleep 2; done"
PROGRESS = r"progress = 'Epoch (?P<epoch>\d+)/(?P<epochs>\d+) loss (?P<val_loss>\S+)'"


def session(folder: Path, plan: str, mode: str, env: dict[str, str] = NO_GPU) -> float:
    """Run a plan; return the seconds of its start (`--detach`) or of all of it (`--headless`)."""
    (folder / "plan.toml").write_text(plan)
    start = time.perf_counter()
    command: list[str | Path] = [COMMAND, mode, "--plan", "plan.toml"]
    subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def events(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Return the last event of one kind, by run."""
    (journal,) = folder.glob("logs/session_*/journal.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return {event["run"]: event for event in lines if event["kind"] == kind}


def handover(folder: Path, length: int) -> list[float]:
    """Return the milliseconds from the exit of each run to the exec of its successor.

    Runs take 0.1 s, so that the next shim is already started.
    """
    runs = [
        f'[runs.r{n}]\ncommand = ["sleep", "0.1"]\nslot = "none"\nafter = {[f"r{n - 1}"] if n else []}'
        for n in range(length)
    ]
    session(folder, "\n".join(runs), "--headless")
    started, ended = events(folder, "attempt_started"), events(folder, "attempt_ended")
    pairs = [(f"r{n}", f"r{n + 1}") for n in range(length - 1) if f"r{n + 1}" in started]
    return [1000 * (started[after]["started"] - ended[before]["exit"]["ended"]) for before, after in pairs]


def short_runs(folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds for `count` runs of SHORT_RUN_S, and for as many bare commands.

    `xargs` runs as many bare commands at the same time as there are slots.
    """
    fake = FakeNvml(build(folder), folder / "nvml.conf")
    fake.set(*map(fake_gpu, range(SLOTS)))
    plan = "\n".join(f'[runs.r{n}]\ncommand = ["sleep", "{SHORT_RUN_S}"]' for n in range(count))
    supervised = session(folder, plan, "--headless", fake.env)
    start = time.perf_counter()
    xargs = ["xargs", "-P", str(SLOTS), "-I", "{}", "sleep", str(SHORT_RUN_S)]
    subprocess.run(xargs, input="\n".join(map(str, range(count))), text=True, check=True)
    return supervised, time.perf_counter() - start


def at_rest(folder: Path, seconds: float) -> tuple[float, float]:
    """Return percent of a core and MiB of an engine with three running runs."""
    plan = "\n".join(f'[runs.{n}]\ncommand = ["sh", "-c", "{EPOCHS}"]\nslot = "none"\n{PROGRESS}' for n in "abc")
    session(folder, plan, "--detach")
    status = subprocess.run([COMMAND, "status", "--json"], cwd=folder, capture_output=True, check=True)
    pid = json.loads(status.stdout)["engine_pid"]
    time.sleep(5)
    before = cpu_seconds(pid)
    time.sleep(seconds)
    share = 100 * (cpu_seconds(pid) - before) / seconds
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    subprocess.run([COMMAND, "down"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return share, resident


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rest-seconds", type=float, default=60, help="duration of the measurement at rest")
    parser.add_argument("--chain", type=int, default=100, help="runs of the chain")
    parser.add_argument("--short-runs", type=int, default=1000, help="short runs")
    options = parser.parse_args()
    folders = [Path(tempfile.mkdtemp(prefix="engine-")) for _ in range(3)]
    delays = sorted(handover(folders[0], options.chain))
    supervised, bare = short_runs(folders[1], options.short_runs)
    share, resident = at_rest(folders[2], options.rest_seconds)
    print(f"load average: {os.getloadavg()[0]:.1f}, cores: {len(os.sched_getaffinity(0))}\n")
    print(f"exit to successor's exec   median {statistics.median(delays):.1f} ms, "
          f"p95 {delays[int(0.95 * len(delays))]:.1f} ms, {len(delays)} pairs")  # fmt: skip
    ideal = options.short_runs * SHORT_RUN_S / SLOTS
    print(f"{options.short_runs} runs of {SHORT_RUN_S} s on {SLOTS} slots  {supervised:.1f} s; "
          f"ideal {ideal:.1f} s, xargs -P {SLOTS} {bare:.1f} s")  # fmt: skip
    print(f"engine at rest             {share:.2f} % of a core, {resident:.0f} MiB, over {options.rest_seconds:.0f} s")


if __name__ == "__main__":
    main()
