"""Our engine beside GNU parallel and task-spooler: `python benchmarks/peers.py [--rounds 3]`.

Needs `apt-get install parallel task-spooler`. Every round asks all tools in turn for the same work, so that all see
the same machine; the table has the medians, and the line above it says what was compared. CPU time is that of all
processes that the tool started, the commands included.

- wall and CPU: many runs of `sleep 0.1`, eight at a time; the ideal is the time of eight slots without a gap;
- handover: one run at a time; from the last action of a command to the first of the next one, as the commands see it;
- chains: eight chains of runs that do nothing, linked by `after_end`, in plans of several lengths.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.fake_nvml import FakeNvml, build, fake_gpu

COMMAND = str(Path(sys.executable).with_name("pmssm-supervise"))
SLOTS = 8
RUN_S = 0.1
PR_SET_CHILD_SUBREAPER = 36
STAMPED = 'echo "$EPOCHREALTIME" >> stamps; sleep 0.1; echo "$EPOCHREALTIME" >> stamps'


@dataclass(frozen=True)
class Cost:
    """What a tool needed for some runs."""

    wall_s: float
    cpu_s: float


def cost(command: Sequence[str], folder: Path, env: dict[str, str], text: str = "") -> Cost:
    """Run a command to the end of all its processes, also those that left it, and return what it cost."""
    cpu, started = _children_cpu(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, input=text, text=True, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return Cost(wall, _children_cpu() - cpu)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(folder: Path, command: Sequence[str], count: int, slots: int) -> Cost:
    """Run a command `count` times on `slots` GPUs of the tests' fake NVML."""
    fake = FakeNvml(build(folder), folder / "nvml.conf")
    fake.set(*map(fake_gpu, range(slots)))
    words = ", ".join(f"'{word}'" for word in command)
    (folder / "plan.toml").write_text("\n".join(f"[runs.r{n}]\ncommand = [{words}]" for n in range(count)))
    return cost([COMMAND, "--headless", "--plan", "plan.toml"], folder, fake.env)


def gnu_parallel(folder: Path, command: Sequence[str], count: int, slots: int) -> Cost:
    """Run a command `count` times under GNU parallel."""
    numbers = "\n".join(map(str, range(count)))
    return cost(["parallel", "-N0", f"-j{slots}", "-q", *command], folder, _peer_env(folder), numbers)


def task_spooler(folder: Path, command: Sequence[str], count: int, slots: int) -> Cost:
    """Run a command `count` times under task-spooler."""
    script = (
        f'i=0; while [ $i -lt {count} ]; do tsp -n "$@"; i=$((i+1)); done; '  # numbers count from 0
        f"i={max(0, count - slots)}; while [ $i -lt {count} ]; do tsp -w $i; i=$((i+1)); done; tsp -K"
    )
    env = {**_peer_env(folder), "TS_SLOTS": str(slots), "TS_SOCKET": str(folder / "tsp"), "TS_MAXFINISHED": "5000"}
    return cost(["sh", "-c", script, "sh", *command], folder, env)


def _peer_env(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}


Tool = Callable[[Path, Sequence[str], int, int], Cost]
TOOLS: dict[str, Tool] = {"task-spooler": task_spooler, "GNU parallel": gnu_parallel, "ours": ours}


def handover(tool: Tool, count: int) -> list[float]:
    """Return the milliseconds between each command and the next one, one at a time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "stamped"
        script.write_text(f"#!/bin/bash\ncd {folder}\n{STAMPED}\n")
        script.chmod(0o700)
        tool(folder, [str(script)], count, 1)
        stamps = [float(line) for line in (folder / "stamps").read_text().split()]
    return [1000 * (start - end) for end, start in zip(stamps[1::2], stamps[2::2], strict=False)]


def measured(tool: Tool, count: int) -> Cost:
    """Return the cost of `count` runs of `sleep`, eight at a time."""
    with tempfile.TemporaryDirectory() as name:
        return tool(Path(name), ["sleep", str(RUN_S)], count, SLOTS)


def chains(count: int) -> Cost:
    """Return the cost of `count` runs of `true` in eight chains of `after_end`."""
    runs = (
        f'[runs.r{n}]\ncommand = ["true"]\nslot = "none"\nafter_end = {[f"r{n - SLOTS}"] if n >= SLOTS else []}'
        for n in range(count)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plan.toml").write_text("\n".join(runs))
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        return cost([COMMAND, "--headless", "--plan", "plan.toml"], folder, env)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the tools take turns in each")
    parser.add_argument("--runs", type=int, nargs="*", default=[300, 2000], help="short runs; several lengths")
    parser.add_argument("--handovers", type=int, default=50, help="runs one after the other")
    parser.add_argument("--chains", type=int, nargs="*", default=[100, 800, 2000], help="runs in chains; lengths")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # so that `cost` sees daemons, too
    tools = {name: tool for name, tool in TOOLS.items() if name == "ours" or _is_installed(name)}
    for count in options.runs:
        costs = _rounds(options.rounds, {name: partial(measured, tool, count) for name, tool in tools.items()})
        print(f"\n{count} x `sleep {RUN_S}`, {SLOTS} slots, ideal {count * RUN_S / SLOTS:.2f} s; {_machine()}")
        _print_costs(costs, count)
    delays: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(options.rounds if options.handovers else 0):
        for name, tool in tools.items():
            delays[name] += handover(tool, options.handovers)
    if options.handovers:
        print(f"\n{options.handovers} commands, one at a time: from an end to the next start; {_machine()}")
    for name, values in delays.items():
        if values:
            print(f"{name:<14}median {statistics.median(values):6.1f} ms, "
                  f"p95 {sorted(values)[int(0.95 * len(values))]:6.1f} ms")  # fmt: skip
    for count in options.chains:
        costs = _rounds(options.rounds, {f"{count} runs": partial(chains, count)})
        print(f"\n{count} x `true` in {SLOTS} chains of `after_end`; {_machine()}")
        _print_costs(costs, count)


def _is_installed(name: str) -> bool:
    program = {"task-spooler": "tsp", "GNU parallel": "parallel"}[name]
    if shutil.which(program) is None:
        print(f"left out: {name} is not installed", file=sys.stderr)
        return False
    return True


def _rounds(rounds: int, what: dict[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in what}
    for _ in range(rounds):
        for name, measure in what.items():
            costs[name].append(measure())
    return costs


def _print_costs(costs: dict[str, list[Cost]], count: int) -> None:
    for name, values in costs.items():
        wall = statistics.median(value.wall_s for value in values)
        cpu = statistics.median(value.cpu_s for value in values)
        print(f"{name:<14}{wall:7.2f} s wall  {1000 * cpu / count:6.2f} ms of CPU a run")


def _machine() -> str:
    return f"load {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} cores"


if __name__ == "__main__":
    main()
