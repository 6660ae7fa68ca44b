"""The fence of a run: an attempt that was replaced by a newer one writes nothing more.

A batch system may start a run again while its old process lives on: on a node that was cut off, or frozen. Where the
supervisor sets `PMSSM_ATTEMPT_FENCE` to `PATH:NUMBER`, the file PATH holds the number of the run's newest attempt, and
NUMBER is this one's. The check comes right before a file gets its name. A process that is frozen between the two, less
than a millisecond as a rule, is not detected.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .errors import FencedError, OptionError

FENCE_VARIABLE = "PMSSM_ATTEMPT_FENCE"


@dataclass(frozen=True)
class Fence:
    """One attempt of a run, and the file with the number of the run's newest attempt.

    Attributes:
        path: The file.
        attempt: Number of the attempt.
    """

    path: Path
    attempt: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the fence that is written `PATH:NUMBER`; None for any other text."""
        path, _, attempt = text.rpartition(":")
        return cls(Path(path), int(attempt)) if path and attempt.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.path}:{self.attempt}"

    def replaces(self, other: Fence) -> bool:
        """Return whether this is a newer attempt of the same run."""
        return self.path == other.path and self.attempt > other.attempt


def own_fence() -> Fence | None:
    """Return the fence of this process; None without one.

    Raises:
        OptionError: The variable is malformed.
    """
    text = os.environ.get(FENCE_VARIABLE)
    if text is None:
        return None
    fence = Fence.parse(text)
    if fence is None:
        raise OptionError(f"{FENCE_VARIABLE}: must be PATH:NUMBER, not {text!r}; unset it")
    return fence


def check_fence() -> None:
    """Return if this attempt is the newest one, or if there is no fence.

    A fence that cannot be read says nothing: a shared disk may be away for a moment.

    Raises:
        FencedError: A newer attempt of the run was started.
        OptionError: The variable is malformed.
    """
    fence = own_fence()
    if fence is None:
        return
    try:
        newest = int(fence.path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    if newest > fence.attempt:
        raise FencedError(
            f"attempt {fence.attempt} was replaced by attempt {newest} of this run: it ends and writes nothing more"
        )
