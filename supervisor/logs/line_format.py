"""What is shown of a log line, and how it is wrapped. Pure."""

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
    """A log line as `whole`; `short`, without date, run name and the level `info`; or `bare`, without time as well."""
    prefix = _PREFIX.match(line) if length != "whole" else None
    if prefix is None:
        return line
    return f"{prefix['time'] if length == 'short' else ''}{_level(prefix['level'])}{line[prefix.end() :]}"


def with_run_prefix(name: str, width: int, line: str) -> str:
    """A line among those of other logs: day, time, the log's name in `width` cells, and what it says."""
    stamp = _STAMP.match(line)
    who = name[:MAX_NAME].ljust(width)
    if stamp is None:
        return f"{'':{_DAY_AND_TIME}}{who} {line}"
    return f"{stamp['day']} {stamp['time']} {who} {_level(stamp['level'])}{line[stamp.end() :]}"


def abbreviate_prefixed(line: str, length: str) -> str:
    """What `with_run_prefix` made, in one of the LENGTHS."""
    return line[{"short": _DAY, "bare": _DAY_AND_TIME}.get(length, 0) :]


def _level(level: str | None) -> str:
    return "" if level in (None, "info") else f"[{level}] "
