"""What Slurm says of the allocation in which the engine runs: its nodes, and its end, which may change at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

from ..gpus.node_slots import NodeShare
from ..launchers.slurm.batch_script import WARNING_S
from ..launchers.slurm.commands import SlurmCommands
from ..launchers.slurm.errors import SettingsError, SlurmError
from ..launchers.slurm.settings import settings_from_table
from ..plan.schema import Plan
from ..session.allocation import Allocation, stop_time
from ..session.snapshot import AllocationView

NEAR_S = 600.0  # before the end it is asked more often
ASK_S, ASK_NEAR_S = 300.0, 30.0  # between two questions to Slurm


class SlurmAllocation:
    """The nodes of the allocation, and its end, which bounds all runs.

    Args:
        allocation: The allocation, as the session's variables describe it.
        plan: Plan of the session; `signal_s` of its table `[slurm]` is how long before the end its runs are stopped.
        environment: Variables of the session's shell.
        on_change: Called in the event loop when Slurm has answered.
    """

    def __init__(
        self, allocation: Allocation, plan: Plan, environment: Mapping[str, str], on_change: Callable[[], None]
    ) -> None:
        self._allocation = allocation
        self._on_change = on_change
        self._commands = SlurmCommands(environment)
        self._task: asyncio.Task[None] | None = None
        self._asked_at: float | None = None  # monotonic time
        self._ends = allocation.ends
        self._begun = allocation.begun or time.time()
        self._signal_s = _signal_s(plan)
        self._problem = ""
        self._shares: tuple[NodeShare, ...] | None = None

    @property
    def node(self) -> str:
        """Slurm's name of this machine."""
        return self._allocation.node

    @property
    def shares(self) -> tuple[NodeShare, ...] | None:
        """What the allocation has on each node; empty where that stays unknown, None until Slurm has answered."""
        return self._shares

    @property
    def view(self) -> AllocationView:
        """What clients see of it."""
        return AllocationView(job_id=self._allocation.job_id, node=self._allocation.node, ends=self._ends)

    def problems(self) -> Iterator[str]:
        """Yield what a user should know about it."""
        if self._shares == () and self._allocation.nodes != 1:
            job_id, node = self._allocation.job_id, self._allocation.node
            reason = self._problem or "Slurm does not tell"
            yield f"the nodes of allocation {job_id} are not known, so only {node} is used: {reason}"
        if self._problem and self._ends is None:
            yield f"when allocation {self._allocation.job_id} ends is not known: {self._problem}"

    def is_ending(self, now: float) -> bool:
        """Return whether the runs have to stop now; ask Slurm again if that is due.

        Args:
            now: Unix time, s.
        """
        self._query(int(self._allocation.job_id), now)
        due = stop_time(self._ends, self._begun, self._signal_s) if self._ends is not None else None
        return due is not None and now >= due

    def close(self) -> None:
        """End a question that has no answer yet."""
        if self._task is not None:
            self._task.cancel()

    def _query(self, job_id: int, now: float) -> None:
        is_near = self._ends is not None and self._ends - now < NEAR_S
        pause_s = ASK_NEAR_S if is_near or self._shares == () else ASK_S
        is_due = self._asked_at is None or time.monotonic() - self._asked_at >= pause_s
        if is_due and (self._task is None or self._task.done()):
            self._asked_at = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._learn(job_id))

    async def _learn(self, job_id: int) -> None:
        try:
            job, shares = await self._commands.job_with_nodes(job_id)
        except SlurmError as error:
            self._problem = str(error)
            self._shares = self._shares or ()  # the runs do not wait for a better answer
        else:
            self._problem = ""
            self._shares = self._shares or shares  # a later answer may lack a node that has failed
            self._ends = job.must_end
            self._begun = job.started or self._begun
        self._on_change()


def _signal_s(plan: Plan) -> int:
    try:
        given = settings_from_table(plan.slurm, "slurm.").signal_s
    except SettingsError:  # a new session checks it; a plan that was changed by hand gets the default
        given = None
    return WARNING_S if given is None else given
