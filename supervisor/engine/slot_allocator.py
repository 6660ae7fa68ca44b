"""Selects the slots of a session when its GPUs become known."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from ..gpus.models import GpuReading
from ..gpus.node_slots import NodeShare, select_node_slots
from ..gpus.slot_selection import SlotRequest
from ..gpus.slots import Slot, available_slots
from ..gpus.visible_devices import GpuRequestError
from ..session.events import SlotsChosen
from .allocation_watch import AllocationWatch
from .session_store import SessionStore


class SlotAllocator:
    """Selects slots once per engine, and when Slurm tells of nodes, while no run occupies a slot selected earlier.

    Attributes:
        problem: Why no slots could be selected; "" if there is no problem.
    """

    def __init__(self, session: SessionStore, allocation: AllocationWatch) -> None:
        self._session = session
        self._allocation = allocation
        self._selected_for: tuple[NodeShare, ...] | None = None  # None: by an earlier engine
        runs = session.plan.runs.values()
        self._is_needed = any(run.takes_slot for run in runs) or all(run.is_local for run in runs)
        self.problem = ""

    def update(self, reading: GpuReading, own_pids: frozenset[int]) -> None:
        """Select the slots if that is due, and record them if they have changed.

        Args:
            reading: The GPUs as NVML reports them.
            own_pids: Processes of this session, which do not make a GPU busy.
        """
        state, shares = self._session.state, self._allocation.shares
        if not self._is_needed or shares is None or (state.slots is not None and self._selected_for == shares):
            return
        alive = (state.runs[name].last for name in self._session.index.alive())
        if any(attempt is not None and attempt.slot for attempt in alive):
            return
        try:
            self._select(reading, own_pids, shares)
        except (GpuRequestError, OSError) as error:
            self.problem = str(error)
        else:
            self._selected_for, self.problem = shares, ""

    def usable(self, reading: GpuReading | None, avoided: Collection[str]) -> tuple[Slot, ...] | None:
        """Return the slots whose GPU works, and whose node belongs to the allocation and is not avoided.

        Args:
            reading: The GPUs as NVML reports them.
            avoided: Nodes where nothing should start now.
        """
        slots = available_slots(self._session.state.slots, reading)
        if slots is None:
            return None
        nodes = {"", *(share.node for share in self._allocation.shares or ())}.difference(avoided)
        return tuple(slot for slot in slots if slot.node in nodes)

    def _select(self, reading: GpuReading, own_pids: frozenset[int], shares: Sequence[NodeShare]) -> None:
        settings, state = self._session.settings, self._session.state
        request = SlotRequest.for_plan(
            self._session.plan,
            gpus=settings.gpus,
            inherited=settings.environment.get("CUDA_VISIBLE_DEVICES"),
            parallel=settings.parallel,
            share=settings.share_gpu,
            cpu_slots=settings.cpu_slots,
        )
        selection = select_node_slots(reading, request, own_pids, self._allocation.node, shares)
        notes = (*((selection.reason,) if selection.reason else ()), *selection.notes)
        if not any(run.takes_slot for run in self._session.plan.runs.values()):
            notes = ()  # they would explain slots that no run uses
        if (selection.slots, selection.mode, notes) != (state.slots, state.mode, state.notes):
            self._session.record(SlotsChosen(at=time.time(), slots=selection.slots, mode=selection.mode, notes=notes))
