"""Values as short text of a known width, and sanitized text. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from ...logs.sanitize import sanitize_line

NONE = "–"  # the value does not exist
UNKNOWN = "n/a"  # the value could not be measured

GOOD, BAD, BUSY, WARN, DIM, BOLD = "$text-success", "$text-error", "$text-primary", "$text-warning", "dim", "bold"

Span = tuple[str, str]  # a text and its style: one of the above, or ""
Line = list[Span]

_EIGHTHS = " ▏▎▍▌▋▊▉"
_SPARKS = "▁▂▃▄▅▆▇█"


def plain_text(text: str) -> str:
    """Return the text on one line, without terminal control sequences."""
    return sanitize_line(text.replace("\n", " ").encode("utf-8", "replace"))


def cell_content(spans: Iterable[Span]) -> Content:
    """Return the spans as Textual content; markup in them stays text."""
    return Content.assemble(*((text, style) for text, style in spans if text))


def fit(text: str, width: int, right: bool = False) -> str:
    """Return the text in exactly `width` cells, cut with an ellipsis or padded."""
    if width <= 0:
        return ""
    cells = cell_len(text)
    if cells > width:
        return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)
    return " " * (width - cells) + text if right else text + " " * (width - cells)


def fit_middle(text: str, width: int) -> str:
    """Return the text in exactly `width` cells, cut in its middle or padded: names of runs differ at both ends."""
    cells = cell_len(text)
    if cells <= width or width < 3:
        return fit(text, width)
    tail = (width - 1) // 2
    head, end = set_cell_size(text, width - 1 - tail), text[-tail:]
    return set_cell_size(f"{head}…{end}", width)


def duration(seconds: float | None) -> str:
    """Format a duration in at most 6 characters: `45s`, `12m30s`, `3h05m`, `2d07h`."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return NONE
    total = int(min(seconds, 99_999 * 86_400))
    minutes, hours, days = total // 60, total // 3600, total // 86_400
    if days >= 100:
        return f"{days}d"
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{total % 60:02}s" if minutes else f"{total}s"


def stopwatch(seconds: float) -> str:
    """Format an elapsed time as on a stopwatch: `0:12:30`, `2d 03:00:00`."""
    total = int(max(0.0, seconds))
    days, rest = divmod(total, 86_400)
    hours, minutes = rest // 3600, rest // 60 % 60
    return f"{days}d {hours:02}:{minutes:02}:{rest % 60:02}" if days else f"{hours}:{minutes:02}:{rest % 60:02}"


def memory(mib: float | None) -> str:
    """Format an amount of memory, given in MiB, in at most 5 characters: `812M`, `12.3G`, `140G`."""
    if mib is None or not math.isfinite(mib) or mib < 0:
        return UNKNOWN
    if mib < 999.5:
        return f"{mib:.0f}M"
    gib = mib / 1024
    if gib < 99.95:
        return f"{gib:.1f}G"
    return f"{gib:.0f}G" if gib < 9999.5 else ">10T"


def loss(value: float | None) -> str:
    """Format a loss in at most 8 characters, with its leading digits: `0.12346`, `1.23e-05`."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.5g}"[:8]
    mantissa = f"{value:.2e}"
    return mantissa if len(mantissa) <= 8 else f"{value:.0e}"


def percent(value: float | None) -> str:
    """Format a percentage without decimals, in at most 6 characters."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{min(max(value, 0.0), 99_999.0):.0f}%"


def bar(fraction: float | None, width: int) -> str:
    """Draw a horizontal bar of exactly `width` cells, filled to an eighth of a cell."""
    if width <= 0:
        return ""
    if fraction is None or not math.isfinite(fraction):
        return "·" * width
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    filled = "█" * full + (_EIGHTHS[part] if part else "")
    return filled + "░" * (width - len(filled))


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values over time in at most `width` characters; logarithmic if all values are positive.

    Positive values that differ by less than a tenth use only a part of the height, so that noise looks like noise.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width <= 0:
        return ""
    min_range = 0.0
    if min(finite) > 0:
        finite = [math.log(value) for value in finite]
        min_range = 0.1
    step = max(1.0, len(finite) / width)
    picked = [finite[min(len(finite) - 1, int((index + 1) * step) - 1)] for index in range(min(width, len(finite)))]
    halves = [value / 2 for value in picked]  # so that their differences are finite
    low = min(halves)
    height = max(max(halves) - low, min_range / 2)
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[round((value - low) / height * top) if height else 0] for value in halves)


def history_line(values: Sequence[float], width: int, low: float, high: float) -> str:
    """Draw the newest `width` values on the fixed scale from `low` to `high`, one character each."""
    height = high - low
    if height <= 0 or width <= 0:
        return ""
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[min(top, max(0, round((value - low) / height * top)))] for value in values[-width:])


def history_rows(values: Sequence[float], width: int, low: float, high: float, rows: int) -> list[str]:
    """Draw the same as `history_line` in several rows, the top row first."""
    height = high - low
    if height <= 0 or width <= 0 or rows == 1:
        return [history_line(values, width, low, high)] + [""] * (rows - 1)
    steps = len(_SPARKS)
    levels = [max(1, round((value - low) / height * rows * steps)) for value in values[-width:]]
    return [
        "".join(f" {_SPARKS}"[min(steps, max(0, level - below * steps))] for level in levels)
        for below in reversed(range(rows))
    ]
