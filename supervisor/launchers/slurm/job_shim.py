"""Start of a shim inside a Slurm job: `python -I -S job_shim.py FOLDER`, as its batch script or as a step.

It completes the attempt's environment with what only the node knows (variables of Slurm, of the setup lines and of the
site), leaves a note of job and node, and becomes the shim. It ends with the command's exit code, as a shell would, so
that Slurm's own dependencies (afterok) and accounting tell success from failure. It imports the standard library
alone, and our package not at all, since a node's Python may lack everything else.

A sampler is started beside the shim, see gpu_sampler. It is not a descendant of the shim, which would wait for it.

`spec.json` of a job has these keys beside the shim's own: `shim`, the path of shim.py; `kept`, names of variables that
the node decides, such as CUDA_VISIBLE_DEVICES. That of a step has also `granted_gpu`, see there; and
`reads_stop_file`: no signal of Slurm reaches the shim of a step alone, so the engine writes STOP_FILE to stop it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

READY = 3  # the shim's descriptor for an engine that waits for the start; nobody does here
NOTE = "job.json"
SAMPLER = "pmssm.supervisor.launchers.slurm.gpu_sampler"
SAMPLER_LOG = "sampler.log"
STOP_FILE = "stop_request.json"  # {"kind": "stop"} or {"kind": "kill"}
STOP_FILE_INTERVAL_S = 0.5  # between two looks for it
# Variables that limit a process to some GPUs: of CUDA, of ROCm (two), of OpenCL, of Level Zero.
GPU_VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *("GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK"),
)
NOT_OURS = 75  # exit code where another process has claimed the attempt: "try again later" in sysexits.h


def merged_environment(node: Mapping[str, str], spec: Mapping[str, str], kept: frozenset[str]) -> dict[str, str]:
    """Return the environment of the command.

    Args:
        node: Variables on the node, after the setup lines.
        spec: Variables that the session gives.
        kept: Variables of `node` that stay as they are, or stay unset.
    """
    given = {name: value for name, value in spec.items() if name not in kept}
    return {**node, **given}


def granted_gpu(environment: Mapping[str, str], position: int) -> dict[str, str]:
    """Return the variables that limit a process to one of the GPUs that Slurm has granted on a node.

    Args:
        environment: Variables that Slurm has set for all of these GPUs.
        position: Which of them, from 0; no GPU is seen where there are fewer.
    """
    names = {name: environment[name].split(",") for name in GPU_VARIABLES if name in environment}
    return {variable: gpus[position] if position < len(gpus) else "" for variable, gpus in names.items()}


def exit_status(record: Mapping[str, object] | None) -> int:
    """Return the exit code of a shell for the command that `record` tells of, or NOT_OURS without one."""
    if record is None:
        return NOT_OURS
    code, signal = record.get("exit_code"), record.get("signal")
    return code if isinstance(code, int) else 128 + signal if isinstance(signal, int) else 1


def main(folder: Path) -> int:
    """Run the attempt in `folder` and return the exit code of the job."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    if spec.get("granted_gpu") is not None:
        os.environ.update(granted_gpu(os.environ, spec["granted_gpu"]))
    spec["env"] = merged_environment(os.environ, spec["env"], frozenset(spec["kept"]))
    note = {
        "job_id": int(os.environ.get("SLURM_JOB_ID", "0")),
        "step_id": os.environ.get("SLURM_STEP_ID", ""),
        "node": os.environ.get("SLURMD_NODENAME", ""),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", os.environ.get("ROCR_VISIBLE_DEVICES", "")),
        "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        "at": time.time(),
    }
    _write(folder / NOTE, note)
    start_sampler(folder)
    null = os.open(os.devnull, os.O_RDWR)
    if null != READY:
        os.dup2(null, READY)
        os.close(null)
    attempt = shim_class(Path(spec["shim"]), reads_stop_file=bool(spec.get("reads_stop_file")))(str(folder))
    attempt.spec = spec
    attempt.run()
    return exit_status(attempt.exit)


def shim_class(path: Path, *, reads_stop_file: bool) -> Any:  # noqa: ANN401 - a class that is loaded from a file
    """Return the class of a job's shim.

    Args:
        path: Path of shim.py.
        reads_stop_file: Whether STOP_FILE stops it, as signals do.
    """
    module_spec = importlib.util.spec_from_file_location("shim", path)
    if module_spec is None or module_spec.loader is None:
        raise SystemExit(f"{path}: not a Python file")
    shim = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(shim)

    class JobShim(shim.Shim):  # type: ignore[name-defined,misc]
        def _write_process(self, **more: object) -> None:
            super()._write_process(**more)
            os.fsync(self.process)  # over NFS the engine would see it only when this node writes its cache back

    class StepShim(JobShim):
        def _next_signal(self, timeout: float, signals: Collection[int] = shim.HANDLED) -> int | None:
            end = time.monotonic() + timeout
            while (number := requested_signal(Path(self.folder), self.stop)) is None:
                left = max(0.0, end - time.monotonic())
                number = super()._next_signal(min(left, STOP_FILE_INTERVAL_S), signals)
                if number is not None or left == 0:
                    break
            return number

    return StepShim if reads_stop_file else JobShim


def requested_signal(folder: Path, stop: str | None) -> int | None:
    """Return the signal that stands for the newest request in STOP_FILE; None if it was carried out.

    Args:
        folder: Folder of the attempt.
        stop: The stop that has begun, `stop` or `kill`.
    """
    try:
        record = json.loads((folder / STOP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind == "kill" and stop != "kill":
        return signal.SIGQUIT
    return signal.SIGTERM if kind == "stop" and stop is None else None


def start_sampler(folder: Path) -> None:
    """Start a process that measures the job until we end; without it the job runs just as well."""
    command = [sys.executable, "-P", "-m", SAMPLER, str(folder), str(os.getpid())]
    try:
        child = os.fork()
    except OSError:
        return  # the node has no process to spare
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            log = os.open(folder / SAMPLER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.execv(sys.executable, command)
    finally:
        os._exit(0)  # whatever went wrong: this copy of the shim must not go on


def _write(path: Path, record: Mapping[str, object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
