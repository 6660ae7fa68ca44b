"""What `product.py` asks of the product, a function a question: each returns what is worth knowing."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from product_session import (
    MODELS,
    CheckFailed,
    Json,
    Supervisor,
    query_nvidia_smi,
    require,
    run_command,
    wait_until,
    write_plan,
)

FOREVER = ["--epochs", "1000000", "--checkpoint-seconds", "5"]
LEFT_FREE_MIB = 1024
"""That the process of `out_of_memory` leaves to the training."""
HOLD_MEMORY = f"""
import sys, torch
torch.zeros(1, device="cuda")
free, _ = torch.cuda.mem_get_info()
held = torch.empty(free - {LEFT_FREE_MIB} * 2**20, dtype=torch.uint8, device="cuda")
print(free >> 20, flush=True)
sys.stdin.read()
"""


@dataclass
class Context:
    """What the checks share."""

    folder: Path
    on_gpu: bool
    supervisors: dict[str, Supervisor] = field(default_factory=dict)
    data: Path | None = None
    """Prepared arrays, from `testing` on."""
    screen: str = ""

    def supervisor(self, name: str) -> Supervisor:
        """Return the supervisor with the logs folder of this name."""
        return self.supervisors.setdefault(name, Supervisor(self.folder / name))

    @property
    def shared(self) -> Supervisor:
        """The session in which all three models train at once, from `sharing` on."""
        return self.supervisor("shared")

    def prepared(self) -> Path:
        """Return the prepared arrays; make them where `testing` did not."""
        if self.data is None:
            self.data = self.folder / "data"
            command = [sys.executable, "-m", "pmssm.trainers", "prepare", "--output", str(self.data)]
            run_command(command, seconds=60)
        return self.data


class NeedsGpu(Exception):
    """The check makes no sense without a GPU."""


# -- the checks: each returns what is worth knowing, and raises CheckFailed ----------------------------------------


def check_verb(context: Context) -> str:
    """`check` sees the GPU and says where the runs would go."""
    text = context.supervisor("check").run("check")
    if context.on_gpu:
        name = query_nvidia_smi("gpu=name")[0][0]
        require(name in text, f"nvidia-smi's {name} is not in what `check` prints: {text[:300]}")
        return name
    require("none seen" in text, text[:300])
    return "no GPU, as expected"


def testing(context: Context) -> str:
    """`--headless --testing` runs the built-in plan to its end, on the GPU where there is one."""
    supervisor = context.supervisor("testing")
    lines = supervisor.run("--headless", "--json", "--testing", seconds=240).splitlines()
    summary: Json = json.loads(lines[-1])
    context.data = Path(summary["folder"]) / "data"
    for name, run in summary["runs"].items():
        require(run["state"] == "succeeded", f"{name}: {run}")
    devices = {summary["runs"][model]["result"]["device"] for model in MODELS}
    require(("cpu" in devices) != context.on_gpu, f"trained on {devices}")
    times = ", ".join(f"{name} {run['wall_time_s']:.1f}" for name, run in summary["runs"].items())
    return f"{devices.pop()}; seconds: {times}"


def gpus_option(context: Context) -> str:
    """`--gpus 0` gives the run that GPU and nothing else."""
    if not context.on_gpu:
        raise NeedsGpu
    plan = write_plan(context.folder / "one.toml", context.prepared(), {"mlp": ["--epochs", "5"]}, on_gpu=True)
    supervisor = context.supervisor("one")
    supervisor.run("--headless", "--json", "--gpus", "0", "--plan", str(plan), seconds=90)
    run = supervisor.status()["runs"]["mlp"]
    uuid = query_nvidia_smi("gpu=uuid")[0][0]
    require(run["state"] == "succeeded", str(run))
    require(run["gpu"] == 0 and run["cuda_visible_devices"] in {"0", uuid}, str(run))
    return f"CUDA_VISIBLE_DEVICES={run['cuda_visible_devices']}"


def sharing(context: Context) -> str:
    """`--share-gpu` trains all three at once on one GPU."""
    plan = write_plan(
        context.folder / "three.toml", context.prepared(), dict.fromkeys(MODELS, FOREVER), on_gpu=context.on_gpu
    )
    options = ["--share-gpu", "--gpus", "0"] if context.on_gpu else []
    context.shared.run("--detach", "--plan", str(plan), *options)
    snapshot = context.shared.wait_for("all three train", all_train, seconds=120)
    gpus = {run["gpu"] for run in snapshot["runs"].values()}
    require(gpus == ({0} if context.on_gpu else {None}), f"on GPUs {gpus}")
    epochs = {name: run["progress"]["epoch"] for name, run in snapshot["runs"].items()}
    return f"mode {snapshot['mode']}, epochs {epochs}"


def all_train(snapshot: Json) -> bool:
    """Tell whether every run is at work and past its second epoch."""
    return all(run["state"] == "running" and run["progress"].get("epoch", 0) >= 2 for run in snapshot["runs"].values())


def usage(context: Context) -> str:
    """`status --json` shows memory and utilisation of runs and GPU as `nvidia-smi` does."""
    if not context.on_gpu:
        snapshot = context.shared.wait_for("CPU figures of all runs", has_cpu_figures, seconds=30)
        runs = snapshot["runs"].values()
        return ", ".join(f"{run['cpu_percent']:.0f} % {run['memory_mib']:.0f} MiB" for run in runs)
    snapshot = context.shared.wait_for("GPU figures of all runs", has_gpu_figures, seconds=30)
    rows = query_nvidia_smi("compute-apps=pid,used_memory")
    theirs = {int(pid): int(memory) for pid, memory in rows if memory.isdecimal()}  # else "[N/A]"
    used, busy = map(int, query_nvidia_smi("gpu=memory.used,utilization.gpu")[0])
    gpu = snapshot["gpus"][0]
    for name, run in snapshot["runs"].items():
        require(run["pid"] in theirs, f"{name}: nvidia-smi knows {theirs}, not process {run['pid']}")
        apart = abs(run["gpu_memory_mib"] - theirs[run["pid"]])
        require(apart <= 64, f"{name}: {run['gpu_memory_mib']} MiB, nvidia-smi {theirs[run['pid']]}")
    require(abs(gpu["memory_used_mib"] - used) <= 1024, f"GPU: {gpu['memory_used_mib']} MiB, nvidia-smi {used}")
    memory = {name: run["gpu_memory_mib"] for name, run in snapshot["runs"].items()}
    return (
        f"runs {memory} MiB; GPU {gpu['memory_used_mib']} MiB (nvidia-smi {used}), "
        f"{gpu['utilization_percent']} % (nvidia-smi {busy} %)"
    )


def has_cpu_figures(snapshot: Json) -> bool:
    """Tell whether CPU and memory of every run are known."""
    return all(None not in (run["cpu_percent"], run["memory_mib"]) for run in snapshot["runs"].values())


def has_gpu_figures(snapshot: Json) -> bool:
    """Tell whether the GPU's use and each run's memory on it are known."""
    gpus = snapshot["gpus"]
    return bool(gpus) and gpus[0]["utilization_percent"] is not None and all(
        run["gpu_memory_mib"] for run in snapshot["runs"].values()
    )  # fmt: skip


def dashboard(context: Context) -> str:
    """`attach` draws runs and GPU in a terminal, and leaves without a trace."""
    import pexpect  # noqa: PLC0415 (carried to the machine as a wheel)
    import pyte  # noqa: PLC0415

    screen = pyte.Screen(140, 40)
    stream = pyte.ByteStream(screen)
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    arguments = ["-m", "pmssm.supervisor", "attach", "--logs", str(context.shared.logs)]
    terminal = pexpect.spawn(sys.executable, arguments, dimensions=(40, 140), env=environment, timeout=30)

    def shows() -> bool:
        with suppress(pexpect.TIMEOUT, pexpect.EOF):
            stream.feed(terminal.read_nonblocking(1 << 16, timeout=0.1))  # type: ignore[arg-type]
        context.screen = "\n".join(line.rstrip() for line in screen.display)
        wanted = [*MODELS, "Epoch", *(["GPU 0", "expected"] if context.on_gpu else [])]
        return all(word in context.screen for word in wanted)

    try:
        wait_until("the runs are on the screen", shows, seconds=30)
        terminal.send("q")
        terminal.expect(pexpect.EOF, timeout=15)
    finally:
        terminal.close(force=True)
    require(all_train(context.shared.status()), "the trainings did not go on")
    return "140 × 40, kept below"


def engine_killed(context: Context) -> str:
    """After `kill -9` of the engine the trainings go on, and the next command brings an engine back to them."""
    before = context.shared.status()
    os.kill(before["engine_pid"], signal.SIGKILL)
    began = time.monotonic()
    back = context.shared.wait_for(
        "a new engine", lambda now: now["engine_pid"] not in {None, before["engine_pid"]}, seconds=30
    )
    took = time.monotonic() - began

    def has_gone_on(now: Json) -> bool:
        runs = ((now["runs"][name], run) for name, run in before["runs"].items())
        return all(new["progress"].get("epoch", 0) > old["progress"]["epoch"] for new, old in runs)

    after = context.shared.wait_for("every training is further than before", has_gone_on, seconds=60)
    for name, run in before["runs"].items():
        now = after["runs"][name]
        require((now["pid"], now["attempt"]) == (run["pid"], run["attempt"]), f"{name}: {run['pid']}, then {now}")
    return f"engine {before['engine_pid']} → {back['engine_pid']} in {took:.1f} s, the same processes"


def down(context: Context) -> str:
    """`down` stops all runs, each with a checkpoint, and the GPU is free again."""
    pids = {run["pid"] for run in context.shared.status()["runs"].values()}
    context.shared.run("down", seconds=100)
    for model in MODELS:
        require((context.shared.output(model) / "checkpoint.pt").exists(), f"{model}: no checkpoint")
    if not context.on_gpu:
        return "three checkpoints"
    left = wait_until(
        "the processes are off the GPU",
        lambda: pids.isdisjoint(int(row[0]) for row in query_nvidia_smi("compute-apps=pid")),
        seconds=20,
    )
    require(left, "processes still on the GPU")
    return "three checkpoints, GPU free"


def stop_and_resume(context: Context) -> str:
    """A run that is stopped and started again has the losses of one that never stopped."""
    stop_at, epochs = (300, 5000) if context.on_gpu else (3, 100)
    options = {"mlp": ["--epochs", str(epochs), "--no-compile"]}
    plan = write_plan(context.folder / "stop.toml", context.prepared(), options, on_gpu=context.on_gpu)
    losses = []
    for stops in (0, 1):
        supervisor = context.supervisor(f"stops_{stops}")
        supervisor.run("--detach", "--plan", str(plan))
        if stops:
            supervisor.wait_for(
                f"epoch {stop_at}", lambda now: now["runs"]["mlp"]["progress"].get("epoch", 0) >= stop_at, seconds=60
            )
            supervisor.run("stop", "mlp", seconds=60)
            stopped = supervisor.wait_for(
                "stopped", lambda now: now["runs"]["mlp"]["state"] not in {"running", "stopping"}, seconds=60
            )["runs"]["mlp"]
            require(stopped["state"] == "stopped", f"too late, or no clean stop: {stopped}")
            supervisor.run("start", "mlp")
        supervisor.wait_for("the end", lambda now: now["runs"]["mlp"]["state"] == "succeeded", seconds=120)
        with (supervisor.output("mlp") / "metrics.csv").open() as file:
            losses.append([(float(row["train_mse"]), float(row["val_mse"])) for row in csv.DictReader(file)])
    require("Resumed at epoch" in supervisor.log("mlp"), "the log knows of no resume")
    require(len(losses[0]) == len(losses[1]) == epochs, f"{len(losses[0])} and {len(losses[1])} epochs")
    pairs = [(a, b) for whole, parts in zip(*losses, strict=True) for a, b in zip(whole, parts, strict=True)]
    apart = max(abs(a - b) / abs(a) for a, b in pairs)
    require(apart <= 1e-4, f"the losses differ by up to {apart:.1e}")
    return f"stopped at epoch {stopped['progress']['epoch']} of {epochs}; losses differ by {apart:.1e} at most"


def out_of_memory(context: Context) -> str:
    """With hardly any memory left a training halves its batch until it fits, and ends well."""
    if not context.on_gpu:
        raise NeedsGpu
    holder = subprocess.Popen([sys.executable, "-c", HOLD_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = []
    try:
        assert holder.stdout is not None
        require(holder.stdout.readline().strip(), "the process that holds the memory has died")
        for batch in (256, 16384):  # the second one does not fit by any reckoning
            command = [sys.executable, "-m", "pmssm.trainers", "transformer", "--data", str(context.prepared())]
            command += ["--output", str(context.folder / f"memory_{batch}"), "--epochs", "2", "--device", "cuda"]
            done = subprocess.run(
                [*command, "--batch-size", str(batch)], capture_output=True, text=True, timeout=90, check=False
            )
            halved = [line.partition("batch size ")[2] for line in done.stderr.splitlines() + done.stdout.splitlines()
                      if "Out of memory: batch size" in line]  # fmt: skip
            if done.returncode:
                print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
                raise CheckFailed(f"batch {batch}: exit code {done.returncode}, halved {halved}: {done.stderr[-300:]}")
            found.append(f"batch {batch}: {', '.join(halved) or 'fits'}")
            if halved:
                return "; ".join(found)
        raise CheckFailed(f"nothing ran out of memory: {'; '.join(found)}")
    finally:
        holder.kill()
        holder.wait(timeout=20)


CHECKS: tuple[Callable[[Context], str], ...] = (
    check_verb, testing, gpus_option, sharing, usage, dashboard, engine_killed, down, stop_and_resume, out_of_memory,
)  # fmt: skip
"""In the order of the questions that must be answered first."""
