"""Cost and latency of the dashboard: `python benchmarks/dashboard.py [--rest-seconds 60] [--rounds 200]`.

It prints a table for four runs in a temporary folder, without NVML, in a pseudo-terminal of 120 × 36 cells:

- first paint: from the start of `attach` to the first text on the screen, and to the runs;
- key to repaint: from `M` (mark all runs) to its message; with a quiet log, and with 100,000 lines per second;
- at rest: CPU, memory and bytes to the terminal while no run prints; and while one prints an epoch every 2 s;
- a log of 5 GB: from its selection to its last line on the screen.

With `--rounds` it prints the first lines of the table for that many rounds of four chains of four runs.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import pexpect

COMMAND = Path(sys.executable).with_name("pmssm-supervise")
PROGRESS = r"progress = 'Epoch (?P<epoch>\d+)/(?P<epochs>\d+) loss (?P<val_loss>\S+)'"
EPOCHS = "for i in $(seq 200); do echo Epoch $i/2000 loss 0.$i; done; exec sleep 100000"
BUSY = "i=0; while :; do i=$((i+1)); echo Epoch $i/2000 loss 0.$i; sleep 2; done"
FLOOD = """
import pathlib, sys, time
lines = ''.join(f'a line of the flood, number {n}\\n' for n in range(5000))
due = time.monotonic()
while True:
    if pathlib.Path(sys.argv[1]).exists():
        sys.stdout.write(lines)
        sys.stdout.flush()
    due = max(due + 0.05, time.monotonic())
    time.sleep(max(0, due - time.monotonic()))
"""
ROUND_3_WAITS = "echo Epoch 1/2 loss 0.5; echo Epoch 2/2 loss 0.4; case $0 in *-r03|*-r003) exec sleep 100000;; esac"
KEYS = 60
DEADLINE_S = 60.0


class Screen:
    """The dashboard in a pseudo-terminal."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.process = pexpect.spawn(str(COMMAND), ["attach"], cwd=str(folder), env=env, dimensions=(36, 120))
        self.received = 0

    def wait_for(self, pattern: bytes) -> float:
        """Return the seconds until the output matches `pattern`."""
        start = time.perf_counter()
        data = b""
        while not re.search(pattern, data):
            data = data[-4096:] + self._read(1.0)
            assert time.perf_counter() - start < DEADLINE_S, f"{pattern!r} never came"
        return time.perf_counter() - start

    def read_for(self, seconds: float) -> None:
        """Read the output for `seconds`."""
        end = time.perf_counter() + seconds
        while (remaining := end - time.perf_counter()) > 0:
            self._read(remaining)

    def _read(self, timeout: float) -> bytes:
        try:
            data = cast(bytes, self.process.read_nonblocking(1 << 16, timeout=timeout))
        except pexpect.TIMEOUT:
            return b""
        self.received += len(data)
        return data

    def key_latencies(self, marked: bytes = b"4 runs marked") -> list[float]:
        """Press a key many times; return the milliseconds to each answer, at first `marked`."""
        times = []
        for number in range(KEYS):
            self.read_for(0.25)
            self.process.send("M")
            times.append(1000 * self.wait_for(b"no run is marked" if number % 2 else marked))
        return times


def first_paint(folder: Path, env: dict[str, str], run: bytes = b"calm") -> tuple[list[float], list[float]]:
    """Return the seconds to the first text and to the runs, a few times after one warm-up."""
    first_text, runs = [], []
    for number in range(6):
        screen = Screen(folder, env)
        text_seconds = screen.wait_for(b"contacting the engine")
        runs_seconds = text_seconds + screen.wait_for(run)
        if number:
            first_text.append(text_seconds)
            runs.append(runs_seconds)
        screen.process.send("q")
        screen.process.expect(pexpect.EOF)
        screen.process.wait()
    return first_text, runs


def at_rest(screen: Screen, seconds: float) -> tuple[float, float, float]:
    """Return percent of a core, MiB, and bytes per second of a dashboard without input."""
    screen.read_for(5)
    pid = int(screen.process.pid or 0)
    before, received = cpu_seconds(pid), screen.received
    screen.read_for(seconds)
    share = 100 * (cpu_seconds(pid) - before) / seconds
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return share, resident / 2**20, (screen.received - received) / seconds


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def huge_log(folder: Path, screen: Screen) -> float:
    """Return the milliseconds from the selection of a run with a log of 5 GB to its last line."""
    (log,) = folder.glob("logs/large_*.log")
    with log.open("ab") as file:
        file.truncate(5 << 30)  # a hole needs no disk space
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"before the end\n" * 2000 + b"the end of 5 GB\n")
    screen.process.send("j")
    return 1000 * screen.wait_for(b"the end of 5 GB")


