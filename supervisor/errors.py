"""The base of every error that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """An error that the command line shows as one line, with exit code 2.

    The message names the file, the field and the remedy.
    """
