"""The fence of a run: an attempt that was replaced by a newer one writes nothing more.

A batch system may start a run again while its old process lives on: on a node that was cut off, or frozen. Where the
supervisor sets `PMSSM_ATTEMPT_FENCE` to `PATH:NUMBER`, the file PATH holds the number of the run's newest attempt, and
NUMBER is this one's. The check comes right before a file gets its name. A process that is frozen between the two, less
than a millisecond as a rule, is not detected.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import FencedError, OptionError

FENCE_VARIABLE = "PMSSM_ATTEMPT_FENCE"


def check_fence() -> None:
    """Return if this attempt is the newest one, or if there is no fence.

    A fence that cannot be read says nothing: a shared disk may be away for a moment.

    Raises:
        FencedError: A newer attempt of the run was started.
        OptionError: The variable is malformed.
    """
    fence = os.environ.get(FENCE_VARIABLE)
    if fence is None:
        return
    path, _, own = fence.rpartition(":")
    if not path or not own.isdecimal():
        raise OptionError(f"{FENCE_VARIABLE}: must be PATH:NUMBER, not {fence!r}; unset it")
    try:
        newest = int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    if newest > int(own):
        raise FencedError(
            f"attempt {own} was replaced by attempt {newest} of this run: it ends and writes nothing more"
        )
