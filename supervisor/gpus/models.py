"""What NVML says about the GPUs, as plain values; no error of NVML's ever leaves this module.

`read_gpus()` reads once, `GpuPoller` keeps a fresh reading from a thread of its own. What NVML does not
know, or fails to tell, is None and is shown as "n/a"; a GPU that is out of order says so in `Gpu.error`.
Importing this module does not import pynvml: that happens at the first reading.
"""

from pydantic import BaseModel, ConfigDict


class GpuProcess(BaseModel):
    """A process that computes on a GPU; `memory_mib` (MiB) is None where the driver does not tell.

    `user` is its owner, "" where the system does not tell; `run` is the run that it belongs to, "" for others.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    memory_mib: int | None = None
    user: str = ""
    run: str = ""


class Gpu(BaseModel):
    """One GPU, or one MIG device of a GPU, at one moment; None means unknown.

    `index` is NVML's, which is the order of the PCI bus; a MIG device has its GPU's index and a `mig_index`
    of its own. `uuid` is "" when it could not be had. `processes` lists computing processes alone, and is
    empty for everybody inside a container that hides pids. A MIG device has no utilisation (NVML keeps
    none) and shows its whole GPU's temperature and power.
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

    @property
    def label(self) -> str:
        """The short name a user reads: `GPU 1`, or `GPU 1 MIG 0`."""
        return f"GPU {self.index}" if self.mig_index is None else f"GPU {self.index} MIG {self.mig_index}"

    @property
    def memory_free_mib(self) -> int | None:
        """Memory nobody holds (MiB), None if unknown."""
        if self.memory_total_mib is None or self.memory_used_mib is None:
            return None
        return max(0, self.memory_total_mib - self.memory_used_mib)


class GpuReading(BaseModel):
    """All GPUs at one moment. `error` is one sentence (what is wrong, what to do) when NVML can't be had."""

    model_config = ConfigDict(frozen=True)

    gpus: tuple[Gpu, ...] = ()
    error: str | None = None
    taken_at: float  # when the reading began: seconds since the epoch

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """The GPUs a run can be given: those in order."""
        return tuple(gpu for gpu in self.gpus if gpu.error is None)
