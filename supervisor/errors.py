"""Base class of every error that a user can fix."""

from __future__ import annotations

import errno


class UserError(Exception):
    """An error that the command line prints as one line, with exit code 2.

    The message names the file, the field and the remedy.
    """


NO_PROCESS = "no further process or thread can be created; end some of them, or raise the limit (`ulimit -u`)"


def is_process_limit(error: OSError | RuntimeError) -> bool:
    """Return whether an error means that the user or the machine has no process or thread left."""
    if isinstance(error, OSError):
        return error.errno == errno.EAGAIN and error.filename is None
    return "can't start new thread" in str(error)
