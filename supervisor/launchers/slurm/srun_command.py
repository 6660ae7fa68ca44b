"""The command line and the environment of srun for one attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .batch_script import NODE_DECIDES
from .programs import without_options


def srun_command(
    job_id: str, node: str, name: str, folder: Path, *, granted: tuple[int, int] | None, python: Path, runner: Path
) -> list[str]:
    """Return the command that starts an attempt as a step on another node of the allocation.

    Steps share all that the job has on the node (`--overlap`), and never wait for each other: which run has which GPU
    is decided by the slots. Without `--gres` a step is given all GPUs of its job on the node.

    Args:
        job_id: The allocation.
        node: Where it runs.
        name: Name of the step.
        folder: Folder of the attempt, absolute, which the node sees under the same path.
        granted: Position of its GPU among those that Slurm has granted on the node, and their number.
        python: Interpreter on the node.
        runner: Path of bundle_runner.py there.
    """
    share = [] if granted is None else [f"--share={granted[0]}/{granted[1]}"]
    return [
        "srun",
        f"--jobid={job_id}",
        f"--nodelist={node}",
        f"--job-name={name}",
        f"--chdir={folder}",
        "--nodes=1",
        "--ntasks=1",
        "--overlap",
        "--mem=0",  # all of the job's memory on the node, none of it for this step alone
        "--cpu-bind=none",
        "--mpi=none",
        "--input=none",
        "--export=ALL",
        *(str(python), "-I", "-S", str(runner), *share, str(folder)),
    ]


def srun_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of srun, which is that of the step, too.

    Args:
        inherited: Variables of the session.
    """
    return {name: text for name, text in without_options(inherited).items() if name not in NODE_DECIDES}
