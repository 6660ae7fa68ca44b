"""Base class of every error that a user can fix."""

from __future__ import annotations


class UserError(Exception):
    """An error that the command line prints as one line, with exit code 2.

    The message names the file, the field and the remedy.
    """
