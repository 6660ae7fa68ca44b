"""What `product.py` asks of the supervisor, a function a question: each returns what is worth knowing."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from product_session import MODELS, Context, Json, Skipped, has_reached, query_nvidia_smi, require, wait_until

FOREVER = ["--epochs", "1000000", "--checkpoint-seconds", "5", "--no-compile"]
MEMORY_TOLERANCE_MIB = 64
"""Between NVML's and nvidia-smi's word on the memory of a process, which are not taken at the same time."""


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
    lines = supervisor.run("--headless", "--json", "--testing", seconds=130).splitlines()
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
        raise Skipped("needs a GPU")
    plan = context.write_plan("one", {"mlp": ["--epochs", "5"]})
    supervisor = context.supervisor("one")
    supervisor.run("--headless", "--json", "--gpus", "0", "--plan", str(plan), seconds=60)
    run = supervisor.status()["runs"]["mlp"]
    uuid = query_nvidia_smi("gpu=uuid")[0][0]
    require(run["state"] == "succeeded", str(run))
    require(run["gpu"] == 0 and run["cuda_visible_devices"] in {"0", uuid}, str(run))
    return f"CUDA_VISIBLE_DEVICES={run['cuda_visible_devices']}"


def sharing(context: Context) -> str:
    """`--share-gpu` trains all three at once on one GPU."""
    plan = context.write_plan("three", dict.fromkeys(MODELS, FOREVER))
    options = ["--share-gpu", "--gpus", "0"] if context.on_gpu else []
    supervisor = context.supervisor("shared")
    supervisor.run("--detach", "--plan", str(plan), *options)
    snapshot = supervisor.wait_for("all three train", all_train, seconds=90)
    gpus = {run["gpu"] for run in snapshot["runs"].values()}
    require(gpus == ({0} if context.on_gpu else {None}), f"on GPUs {gpus}")
    context.is_training = True
    epochs = {name: run["progress"]["epoch"] for name, run in snapshot["runs"].items()}
    return f"mode {snapshot['mode']}, epochs {epochs}"


def all_train(snapshot: Json) -> bool:
    """Tell whether every run is past its second epoch.

    Raises:
        CheckFailed: One has ended.
    """
    return all(has_reached(2, run, name) for name, run in snapshot["runs"].items())


def usage(context: Context) -> str:
    """`status --json` shows memory and utilisation of runs and GPU as `nvidia-smi` does."""
    if not context.on_gpu:
        snapshot = context.shared.wait_for("CPU figures of all runs", has_cpu_figures, seconds=30)
        runs = snapshot["runs"].values()
        return ", ".join(f"{run['cpu_percent']:.0f} % {run['memory_mib']:.0f} MiB" for run in runs)
    snapshot = context.shared.wait_for("utilisation of the GPU", has_gpu_figures, seconds=20)
    gpu, (used, busy) = snapshot["gpus"][0], query_nvidia_smi("gpu=memory.used,utilization.gpu")[0]
    if used.isdecimal():
        apart = abs(gpu["memory_used_mib"] - int(used))
        require(apart <= 1024, f"GPU: {gpu['memory_used_mib']} MiB, nvidia-smi {used}")
    return (
        f"{usage_of_runs(context)}; GPU {gpu['memory_used_mib']} MiB (nvidia-smi {used}), "
        f"{gpu['utilization_percent']} % (nvidia-smi {busy})"
    )


def usage_of_runs(context: Context) -> str:
    """Compare the memory of the runs' processes with that of `nvidia-smi`.

    In a container the driver lists processes by the host's process ids, or none at all: then `status` must not claim
    to know.
    """
    rows = query_nvidia_smi("compute-apps=pid,used_memory")
    theirs = {int(pid): int(memory) if memory.isdecimal() else None for pid, memory in rows if pid.isdecimal()}
    runs = context.shared.status()["runs"]
    if not any(run["pid"] in theirs for run in runs.values()):
        claims = [value for run in runs.values() for value in (run["gpu_memory_mib"], run["gpu_actual"])]
        require(all(claim is None for claim in claims), f"nvidia-smi knows {theirs}, status says {claims}")
        return f"nvidia-smi knows no process of the runs, only {sorted(theirs)}; nor does status"

    def agrees(now: Json) -> bool:
        return all(
            run["pid"] in theirs and run["gpu_actual"] == [0] and is_near(run["gpu_memory_mib"], theirs[run["pid"]])
            for run in now["runs"].values()
        )

    snapshot = context.shared.wait_for(f"memory of the runs as nvidia-smi has it, {theirs}", agrees, seconds=20)
    memory = {name: run["gpu_memory_mib"] for name, run in snapshot["runs"].items()}
    return f"runs {memory} MiB"


def is_near(ours: int | None, theirs: int | None) -> bool:
    """Tell whether both know the same memory, MiB, or neither knows it."""
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= MEMORY_TOLERANCE_MIB


def has_cpu_figures(snapshot: Json) -> bool:
    """Tell whether CPU and memory of every run are known."""
    return all(None not in (run["cpu_percent"], run["memory_mib"]) for run in snapshot["runs"].values())


def has_gpu_figures(snapshot: Json) -> bool:
    """Tell whether memory and utilisation of the GPU are known."""
    gpus = snapshot["gpus"]
    return bool(gpus) and None not in (gpus[0]["memory_used_mib"], gpus[0]["utilization_percent"])


def dashboard(context: Context) -> str:
    """`attach` draws runs and GPU in a terminal, and leaves without a trace."""
    import pexpect  # noqa: PLC0415 (carried to the machine as a wheel)
    import pyte  # noqa: PLC0415

    logs = context.shared.logs
    screen = pyte.Screen(140, 40)
    stream = pyte.ByteStream(screen)
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    arguments = ["-m", "pmssm.supervisor", "attach", "--logs", str(logs)]
    terminal = pexpect.spawn(sys.executable, arguments, dimensions=(40, 140), env=environment, timeout=30)

    def shows() -> bool:
        with suppress(pexpect.TIMEOUT, pexpect.EOF):
            stream.feed(terminal.read_nonblocking(1 << 16, timeout=0.1))  # type: ignore[arg-type]
        context.screen = "\n".join(line.rstrip() for line in screen.display)
        wanted = [*MODELS, "Epoch", *(["GPU 0"] if context.on_gpu else [])]
        return all(word in context.screen for word in wanted)

    try:
        wait_until("the runs are on the screen", shows, seconds=30 * context.patience)
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

    after = context.shared.wait_for("every training is further than before", has_gone_on, seconds=30)
    for name, run in before["runs"].items():
        now = after["runs"][name]
        require((now["pid"], now["attempt"]) == (run["pid"], run["attempt"]), f"{name}: {run['pid']}, then {now}")
    return f"engine {before['engine_pid']} → {back['engine_pid']} in {took:.1f} s, the same processes"


def down(context: Context) -> str:
    """`down` stops all runs, each with a checkpoint, and the GPU is free again."""
    supervisor = context.shared
    pids = {run["pid"] for run in supervisor.status()["runs"].values()}
    context.is_training = False
    supervisor.run("down", seconds=60)
    for model in MODELS:
        require((supervisor.output(model) / "checkpoint.pt").exists(), f"{model}: no checkpoint")
    if not context.on_gpu:
        return "three checkpoints"
    wait_until("the processes are off the GPU", lambda: pids.isdisjoint(pids_on_gpu()), seconds=20)
    return "three checkpoints, GPU free"


def pids_on_gpu() -> set[int]:
    """Return the processes that `nvidia-smi` lists."""
    return {int(row[0]) for row in query_nvidia_smi("compute-apps=pid") if row[0].isdecimal()}
