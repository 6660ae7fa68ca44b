"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.01


def wait_until(condition: Callable[[], T | None], deadline_s: float = 20.0, what: str = "") -> T:
    """Return the first true value of `condition`; fail if there is none within `deadline_s` seconds."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {deadline_s:g} s in vain: {what or condition}"
        time.sleep(POLL_S)
