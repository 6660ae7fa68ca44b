"""Readings of the GPUs as plain values.

A value that NVML does not know or cannot read is None, and is shown as "n/a". `Gpu.error` says why a GPU cannot
be used.
"""

from pydantic import BaseModel, ConfigDict


class GpuProcess(BaseModel):
    """A process that computes on a GPU.

    Attributes:
        pid: Its process id.
        memory_mib: GPU memory that it holds, MiB; None if the driver does not report it.
        user: Name of its owner; "" if unknown.
        run: The run of this session that it belongs to; "" for other processes.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    memory_mib: int | None = None
    user: str = ""
    run: str = ""


class Gpu(BaseModel):
    """One GPU, or one MIG device of a GPU, at one time; None means unknown.

    A MIG device has no utilization, because NVML measures none, and reports temperature and power of its whole GPU.

    Attributes:
        index: NVML index, in the order of the PCI bus; a MIG device has that of its GPU.
        uuid: "" if it could not be read.
        name: Name of the model.
        mig_index: Number of the MIG device within its GPU; None for a whole GPU.
        utilization_percent: Share of the last sample period in which a kernel ran, %.
        memory_used_mib: Memory in use by all processes, MiB.
        memory_total_mib: MiB.
        temperature_c: °C.
        power_w: W.
        error: Why the GPU cannot be used, in words; None for a working GPU.
        processes: Computing processes; None if unknown. In a container with process ids of its own, the driver lists
            none, or those of the host by their ids there.
        node: The machine; "" for this one.
        run: The run whose job has the GPU, on another machine.
        read_at: When it was read, on another machine, unix time in s.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    uuid: str = ""
    name: str = ""
    mig_index: int | None = None
    utilization_percent: int | None = None
    memory_used_mib: int | None = None
    memory_total_mib: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    error: str | None = None
    processes: tuple[GpuProcess, ...] | None = None
    node: str = ""
    run: str = ""
    read_at: float | None = None

    @property
    def label(self) -> str:
        """The short name on screens: `GPU 1`, `GPU 1 MIG 0`, or `n7 GPU 1` for another machine."""
        place = f"{self.node} " if self.node else ""
        return f"{place}GPU {self.index}" + ("" if self.mig_index is None else f" MIG {self.mig_index}")

    @property
    def memory_free_mib(self) -> int | None:
        """Free memory, MiB; None if unknown."""
        if self.memory_total_mib is None or self.memory_used_mib is None:
            return None
        return max(0, self.memory_total_mib - self.memory_used_mib)


class GpuReading(BaseModel):
    """All GPUs at one time.

    Attributes:
        gpus: The GPUs in the order of their indices.
        error: Why NVML cannot be used and what to do, in one sentence; None if it can.
        taken_at: When the reading started, unix time in s.
    """

    model_config = ConfigDict(frozen=True)

    gpus: tuple[Gpu, ...] = ()
    error: str | None = None
    taken_at: float

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """The working GPUs, which a run can be given."""
        return tuple(gpu for gpu in self.gpus if gpu.error is None)
