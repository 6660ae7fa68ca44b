"""Start of a shim inside a Slurm job: `python -I -S job_shim.py FOLDER [PARENT]`, the last step of the batch script.

It completes the attempt's environment with what only the node knows (variables of Slurm, of the setup lines and of the
site), leaves a note of job and node, and becomes the shim. It ends with the command's exit code, as a shell would, so
that Slurm's own dependencies (afterok) and accounting tell success from failure. It imports the standard library
alone, and our package not at all, since a node's Python may lack everything else.

In a job of several attempts, PARENT is the process that has started all shims. If that is killed, Slurm takes the job
for ended, but its tracking of processes may miss the shims. So each of them then gets SIGTERM, as at a time limit.

A sampler is started beside the shim, see gpu_sampler. It is not a descendant of the shim, which would wait for it.

A job that Slurm has started after others does nothing unless the attempts before it have succeeded by their own
records. Its attempt then never starts, and the engine decides anew.

`spec.json` of a job has these keys beside the shim's own: `shim`, the path of shim.py; `kept`, names of variables that
the node decides, such as CUDA_VISIBLE_DEVICES; `follows`, folders of the attempts before it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PR_SET_PDEATHSIG = 1
READY = 3  # the shim's descriptor for an engine that waits for the start; nobody does here
NOTE = "job.json"
SAMPLER = "pmssm.supervisor.launchers.slurm.gpu_sampler"
SAMPLER_LOG = "sampler.log"
NOT_OURS = 75  # exit code where another process has claimed the attempt: "try again later" in sysexits.h
STOPPED = 143  # exit code of a shell whose command was ended by SIGTERM
RECORD_S = 60.0  # for the record of an attempt before this one to become visible


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
    """Return the exit code of a shell for the command that `record` tells of, or NOT_OURS without one.

    A command that was told to stop has not succeeded, even if it exits with 0: no job must start after it.
    """
    if record is None:
        return NOT_OURS
    code, signal = record.get("exit_code"), record.get("signal")
    if code == 0 and record.get("stop") is not None:
        return STOPPED
    return code if isinstance(code, int) else 128 + signal if isinstance(signal, int) else 1


def has_succeeded(folder: Path, deadline_s: float = RECORD_S) -> bool:
    """Return whether an attempt exited with code 0 without being told to stop.

    Args:
        folder: Its folder.
        deadline_s: How long its record may take to appear here: it was written on another node.
    """
    give_up = time.monotonic() + deadline_s
    while True:
        try:
            os.listdir(folder)  # noqa: PTH208 - over NFS this node then asks the server again
            record = json.loads((folder / "exit.json").read_text(encoding="utf-8"))
            return record["exit_code"] == 0 and record.get("stop") is None
        except (OSError, ValueError):
            if time.monotonic() >= give_up:
                return False
        except (KeyError, TypeError, AttributeError):
            return False
        time.sleep(0.2)


def refuse(folder: Path) -> None:
    """Make sure that no shim ever carries out the attempt, as an engine does; it finds the same mark."""
    temporary = folder / f".process.json.{os.getpid()}"
    temporary.write_text(json.dumps({"void": True}), encoding="utf-8")
    try:
        os.link(temporary, folder / "process.json")
    except FileExistsError:
        pass  # an engine or another shim was faster
    finally:
        temporary.unlink()


def main(folder: Path) -> int:
    """Run the attempt in `folder` and return the exit code of the job."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    if not all(has_succeeded(Path(other)) for other in spec.get("follows", ())):
        refuse(folder)
        return NOT_OURS
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


def end_with(parent: int) -> None:
    """Let this process get SIGTERM when its parent ends; now, if it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


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
    if len(sys.argv) > 2:
        end_with(int(sys.argv[2]))
    sys.exit(main(Path(sys.argv[1])))
