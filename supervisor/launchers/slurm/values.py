"""Single values in the spellings of Slurm's programs and versions. Pure."""

from __future__ import annotations

import calendar
import time
from typing import Any

from .errors import SlurmOutputError

ABSENT = frozenset({"", "(null)", "N/A", "NONE", "None", "Unknown", "UNKNOWN", "Invalid"})
_NEVER = 1 << 40  # larger than any time or counter that can be meant


def exit_of(value: Any) -> tuple[int | None, int | None]:  # noqa: ANN401
    """Return exit code and signal of JSON's `exit_code` in any version."""
    if isinstance(value, dict) and ("return_code" in value or "signal" in value):
        signal = value.get("signal")
        number = number_of(signal.get("id", signal.get("signal_id"))) if isinstance(signal, dict) else number_of(signal)
        return (None, number) if number else (number_of(value.get("return_code")), None)
    return decode_status(number_of(value))


def decode_status(status: int | None) -> tuple[int | None, int | None]:
    """Return exit code and signal of a wait status, see waitpid(2)."""
    if status is None:
        return None, None
    signal = status & 0x7F
    return (None, signal) if signal else (status >> 8 & 0xFF, None)


def decode_pair(text: str) -> tuple[int | None, int | None]:
    """Return exit code and signal of Slurm's `code:signal`."""
    code, _, signal = text.strip().partition(":")
    number = number_of(signal)
    return (None, number) if number else (number_of(code), None)


def text_of(value: Any) -> str:  # noqa: ANN401
    """Return a text of Slurm's JSON; empty for null and for Slurm's words of absence."""
    if isinstance(value, dict):  # sacct's JSON: {"job": ..., "administrator": ..., "system": ...}
        value = value.get("job")
    return value if isinstance(value, str) and value not in ABSENT else ""


def number_of(value: Any) -> int | None:  # noqa: ANN401
    """Return a number in any of Slurm's spellings; None for null, unset, infinite or no number."""
    if isinstance(value, dict):
        if not value.get("set", True) or value.get("infinite"):
            return None
        value = value.get("number")
    if isinstance(value, str):
        value = int(value) if value.strip().isascii() and value.strip().isdigit() and len(value) < 20 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _NEVER else None  # neither nan nor infinity passes


def unix_time(value: Any) -> float | None:  # noqa: ANN401
    """Return a time of Slurm's JSON, unix time, s; None for 0 and for no number."""
    number = number_of(value)
    return float(number) if number else None


def utc_time(text: str) -> float | None:
    """Return the unix time of Slurm's `2026-11-27T02:44:41`, which is UTC because our calls set TZ."""
    if text.strip() in ABSENT:
        return None
    try:
        return float(calendar.timegm(time.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        raise SlurmOutputError(f"Slurm wrote a time that cannot be read: {text[:60]}") from None
