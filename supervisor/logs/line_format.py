"""Forms of a log line on screen: shortened, or with the name of its run. Pure."""

from __future__ import annotations

import re

LENGTHS = ("short", "bare", "whole")
MAX_NAME = 20
_PREFIX = re.compile(r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d )\[(?P<level>\w+) *\] \S+ +\| ")
_STAMP = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<time>\d\d:\d\d:\d\d)(?:[.,]\d+)?Z? (?:\[(?P<level>\w+) *\] \S+ +\| )?"
)
_DAY = 11  # characters, with the space
_DAY_AND_TIME = 20


def abbreviate(line: str, length: str) -> str:
    """Return a log line in one of the LENGTHS.

    `short` is without date, run name and the level `info`; `bare` is also without time.
    """
    prefix = _PREFIX.match(line) if length != "whole" else None
    if prefix is None:
        return line
    return f"{prefix['time'] if length == 'short' else ''}{_level(prefix['level'])}{line[prefix.end() :]}"


def with_run_prefix(name: str, width: int, line: str) -> str:
    """Return a line of a merged log: day, time, name of its log, message.

    Args:
        name: Name of the log.
        width: Characters that the name is padded to.
        line: The sanitized line.
    """
    stamp = _STAMP.match(line)
    label = name[:MAX_NAME].ljust(width)
    if stamp is None:
        return f"{'':{_DAY_AND_TIME}}{label} {line}"
    return f"{stamp['day']} {stamp['time']} {label} {_level(stamp['level'])}{line[stamp.end() :]}"


def abbreviate_prefixed(line: str, length: str) -> str:
    """Return a line of a merged log, as from `with_run_prefix`, in one of the LENGTHS."""
    return line[{"short": _DAY, "bare": _DAY_AND_TIME}.get(length, 0) :]


def _level(level: str | None) -> str:
    return "" if level in (None, "info") else f"[{level}] "
