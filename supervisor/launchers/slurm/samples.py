"""What the sampler in a job measures, as a file in the attempt's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...files import read_object, write_atomic
from ...gpus.models import GpuReading

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
