"""Slots inside an allocation of Slurm, on all its nodes. Pure.

The GPUs of this machine are selected as anywhere else. Those of other nodes cannot be asked from here: each GPU that
Slurm has granted there is a slot. The same holds for this machine where NVML cannot be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .models import GpuReading
from .slot_selection import SlotRequest, SlotSelection, select_slots
from .slots import Slot
from .visible_devices import GpuRequestError, hides_all


@dataclass(frozen=True)
class NodeShare:
    """What an allocation has on one node.

    Attributes:
        node: Slurm's name of it.
        gpus: Indices of the GPUs there.
        cores: Number of cores; None if Slurm does not tell.
    """

    node: str
    gpus: tuple[int, ...] = ()
    cores: int | None = None


def select_node_slots(
    reading: GpuReading, request: SlotRequest, own_pids: frozenset[int], node: str, shares: Sequence[NodeShare]
) -> SlotSelection:
    """Select the slots of a session: first on this machine, then on the other nodes of an allocation in order.

    Without `request.gpus`, at most `request.width` GPUs are taken. Indices in `request.gpus` count on each node among
    the GPUs that Slurm has granted there. Nodes without a GPU are left out where another one has GPUs. For runs on the
    CPU, each node has the same number of slots.

    Args:
        reading: The GPUs of this machine as NVML reports them.
        request: The options of the user and the needs of the plan.
        own_pids: Processes of this session.
        node: Slurm's name of this machine.
        shares: The shares of all nodes; empty outside of an allocation.

    Raises:
        GpuRequestError: `request.gpus` is malformed, or names a GPU that cannot be used.
    """
    if not shares:
        return select_slots(reading, request, own_pids)
    own = next((share for share in shares if share.node == node), NodeShare(node))
    others = [share for share in shares if share.node != node]
    if _is_granted(own, reading, request):
        here = SlotSelection(slots=_gpu_slots(own, request, request.width, place=""), mode="parallel")
    else:
        here = select_slots(reading, request, own_pids)
    has_gpu = here.slots[0].gpu_index is not None
    if not (others or has_gpu):
        return here
    if not request.parallel and (has_gpu or not any(share.gpus for share in others)):
        return _joined(here.slots[:1], here.notes, "--no-parallel asks for one run at a time")
    if _requests_cpu(request):
        return _joined([*here.slots, *_cpu_slots(others, request.cpu_slots or 1)], here.notes, here.reason)
    if not has_gpu and not any(share.gpus for share in others):
        slots = [*here.slots, *_cpu_slots(others, 1)]
        return _joined(slots[: request.width], (*here.notes, here.reason), "the plan needs only one slot")
    return _with_gpus_of_others(here, request, own, others)


def _with_gpus_of_others(
    here: SlotSelection, request: SlotRequest, own: NodeShare, others: Sequence[NodeShare]
) -> SlotSelection:
    """Return the selection with the GPUs of the other nodes; some node has one."""
    slots = [slot for slot in here.slots if slot.gpu_index is not None]
    notes = [*here.notes, *([] if slots else [f"no run trains on {own.node}: {here.reason}"])]
    if slots and not own.gpus:
        notes.append(f"Slurm has granted no GPU on {own.node}: those that NVML shows may belong to others")
    if _positions(request) is None and request.gpus is not None:
        notes.append(f"--gpus names GPUs of {own.node} by their UUIDs, so no run trains on the other nodes")
        return _joined(slots, notes, here.reason)
    for share in others:
        slots += _gpu_slots(share, request, request.width - len(slots), place=share.node)
        if not share.gpus:
            notes.append(f"no run trains on {share.node}: Slurm has granted no GPU there")
    if request.share and len(slots) > len(here.slots):
        notes.append("the GPUs of other nodes hold one run at a time: their free memory is not known here")
    if not request.parallel:
        return _joined(slots[:1], notes, "--no-parallel asks for one run at a time")
    return _joined(slots, notes, here.reason or "the plan needs only one slot")


def _is_granted(own: NodeShare, reading: GpuReading, request: SlotRequest) -> bool:
    """Return whether only Slurm knows the GPUs of this machine, and the user does not hide them."""
    is_unread = reading.error is not None or not reading.gpus
    names_uuids = request.gpus is not None and _positions(request) is None
    wanted = not (_requests_cpu(request) or names_uuids or hides_all(request.inherited))
    return bool(own.gpus) and is_unread and wanted


def _requests_cpu(request: SlotRequest) -> bool:
    return request.cpu_slots is not None or (request.gpus or "").strip().lower() == "none"


def _positions(request: SlotRequest) -> list[int] | None:
    """Return the indices in `--gpus`; None if it is not given or does not consist of indices."""
    names = [name.strip() for name in (request.gpus or "").split(",")]
    is_index = all(name.isascii() and name.isdigit() and len(name) < 10 for name in names)
    return list(map(int, names)) if is_index else None


def _gpu_slots(share: NodeShare, request: SlotRequest, room: int, place: str) -> tuple[Slot, ...]:
    """Return the slots on the GPUs of a node.

    Args:
        share: The node.
        request: The request.
        room: Most slots that are selected automatically.
        place: Its name, or "" for this machine.

    Raises:
        GpuRequestError: The request names a GPU twice, or one that it does not have.
    """
    positions = _positions(request)
    if positions is None:
        positions = list(range(min(max(0, room), len(share.gpus))))
    if len(set(positions)) < len(positions):
        raise GpuRequestError(f"--gpus {request.gpus}: a GPU is named twice")
    missing = [position for position in positions if position >= len(share.gpus)]
    if missing and share.gpus:
        exists = "0" if len(share.gpus) == 1 else f"0-{len(share.gpus) - 1}"
        raise GpuRequestError(
            f"--gpus {request.gpus}: there is no GPU {missing[0]} on {share.node}, which has {exists}"
        )
    if missing:
        return ()
    cores = max(1, share.cores // len(positions)) if place and share.cores and positions else None
    return tuple(
        Slot(
            index=0,
            gpu_index=share.gpus[position],
            name=f"{place} GPU {share.gpus[position]}".strip(),
            node=place,
            granted=(position, len(share.gpus)),
            cores=cores,
        )
        for position in positions
    )


def _cpu_slots(shares: Sequence[NodeShare], count: int) -> Iterator[Slot]:
    for share in shares:
        cores = max(1, share.cores // count) if share.cores else None
        for number in range(count):
            name = f"{share.node} CPU" if count == 1 else f"{share.node} CPU slot {number}"
            yield Slot(index=0, name=name, node=share.node, cores=cores)


def _joined(slots: Sequence[Slot], notes: Sequence[str], why_one: str) -> SlotSelection:
    """Return a selection of these slots, numbered from 0; `why_one` says why there is only one."""
    numbered = tuple(slot.model_copy(update={"index": index}) for index, slot in enumerate(slots))
    is_parallel = len(numbered) > 1 or numbered[0].shared_mib is not None
    return SlotSelection(
        slots=numbered,
        mode="parallel" if is_parallel else "sequential",
        notes=tuple(notes),
        reason="" if is_parallel else why_one,
    )
