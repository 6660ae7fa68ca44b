"""Start of a shim inside a Slurm job: `python -I -S job_shim.py FOLDER`, the last step of the batch script.

It completes the attempt's environment with what only the node knows (variables of Slurm, of the setup lines and of the
site), leaves a note of job and node, and becomes the shim. It ends with the command's exit code, as a shell would, so
that Slurm's own dependencies (afterok) and accounting tell success from failure. It imports the standard library
alone, and our package not at all, since a node's Python may lack everything else.

A sampler is started beside the shim, see gpu_sampler. It is not a descendant of the shim, which would wait for it.

`spec.json` of a job has these keys beside the shim's own: `shim`, the path of shim.py; `kept`, names of variables that
the node decides, such as CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

READY = 3  # the shim's descriptor for an engine that waits for the start; nobody does here
NOTE = "job.json"
SAMPLER = "pmssm.supervisor.launchers.slurm.gpu_sampler"
SAMPLER_LOG = "sampler.log"
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


def exit_status(record: Mapping[str, object] | None) -> int:
    """Return the exit code of a shell for the command that `record` tells of, or NOT_OURS without one."""
    if record is None:
        return NOT_OURS
    code, signal = record.get("exit_code"), record.get("signal")
    return code if isinstance(code, int) else 128 + signal if isinstance(signal, int) else 1


def main(folder: Path) -> int:
    """Run the attempt in `folder` and return the exit code of the job."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
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
    module_spec = importlib.util.spec_from_file_location("shim", spec["shim"])
    if module_spec is None or module_spec.loader is None:
        raise SystemExit(f"{spec['shim']}: not a Python file")
    shim = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(shim)
    null = os.open(os.devnull, os.O_RDWR)
    if null != READY:
        os.dup2(null, READY)
        os.close(null)

    class JobShim(shim.Shim):  # type: ignore[name-defined,misc]
        def _write_process(self, **more: object) -> None:
            super()._write_process(**more)
            os.fsync(self.process)  # over NFS the engine would see it only when this node writes its cache back

    attempt = JobShim(str(folder))
    attempt.spec = spec
    attempt.run()
    return exit_status(attempt.exit)


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
