"""The allocation of Slurm in which a session runs. Pure: an allocation is known by its environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


@dataclass(frozen=True)
class Allocation:
    """A job of Slurm that somebody else has started, and in which this process runs.

    Attributes:
        job_id: Number of the job.
        node: Slurm's name of this node; "" on a machine that is no node of the job, as in a login node's `salloc`.
        nodes: How many nodes the job has; None where the variables do not tell: in a step they are those of the step.
        begun: Unix time, s; None if Slurm's version does not tell.
        ends: Unix time at which Slurm expected it to end when it began, s; None if it does not tell.
    """

    job_id: str
    node: str = ""
    nodes: int | None = None
    begun: float | None = None
    ends: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the allocation of a process with these variables; None outside of one."""
        job_id = environment.get("SLURM_JOB_ID", "")
        if not _NUMBER.fullmatch(job_id):
            return None
        return cls(
            job_id,
            node=environment.get("SLURMD_NODENAME", ""),
            nodes=None if "SLURM_STEP_ID" in environment else _number(environment.get("SLURM_JOB_NUM_NODES")),
            begun=_number(environment.get("SLURM_JOB_START_TIME")),
            ends=_number(environment.get("SLURM_JOB_END_TIME")),
        )

    @classmethod
    def around(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the allocation if the process runs on one of its nodes; else None."""
        allocation = cls.of(environment)
        return allocation if allocation is not None and allocation.node else None

    def is_same_place(self, other: Allocation | None) -> bool:
        """Return whether the other is the same job on the same node."""
        return other is not None and (self.job_id, self.node) == (other.job_id, other.node)


def stop_time(ends: float, begun: float, signal_s: float) -> float | None:
    """Return when the runs have to be told to stop, as Slurm would be asked to tell jobs of ours.

    Args:
        ends: End of the allocation, unix time, s.
        begun: Its start, unix time, s.
        signal_s: How long before the end they are told; at most a quarter of the whole time; 0 for never.
    """
    return ends - min(signal_s, max(0.0, ends - begun) / 4) if signal_s > 0 else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) and int(text) > 0 else None
