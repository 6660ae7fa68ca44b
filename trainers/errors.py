"""Errors that the user can fix: one class per kind of remedy, one line per message."""

from __future__ import annotations


class TrainerError(Exception):
    """Base of all errors that end a command with one line instead of a traceback.

    Characters that would break the line or control the terminal are escaped: a file name may contain any
    text.

    Attributes:
        exit_code: Exit code of the command.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__("".join(char if char.isprintable() else repr(char)[1:-1] for char in message))


class DataError(TrainerError):
    """The scan files are missing, unreadable or contain nothing to train on: correct the file."""


class NotPreparedError(TrainerError):
    """The `--data` folder of a trainer contains no prepared arrays: run `prepare`."""


class ModelError(TrainerError, ValueError):
    """The file is not a model of this version: use the model.pt that a trainer wrote."""


class OptionError(TrainerError):
    """An option cannot be satisfied on this machine or in this folder: change the option."""


class CheckpointError(TrainerError):
    """The checkpoint is of other data or settings: use those, or start over with `--fresh`."""


class TrainingError(TrainerError):
    """The training cannot continue: loss not finite, or one row does not fit into memory."""

    exit_code = 1


class FencedError(TrainerError):
    """A newer attempt of the run was started elsewhere: nothing is to be done."""

    exit_code = 3
