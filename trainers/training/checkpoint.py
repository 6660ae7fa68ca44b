"""Checkpoints with a checksum, so that damage is detected.

The file contains the output of `torch.save`, a mark, and the SHA-256 of everything before the mark.
`torch.load` reads it directly, with `weights_only=True`. Two generations are kept: `checkpoint.pt` and
`checkpoint.pt.previous`.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..errors import CheckpointError
from ..fence import check_fence
from ..files import sync_folder, write_atomic
from ..log import LOGGER

MARK = b"pmssm-sha256:"
TRAILER = len(MARK) + hashlib.sha256().digest_size


class Checkpoints:
    """Checkpoints of one output folder.

    Args:
        folder: Output folder of the training.
        identity: Settings and data that a checkpoint must match to be resumed; also an attribute.

    Attributes:
        path: The newest checkpoint.
        previous: The checkpoint before it.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.path = folder / "checkpoint.pt"
        self.previous = folder / "checkpoint.pt.previous"
        self.identity = identity

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` to the disk and keep the checkpoint before it.

        Raises:
            OSError: The folder cannot be written.
        """
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, buffer)
        content = buffer.getbuffer()

        def write(file: BinaryIO) -> None:
            file.write(content)
            file.write(MARK + hashlib.sha256(content).digest())
            check_fence()  # before the checkpoint of a newer attempt is moved
            if self.path.exists():
                self.path.replace(self.previous)

        write_atomic(self.path, write)

    def load(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, or None if there is none.

        Damaged files are renamed, and the log names them.

        Raises:
            CheckpointError: The checkpoint belongs to other data or settings.
            FencedError: A newer attempt of this run was started.
        """
        check_fence()
        damaged = False
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            saved = read_checkpoint(path)
            if saved is None:
                damaged_copy = path.with_name(path.name + ".damaged")
                path.replace(damaged_copy)
                sync_folder(path.parent)
                LOGGER.warning(
                    "%s is damaged (its checksum does not match, or it is no checkpoint): kept as %s",
                    path,
                    damaged_copy.name,
                )
                damaged = True
                continue
            self._check_identity(path, saved["identity"])
            if path == self.previous:
                LOGGER.warning("Going on from the checkpoint before, %s", path)
            state: dict[str, Any] = saved["state"]
            return state
        if damaged:
            LOGGER.warning("No checkpoint is left: starting over")
        return None

    def remove(self) -> None:
        """Delete all checkpoints.

        Raises:
            FencedError: A newer attempt of this run was started.
        """
        check_fence()
        for path in (self.path, self.previous):
            path.unlink(missing_ok=True)

    def _check_identity(self, path: Path, identity: dict[str, Any]) -> None:
        for name in sorted(self.identity.keys() | identity.keys()):
            before, now = identity.get(name), self.identity.get(name)
            if before != now:
                raise CheckpointError(
                    f"{path}: belongs to a training with {name} {_brief(before)}, this one has {_brief(now)}; "
                    f"use {_brief(before)}, or start over with --fresh"
                )


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:12] + "…"


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a file that `Checkpoints.save` wrote.

    Returns:
        `identity` and `state`, tensors on the CPU; None if the checksum does not match, or the content is another.
    """
    raw = memoryview(path.read_bytes())
    content, trailer = raw[:-TRAILER], bytes(raw[-TRAILER:])
    if trailer != MARK + hashlib.sha256(content).digest():
        return None
    try:
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(saved, dict) or not all(isinstance(saved.get(name), dict) for name in ("identity", "state")):
        return None
    return saved


def check_state(expected: object, given: object, name: str = "state") -> None:
    """Check that a loaded state has the structure of the training's own.

    Args:
        expected: State of the training that resumes; an empty list fits any list.
        given: State from a checkpoint.
        name: Name of the state in the error.

    Raises:
        ValueError: A key, the shape of a tensor or the type of a value differs.
    """
    match expected:
        case torch.Tensor():
            fits = isinstance(given, torch.Tensor) and given.shape == expected.shape
        case dict():
            fits = isinstance(given, dict) and given.keys() == expected.keys()
        case list():
            fits = isinstance(given, list) and len(given) == (len(expected) or len(given))
        case int():
            fits = isinstance(given, int)
        case _:
            fits = isinstance(given, int | float)
    if not fits:
        raise ValueError(f"{name} is not that of such a training")
    if isinstance(expected, dict) and isinstance(given, dict):
        for key, value in expected.items():
            check_state(value, given[key], f"{name}.{key}")
    if isinstance(expected, list) and isinstance(given, list):
        for value, each in zip(expected, given, strict=False):
            check_state(value, each, name)
