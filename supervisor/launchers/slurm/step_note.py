"""The note of an attempt that is a step, in its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ...files import read_object, write_atomic
from ..process_identity import ProcessIdentity

STEP = "step.json"


class StepNote(BaseModel):
    """Contents of step.json, which is written before srun is started, and again with its identity.

    Attributes:
        job_id: The allocation.
        node: The other node.
        srun: The process of srun on this machine; None until it is started.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    node: str
    srun: ProcessIdentity | None = None

    def write(self, folder: Path) -> None:
        """Write the note into the attempt's folder.

        Raises:
            OSError: It cannot be written.
        """
        write_atomic(folder / STEP, self.model_dump_json())

    @classmethod
    def read(cls, folder: Path) -> StepNote | None:
        """Return the note, or None where srun was never started."""
        try:
            return cls.model_validate(read_object(folder / STEP))
        except ValidationError:
            return None
