"""What Slurm says of a cluster: its partitions, and when a job would start. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import SlurmOutputError
from .queue import FIELD_END
from .values import utc_time

PARTITION_FORMAT = FIELD_END.join(("%P", "%a", "%l", "%D", "%c", "%m", "%G"))


@dataclass(frozen=True)
class Partition:
    """One line of sinfo: nodes of a partition that are alike.

    Attributes:
        name: Name of the partition.
        is_default: Whether jobs that name no partition go there.
        is_up: Whether it accepts and starts jobs.
        time_limit: As Slurm writes it, such as 1-00:00:00 or infinite.
        nodes: How many nodes.
        cpus: CPUs of a node.
        memory_mib: Memory of a node, MiB.
        gres: Generic resources of a node, such as gpu:4; empty if it has none.
    """

    name: str
    is_default: bool
    is_up: bool
    time_limit: str
    nodes: int
    cpus: int
    memory_mib: int
    gres: str


@dataclass(frozen=True)
class PlannedStart:
    """When and where Slurm would start a job, as far as it says.

    Attributes:
        at: Unix time, s.
        nodes: Compressed list of nodes.
    """

    at: float | None
    nodes: str


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """Parse `sinfo -h -e -o PARTITION_FORMAT`.

    Raises:
        SlurmOutputError: A line is malformed.
    """
    return tuple(_partition(line) for line in text.split("\n") if line.strip())


def parse_planned_start(text: str) -> PlannedStart:
    """Parse what `sbatch --test-only` writes to its standard error."""
    match = re.search(r"to start at (\S+) .*?on nodes (\S+)", text)
    return PlannedStart(utc_time(match[1]), match[2]) if match else PlannedStart(None, "")


def _partition(line: str) -> Partition:
    fields = line.split(FIELD_END)
    if len(fields) != 7:
        raise SlurmOutputError(f"sinfo: expected 7 fields, found {len(fields)}: {line[:200]}")
    name, available, limit, *numbers, gres = fields
    try:
        nodes, cpus, memory = (int(number.rstrip("+KMG")) for number in numbers)
    except ValueError:
        raise SlurmOutputError(f"sinfo: not a number in: {line[:200]}") from None
    return Partition(
        name=name.rstrip("*"),
        is_default=name.endswith("*"),
        is_up=available == "up",
        time_limit=limit,
        nodes=nodes,
        cpus=cpus,
        memory_mib=memory,
        gres="" if gres in ("(null)", "N/A") else gres,
    )
