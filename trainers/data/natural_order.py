"""Order of files whose names contain numbers."""

from __future__ import annotations

import re
from pathlib import Path


def natural_key(path: Path) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts `scan_2` before `scan_10`."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(part.isascii() and part.isdigit(), int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]
