"""Selection of the GPUs that a session uses. Pure: no NVML, no files, no clock.

A GPU is *free* if no other process computes on it and it has room for the largest run. Inside a container NVML
hides processes of other containers, so an empty or unknown process list proves nothing: a GPU of whose memory more
than 1 GiB or more than 10 % is in use then counts as in use, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from ..plan.schema import Plan
from .models import Gpu, GpuReading
from .slots import Slot
from .visible_devices import no_gpu_reason, pci_order, requested_gpus, visible_gpus


class SlotSelection(BaseModel):
    """The slots of a session.

    Attributes:
        slots: At least one.
        mode: Whether several runs may train at once.
        notes: Notes for the log, such as GPUs that were left out.
        reason: Why the mode is sequential; "" if it is parallel.
    """

    model_config = ConfigDict(frozen=True)

    slots: tuple[Slot, ...]
    mode: Literal["parallel", "sequential"]
    notes: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class SlotRequest:
    """A request for slots: the options of the user and the needs of the plan.

    Attributes:
        gpus: Value of `--gpus`: indices or UUIDs, or "none"; None selects automatically.
        inherited: CUDA_VISIBLE_DEVICES of the user's shell, within which indices of `gpus` count; None if not set.
        parallel: Whether several runs may train at once.
        share: Whether a GPU takes as many runs at once as fit into its free memory.
        cpu_slots: Value of `--cpu-slots`: how many slots the CPU becomes, instead of any GPU; None if not given.
        width: Most slots that are selected automatically.
        needed_mib: GPU memory that the largest run needs, MiB.
        preferred: NVML indices of the GPUs that are selected first, in this order.
    """

    gpus: str | None = None
    inherited: str | None = None
    parallel: bool = True
    share: bool = False
    cpu_slots: int | None = None
    width: int = 2
    needed_mib: int = 0
    preferred: tuple[int, ...] = (1, 2)

    @classmethod
    def for_plan(
        cls,
        plan: Plan,
        *,
        gpus: str | None = None,
        inherited: str | None = None,
        parallel: bool = True,
        share: bool = False,
        cpu_slots: int | None = None,
    ) -> Self:
        """Return the request of a plan: as many slots as its runs can use at once, and the memory of the largest."""
        runs = [run for run in plan.runs.values() if run.takes_slot]
        numbered = [run.slot + 1 for run in runs if isinstance(run.slot, int)]
        width = len(runs) if any(run.slot is None for run in runs) else max(numbered, default=1)
        return cls(
            gpus=gpus,
            inherited=inherited,
            parallel=parallel,
            share=share,
            cpu_slots=cpu_slots,
            width=max(1, width),
            needed_mib=max((run.gpu_memory_mib or 0 for run in runs), default=0),
        )


def select_slots(reading: GpuReading, request: SlotRequest, own_pids: frozenset[int] = frozenset()) -> SlotSelection:
    """Select the slots of a session: one per GPU, or a single CPU slot unless `request.cpu_slots` asks for more.

    Without `request.gpus`, at most `request.width` free GPUs are taken, the preferred indices first; a preferred
    GPU that is absent or busy is replaced by the idlest free one.

    Args:
        reading: The GPUs as NVML reports them.
        request: The options of the user and the needs of the plan.
        own_pids: Processes of this session, which do not make a GPU busy.

    Returns:
        At least one slot, the mode (parallel or sequential) and notes for the log.

    Raises:
        GpuRequestError: `request.gpus` is malformed, names a GPU twice, or names one that cannot be used.
    """
    if request.cpu_slots is not None:
        return _cpu_slots(request.cpu_slots)
    if request.gpus is not None and request.gpus.strip().lower() == "none":
        return _cpu_slot("--gpus none asks for the CPU")
    occupancy = _GpuOccupancy(own_pids, request.needed_mib)
    selection = _exclusive_slots(reading, request, occupancy)
    return _shared(selection, reading, occupancy, request.needed_mib) if request.share else selection


def _exclusive_slots(reading: GpuReading, request: SlotRequest, occupancy: _GpuOccupancy) -> SlotSelection:
    """Select slots that hold one run at a time."""
    visible, notes = visible_gpus(reading, request.inherited)
    if request.gpus is not None:
        gpus = requested_gpus(request.gpus, reading, visible, request.inherited)
        notes += [
            f"{gpu.label} {why}; --gpus selects it all the same"
            for gpu in gpus
            if (why := occupancy.unavailable_reason(gpu))
        ]
        return _select(gpus, request.parallel, notes, f"--gpus {request.gpus.strip()} names one GPU")
    candidates = sorted({gpu for entry in visible for gpu in entry}, key=pci_order)
    usable = sorted((gpu for gpu in candidates if gpu.error is None), key=_by_idleness)
    if not usable:
        return _cpu_slot(no_gpu_reason(reading, request.inherited), notes)
    notes += [f"{gpu.label} is left out: {gpu.error}" for gpu in candidates if gpu.error is not None]
    return _automatic(usable, request, occupancy, notes)


class _GpuOccupancy:
    """The use of GPUs by this session and by other processes, as far as NVML reports it."""

    def __init__(self, own_pids: frozenset[int], needed_mib: int) -> None:
        self._own_pids = own_pids
        self._needed_mib = needed_mib

    def unavailable_reason(self, gpu: Gpu) -> str:
        """Return why a GPU is not free, to follow its name in a sentence; "" if it is free."""
        processes = gpu.processes or ()
        others = sum(process.pid not in self._own_pids for process in processes)
        if others:
            return f"is in use by {others} other process{'es' if others > 1 else ''}"
        if not processes and is_memory_held(gpu):
            return f"is in use by a hidden process ({gpu.memory_used_mib} MiB of its memory are in use)"
        if gpu.memory_free_mib is None:
            return ""
        available = self.available_mib(gpu) or 0
        enough = available >= self._needed_mib
        return "" if enough else f"has only {available} MiB free of the {self._needed_mib} MiB needed"

    def available_mib(self, gpu: Gpu) -> int | None:
        """Return the memory for runs of this session, including what they hold already, MiB; None if unknown."""
        own = sum(process.memory_mib or 0 for process in gpu.processes or () if process.pid in self._own_pids)
        return None if gpu.memory_free_mib is None else gpu.memory_free_mib + own


def is_memory_held(gpu: Gpu) -> bool:
    """Return whether so much memory is in use (over 1 GiB, or over 10 %) that a process must hold it."""
    used, total = gpu.memory_used_mib, gpu.memory_total_mib
    return used is not None and total is not None and used > min(1024, total / 10)


def _by_idleness(gpu: Gpu) -> tuple[int, int, int, int]:
    """Return the key that sorts the idlest GPU first.

    Most free memory, then least utilization, then lowest index; unknown values come last.
    """
    free = gpu.memory_free_mib
    utilization = gpu.utilization_percent
    return (1 if free is None else -free, 101 if utilization is None else utilization, gpu.index, gpu.mig_index or 0)


def _cpu_slot(reason: str, notes: Sequence[str] = ()) -> SlotSelection:
    return SlotSelection(slots=(Slot(index=0, name="CPU"),), mode="sequential", notes=tuple(notes), reason=reason)


def _cpu_slots(count: int) -> SlotSelection:
    if count == 1:
        return _cpu_slot("--cpu-slots 1 asks for one run at a time")
    slots = tuple(Slot(index=index, name=f"CPU slot {index}") for index in range(count))
    return SlotSelection(slots=slots, mode="parallel")


def _select(gpus: Sequence[Gpu], parallel: bool, notes: Sequence[str], why_one: str) -> SlotSelection:
    """Return slots on `gpus`, or on the first alone unless `parallel`; `why_one` says why there is only one GPU."""
    several = parallel and len(gpus) > 1
    slots = tuple(
        Slot(index=at, gpu_index=gpu.index, gpu_uuid=gpu.uuid or None, name=gpu.label)
        for at, gpu in enumerate(gpus if several else gpus[:1])
    )
    reason = "" if several else why_one if parallel else "--no-parallel asks for one run at a time"
    return SlotSelection(slots=slots, mode="parallel" if several else "sequential", notes=tuple(notes), reason=reason)


def _shared(selection: SlotSelection, reading: GpuReading, occupancy: _GpuOccupancy, needed_mib: int) -> SlotSelection:
    """Return `selection` with GPUs that hold several runs at once; the largest run needs `needed_mib` MiB."""
    gpus = {gpu.label: gpu for gpu in reading.gpus}
    gpu_slots = [slot for slot in selection.slots if slot.gpu_index is not None]
    if not gpu_slots:
        return selection
    slots = tuple(
        slot.model_copy(update={"shared_mib": occupancy.available_mib(gpus[slot.name])}) for slot in gpu_slots
    )
    notes = [_sharing_note(slot) for slot in slots]
    available = slots[0].shared_mib
    if len(slots) == 1 and (available is None or available < 2 * needed_mib):
        too_small = f"{selection.reason}, and {slots[0].name} has no room for two of the largest run"
        reason = selection.reason if available is None else too_small
        return selection.model_copy(update={"slots": slots, "notes": (*selection.notes, *notes), "reason": reason})
    return SlotSelection(slots=slots, mode="parallel", notes=(*selection.notes, *notes))


def _sharing_note(slot: Slot) -> str:
    if slot.shared_mib is None:
        return f"{slot.name} does not report its free memory, so it holds one run at a time"
    return f"{slot.name} is shared by runs that expect at most {slot.shared_mib} MiB together"


def _automatic(
    usable: Sequence[Gpu], request: SlotRequest, occupancy: _GpuOccupancy, notes: list[str]
) -> SlotSelection:
    """Select among `usable` GPUs, idlest first, where the user named none."""
    obstacles = {id(gpu): occupancy.unavailable_reason(gpu) for gpu in usable}
    notes = notes + [f"{gpu.label} {why}" for gpu in sorted(usable, key=pci_order) if (why := obstacles[id(gpu)])]
    free = [gpu for gpu in usable if not obstacles[id(gpu)]]
    if not free:
        notes.append(f"no GPU is free; {usable[0].label}, the idlest, is used")
        return _select(usable[:1], request.parallel, notes, "no GPU is free")
    chosen = _preferred_or_idlest(free, request.width if request.parallel else 1, request.preferred)
    if len(free) > 1:
        why_one = "the plan needs only one slot"
    else:
        why_one = f"{free[0].label} is the only {'GPU to use' if len(usable) == 1 else 'free GPU'}"
    return _select(chosen, request.parallel, notes, why_one)


def _preferred_or_idlest(free: Sequence[Gpu], width: int, preferred: Sequence[int]) -> list[Gpu]:
    """Return at most `width` of the `free` GPUs, which are sorted by idleness.

    Position i is for GPU `preferred[i]`; the idlest other GPUs replace those that are not free.
    """
    others = list(free)
    positions: list[Gpu | None] = []
    for index in preferred:
        found = next((gpu for gpu in others if gpu.index == index), None)
        positions.append(found)
        if found is not None:
            others.remove(found)
    # A preferred GPU beyond the width goes before any other as a replacement.
    replacements = [gpu for gpu in positions[width:] if gpu is not None] + others
    positions = positions[:width] + [None] * (width - len(positions))
    filled = [gpu if gpu is not None else replacements.pop(0) if replacements else None for gpu in positions]
    return [gpu for gpu in filled if gpu is not None]
