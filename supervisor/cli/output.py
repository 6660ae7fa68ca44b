"""Standard output and error that take any text.

Characters that could control the terminal are escaped, no encoding raises an error, and closed streams discard all.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import sys
from pathlib import Path

from ..errors import UserError
from ..formatting import printable

_ENCODING_ERRORS = "pmssm-equivalent"
_EQUIVALENTS = {"─": "-", "–": "-", "✓": "+", "±": "+-", "×": "x", "°": " ", "→": "->", "…": "...", "’": "'"}
_STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))


class OutputError(UserError):
    """Standard output cannot be written, for example because the disk is full."""


def prepare_output() -> None:
    """Replace what an encoding lacks by ASCII characters, and connect closed standard streams to the null device.

    A closed descriptor would be given to the next file that is opened, which then receives the output of a child
    process.
    """
    codecs.register_error(_ENCODING_ERRORS, _replace)
    for name, descriptor, mode in _STREAMS:
        stream = getattr(sys, name)
        if stream is None:
            _open_null_device(descriptor)
            stream = open(descriptor, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process exits
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        if mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ENCODING_ERRORS)


def echo(text: str) -> None:
    """Print a text and a line end; characters that could control the terminal are escaped.

    Raises:
        BrokenPipeError: The reader has closed the pipe.
        OutputError: The text cannot be written.
    """
    # Not click.echo, which writes UTF-8 where the encoding is ASCII.
    try:
        sys.stdout.write(f"{printable(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _open_null_device(1)  # for what is left in the buffer at exit
        raise OutputError(f"cannot write to standard output: {error.strerror}; redirect it elsewhere") from None


def echo_error(text: str) -> None:
    """Print a text on standard error as `echo` does, if that can be written."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()


def warn_of_incomplete_session(logs: Path) -> None:
    """Warn if the newest folder of a session is passed over, because no session was started in it."""
    from ..session.lookup import newest_incomplete  # noqa: PLC0415 - pydantic, which --help does without

    folder = newest_incomplete(logs)
    if folder is not None:
        echo_error(f"pmssm-supervise: {folder.path}: is no session (incomplete), passed over; {folder.remedy}")


def ascii_json(text: str) -> str:
    """Return a JSON text with escapes for all non-ASCII characters."""
    return re.sub(r"[^\x00-\x7f]", lambda match: json.dumps(match[0])[1:-1], text)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for the characters that an encoding lacks, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_EQUIVALENTS.get(character, "?") for character in lacking), error.end


def _open_null_device(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.set_inheritable(descriptor, True)
    if null != descriptor:
        os.close(null)
