"""What the sampler in a job measures, as a file in the attempt's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...files import read_object, write_atomic
from ...gpus.models import GpuReading
from ...session.observation import ResourceUsage

SAMPLES = "gpus.json"
INTERVAL_S = 5.0  # between two writes; the shared disk serves many jobs


class Sample(BaseModel):
    """Resources of one job at one time.

    Attributes:
        gpus: The GPUs that the job may use; None until the driver has answered.
        cpu_percent: Of the processes of the attempt, % of one core; None at the first measurement.
        memory_mib: Resident memory of these processes, MiB.
    """

    model_config = ConfigDict(frozen=True)

    gpus: GpuReading | None = None
    cpu_percent: float | None = Field(default=None, ge=0, le=1e8, allow_inf_nan=False)
    memory_mib: float = Field(ge=0, le=1e12, allow_inf_nan=False)

    def write(self, folder: Path) -> None:
        """Write the sample into the attempt's folder.

        Raises:
            OSError: It cannot be written.
        """
        write_atomic(folder / SAMPLES, self.model_dump_json(), sync=False)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the newest sample, or None without a valid one."""
        try:
            return cls.model_validate(read_object(folder / SAMPLES))
        except ValidationError:
            return None


class SampleFile:
    """The newest sample in an attempt's folder, read again once it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[int, Sample | None] = (0, None)  # with the time of the file

    def newest(self, changed_at: int) -> Sample | None:
        """Return the newest sample; None without one.

        Args:
            changed_at: Time of the file by the clock of the disk, ns; 0 without one.
        """
        if changed_at and changed_at != self._known[0]:
            self._known = changed_at, Sample.read(self._folder)
        return self._known[1]


@runtime_checkable
class Sampled(Protocol):
    """An attempt beside which a sampler runs."""

    def sample(self) -> Sample | None:
        """Return the newest sample; None without one."""


def sampled_usage(attempts: Mapping[str, object]) -> dict[str, ResourceUsage]:
    """Return the resource usage that samplers have measured last, by the keys of the attempts."""
    return {
        run: ResourceUsage(frozenset(), sample.cpu_percent, sample.memory_mib) for run, sample in _samples(attempts)
    }


def sampled_gpus(attempts: Mapping[str, object]) -> dict[str, GpuReading]:
    """Return the GPUs that samplers have read last; `taken_at` tells the age."""
    return {run: sample.gpus for run, sample in _samples(attempts) if sample.gpus is not None}


def _samples(attempts: Mapping[str, object]) -> Iterator[tuple[str, Sample]]:
    for run, attempt in attempts.items():
        if isinstance(attempt, Sampled) and (sample := attempt.sample()) is not None:
            yield run, sample
