"""Bottom line: the keys, each of which can be clicked, or the result of the last command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual.content import Content
from textual.style import Style
from textual.timer import Timer
from textual.widgets import Static

from ..bindings import Key, bar_keys, qualified_action

MESSAGE_S = 8.0  # how long a message stays


class KeyBar(Static):
    """As many keys as there is room for. A message replaces them, so that it never covers its subject.

    Args:
        keys: Returns the keys to show, given the user's keymap.

    Attributes:
        remapped: The user's keymap: default key to key.
        read_only: Leave out the keys that control runs.
    """

    def __init__(self, keys: Callable[[Mapping[str, str]], list[Key]] = bar_keys) -> None:
        super().__init__(id="keys")
        self._bar_keys = keys
        self.remapped: Mapping[str, str] = {}
        self.read_only = False
        self._message = ""
        self._timer: Timer | None = None

    def show_message(self, message: str, *, bad: bool) -> None:
        """Show a message for `MESSAGE_S`; `message` must be sanitized."""
        if self._timer is not None:
            self._timer.stop()
        self._message = message
        self._timer = self.set_timer(MESSAGE_S, self.clear_message)
        self.set_class(not bad, "message")
        self.set_class(bad, "error")
        self._draw()

    def on_resize(self) -> None:
        """Draw as many keys as the new width has room for."""
        self._draw()

    def clear_message(self) -> None:
        """Show the keys again."""
        self._message = ""
        self.remove_class("message", "error")
        self._draw()

    def _draw(self) -> None:
        self.update(Content(self._message) if self._message else self._keys())

    def _keys(self) -> Content:
        keys = self._bar_keys(self.remapped)
        if self.read_only:
            return format_keys([key for key in keys if not key.controls_runs], self.size.width, "read-only")
        return format_keys(keys, self.size.width)


def format_keys(keys: list[Key], width: int, prefix: str = "") -> Content:
    """Return the keys with their descriptions, as many as fit into `width` cells after the prefix."""
    shown = [Content.styled(prefix, "reverse")] if prefix else []
    width -= len(prefix) + 2 if prefix else 0
    for key in keys:
        width -= len(key.shown) + len(key.bar) + 3
        if width < 0:
            break
        text = Content.assemble((key.shown, "bold"), f" {key.bar}")
        shown.append(text.stylize(Style.from_meta({"@click": qualified_action(key)})))
    return Content("  ").join(shown)