def format_times(times: list[float]) -> str:
    """Return median and 95th percentile."""
    return f"{statistics.median(times):.0f} / {statistics.quantiles(times, n=20)[-1]:.0f}"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rest-seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, help="measure a campaign of so many rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        (folder / "flood.py").write_text(FLOOD)
        runs = {
            "calm": ["sh", "-c", EPOCHS],
            "flood": [sys.executable, str(folder / "flood.py"), str(folder / "go")],
            "large": ["sh", "-c", EPOCHS],
            "busy": ["sh", "-c", BUSY],
        }
        plan = "\n".join(
            f'[runs.{run}]\ncommand = {command!r}\nslot = "none"\n{PROGRESS}' for run, command in runs.items()
        )
        (folder / "plan.toml").write_text(plan if options.rounds is None else campaign_plan(options.rounds))
        env = {**os.environ, "TERM": "xterm-256color", "CUDA_VISIBLE_DEVICES": "", "XDG_CONFIG_HOME": name}
        subprocess.run(
            [COMMAND, "--detach", "--plan", "plan.toml"], cwd=folder, env=env, check=True, capture_output=True
        )
        try:
            if options.rounds is None:
                measure(folder, env, options.rest_seconds)
            else:
                measure_campaign(folder, env, options.rest_seconds)
        finally:
            subprocess.run([COMMAND, "down"], cwd=folder, env=env, check=True, capture_output=True)


def campaign_plan(rounds: int) -> str:
    """Return a plan of four chains of four runs in each round; all chains stay in round 3."""
    text = f"[session]\nrounds = {rounds}\n"
    for run, after in (("prepare", "simulate@previous"), ("train", "prepare"), ("propose", "train"),
                       ("simulate", "propose")):  # fmt: skip
        command = ["sh", "-c", ROUND_3_WAITS] if run == "train" else ["true"]
        text += f"""
[runs.{run}]
each_round = true
matrix.seed = [1, 2, 3, 4]
command = {[*command, "{run}", "{seed}"]!r}
after = ["{after}"]
slot = "none"
{PROGRESS if run == "train" else ""}
"""
    return text


def measure_campaign(folder: Path, env: dict[str, str], seconds: float) -> None:
    """Print the first lines of the table, for a campaign that waits in its third round."""
    deadline = time.monotonic() + DEADLINE_S
    while len(list(folder.glob("logs/train-seed*-r*03_*.log"))) < 4:
        assert time.monotonic() < deadline, "the chains never came to round 3"
        time.sleep(0.1)
    first_text, runs = first_paint(folder, env, b"train-seed1")
    print(f"first text on the screen                  {statistics.median(first_text):8.2f} s")
    print(f"runs on the screen                        {statistics.median(runs):8.2f} s")
    screen = Screen(folder, env)
    screen.wait_for(b"train-seed1")
    print(f"CPU until then                            {cpu_seconds(int(screen.process.pid or 0)):8.2f} s")
    share, resident, rate = at_rest(screen, seconds)
    print(f"at rest: CPU                              {share:8.2f} % of a core")
    print(f"at rest: memory                           {resident:8.1f} MiB")
    print(f"at rest: output to the terminal           {rate:8.0f} B/s")
    print(f"key to repaint: median / p95              {format_times(screen.key_latencies(b'runs marked')):>8} ms")
    screen.process.send("q")
    screen.process.expect(pexpect.EOF)
    print(f"load average                              {os.getloadavg()[0]:8.1f}")


def measure(folder: Path, env: dict[str, str], seconds: float) -> None:
    """Print the table, line by line."""
    first_text, runs = first_paint(folder, env)
    print(f"first text on the screen                  {statistics.median(first_text):8.2f} s")
    print(f"runs on the screen                        {statistics.median(runs):8.2f} s")
    screen = Screen(folder, env)
    screen.wait_for(b"calm")
    share, resident, rate = at_rest(screen, seconds)
    print(f"at rest: CPU                              {share:8.2f} % of a core")
    print(f"at rest: memory                           {resident:8.1f} MiB")
    print(f"at rest: output to the terminal           {rate:8.0f} B/s")
    screen.process.send("G")
    screen.wait_for(b"log of busy")
    share, _, rate = at_rest(screen, seconds)
    print(f"an epoch every 2 s: CPU, to the terminal  {share:8.2f} % of a core, {rate:.0f} B/s")
    screen.process.send("g")
    print(f"key to repaint, quiet: median / p95       {format_times(screen.key_latencies()):>8} ms")
    screen.process.send("j")
    (folder / "go").touch()
    screen.wait_for(b"a line of the flood")
    print(f"key to repaint, flood: median / p95       {format_times(screen.key_latencies()):>8} ms")
    (folder / "go").unlink()
    print(f"end of a log of 5 GB on the screen        {huge_log(folder, screen):8.0f} ms")
    screen.process.send("q")
    screen.process.expect(pexpect.EOF)
    print(f"load average                              {os.getloadavg()[0]:8.1f}")


if __name__ == "__main__":
    main()
