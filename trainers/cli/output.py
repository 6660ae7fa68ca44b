"""Standard output and error that take any text: closed streams discard it, and no encoding raises an error."""

from __future__ import annotations

import codecs
import io
import os
import sys

_ENCODING_ERRORS = "pmssm-trainers-equivalent"
_EQUIVALENTS = {
    **dict(zip("▁▂▃▄▅▆▇█", ".,:;+*%#", strict=True)),  # columns of a histogram
    **{"±": "+-", "×": "x", "–": "-", "−": "-", "→": "->", "≤": "<=", "≥": ">=", "²": "2", "χ": "chi", "…": "..."},
}
_STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))


def prepare_output() -> None:
    """Replace what an encoding lacks by ASCII characters, and connect closed standard streams to the null device.

    A closed descriptor would be given to the next file that is opened, into which a library may then print.
    """
    codecs.register_error(_ENCODING_ERRORS, _replace)
    for name, descriptor, mode in _STREAMS:
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            if null != descriptor:
                os.close(null)
            stream = open(descriptor, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process exits
            setattr(sys, name, stream)
        if mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ENCODING_ERRORS)


def echo(text: str) -> None:
    """Print a text and a line end."""
    # Not click.echo, which writes UTF-8 where the encoding is ASCII.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for the characters that an encoding lacks, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_EQUIVALENTS.get(character, "?") for character in lacking), error.end
