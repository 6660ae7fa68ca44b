"""Whether the engine runs inside an allocation of Slurm, which bounds all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ..plan.schema import Plan
from ..session.allocation import Allocation

if TYPE_CHECKING:
    from .slurm_allocation import SlurmAllocation

AllocationWatch: TypeAlias = "SlurmAllocation | NoAllocation"


class NoAllocation:
    """The engine runs outside of any allocation: nothing is asked, and nothing ends."""

    node = ""
    shares = ()
    view = None

    def problems(self) -> Iterator[str]:
        """Yield nothing."""
        return iter(())

    def is_ending(self, now: float) -> bool:  # noqa: ARG002 - as in `SlurmAllocation`
        """Return False."""
        return False

    def close(self) -> None:
        """There is nothing to end."""


def watch_allocation(plan: Plan, environment: Mapping[str, str], on_change: Callable[[], None]) -> AllocationWatch:
    """Return the allocation around a process with these variables; its node and end are asked for by its methods.

    Args:
        plan: Plan of the session.
        environment: Variables of the session's shell.
        on_change: Called in the event loop when Slurm has answered.
    """
    allocation = Allocation.around(environment)
    if allocation is None:
        return NoAllocation()
    from .slurm_allocation import SlurmAllocation  # noqa: PLC0415 - most sessions do without

    return SlurmAllocation(allocation, plan, environment, on_change)
