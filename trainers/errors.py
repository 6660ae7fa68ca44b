"""What can go wrong in a way the user can mend: one class per kind of remedy, one line per message."""

from __future__ import annotations


class TrainerError(Exception):
    """Anything that ends a command with one line instead of a traceback."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        """Spells out characters that would break the line or steer the terminal: a file's name may be any text."""
        super().__init__("".join(char if char.isprintable() else repr(char)[1:-1] for char in message))


class DataError(TrainerError):
    """The scan files are missing, unreadable or hold nothing to train on: mend or replace the file."""


class NotPreparedError(TrainerError):
    """The --data folder of a trainer holds no prepared arrays: run `prepare`."""


class ModelError(TrainerError, ValueError):
    """The file is no model that this version can read: give the `model.pt` that a trainer wrote."""


class OptionError(TrainerError):
    """An option asks for what this machine or this folder can't give: change the option."""


class CheckpointError(TrainerError):
    """The checkpoint belongs to other data or settings: go back to those, or start over with --fresh."""


class TrainingError(TrainerError):
    """The training itself can't go on: the loss is not finite, or one row does not fit into the memory."""

    exit_code = 1
