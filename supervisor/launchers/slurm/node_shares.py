"""What a job was given on each of its nodes, from `scontrol --oneliner --details show job`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from ...gpus.node_slots import NodeShare

MAX_NODES = 10_000  # of one job
# `Nodes=n[1-2] CPU_IDs=0-3 Mem=0 GRES=gpu:a100:2(IDX:0-1)`; without generic resources nothing follows `GRES=`.
_SHARE = re.compile(r"\bNodes=(\S+) CPU_IDs=(\S*) Mem=\S*(?: GRES=(\S*))?")
_GPUS = re.compile(r"(?:^|,)gpu(?::[^:,()]+)?:(\d{1,4})(?:\((\w+):([^)]*)\))?")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def parse_node_shares(text: str) -> tuple[NodeShare, ...]:
    """Return the share of each node, in Slurm's order; empty where Slurm does not tell."""
    shares = []
    for nodes, cpus, gres in _SHARE.findall(text):
        cores = len(_numbers(cpus))
        share = (tuple(_gpu_indices(gres)), cores or None)
        shares += [NodeShare(node, *share) for node in expand_nodes(nodes)]
    return tuple(shares[:MAX_NODES])


def expand_nodes(text: str) -> list[str]:
    """Return the names in Slurm's short form of a list of nodes, such as `login,n[1-3,07]`; at most MAX_NODES."""
    parts = re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text)
    return list(islice((name for part in parts for name in _expand_one(part)), MAX_NODES))


def _expand_one(text: str) -> Iterator[str]:
    before, bracket, rest = text.partition("[")
    inside, _, after = rest.partition("]")
    if not bracket:
        yield text
        return
    ends = list(islice(_expand_one(after), MAX_NODES))
    for part in inside.split(","):
        first, _, last = part.partition("-")
        if not _RANGE.fullmatch(part):
            continue
        for number in range(int(first), int(last or first) + 1):
            yield from (f"{before}{number:0{len(first)}}{end}" for end in ends)


def _gpu_indices(gres: str) -> Iterator[int]:
    """Yield the indices of the GPUs in `gpu:a100:2(IDX:0-1),gpu:v100:1(IDX:2)`.

    Where Slurm does not tell an index, the GPUs are counted on.
    """
    used = 0
    for count, key, indices in _GPUS.findall(gres):
        numbers = _numbers(indices) if key == "IDX" else []
        yield from numbers or range(used, used + int(count))
        used += int(count)


def _numbers(text: str) -> list[int]:
    """Return the numbers in `0-3,8`."""
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is not None:
            first = int(match[1])
            found += range(first, min(int(match[2] or first), first + MAX_NODES) + 1)
    return found
