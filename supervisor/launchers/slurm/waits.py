"""How long something has been waited for. Pure: time comes in as an argument."""

from __future__ import annotations


class Waits:
    """The beginnings of waits, by what is waited for."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[object, float]] = {}

    def __contains__(self, what: str) -> bool:
        return what in self._since

    def waited(self, what: str, value: object, now: float) -> float:
        """Return how long something has been waited for, s; the wait begins again when `value` changes."""
        known = self._since.get(what)
        if known is None or known[0] != value:
            known = self._since[what] = (value, now)
        return now - known[1]
