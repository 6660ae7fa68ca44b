"""The bottom line: the keys, each of which can be clicked, or for a while what a key has done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual.content import Content
from textual.style import Style
from textual.timer import Timer
from textual.widgets import Static

from ..bindings import ACTING, Key, action_of, bar_keys

MESSAGE_S = 8.0  # how long a message stays


class KeyBar(Static):
    """As many keys as there is room for; a message takes their place, so that it never covers what it is about."""

    def __init__(self, keys: Callable[[Mapping[str, str]], list[Key]] = bar_keys) -> None:
        super().__init__(id="keys")
        self._bar_keys = keys
        self.instead: Mapping[str, str] = {}  # the keys that the user chose in place of ours
        self.read_only = False
        self._message = ""
        self._timer: Timer | None = None

    def say(self, message: str, *, bad: bool) -> None:
        """Shows a message for a while; `message` is harmless text."""
        if self._timer is not None:
            self._timer.stop()
        self._message = message
        self._timer = self.set_timer(MESSAGE_S, self.forget)
        self.set_class(not bad, "message")
        self.set_class(bad, "trouble")
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def forget(self) -> None:
        """Shows the keys again."""
        self._message = ""
        self.remove_class("message", "trouble")
        self._draw()

    def _draw(self) -> None:
        self.update(Content(self._message) if self._message else self._keys())

    def _keys(self) -> Content:
        keys = self._bar_keys(self.instead)
        if self.read_only:
            return key_line([key for key in keys if key.action not in ACTING], self.size.width, "read-only")
        return key_line(keys, self.size.width)


def key_line(keys: list[Key], width: int, before: str = "") -> Content:
    """The keys with their words, in at most `width` cells; a word may come before them."""
    shown = [Content.styled(before, "reverse")] if before else []
    width -= len(before) + 2 if before else 0
    for key in keys:
        width -= len(key.shown) + len(key.word) + 3
        if width < 0:
            break
        words = Content.assemble((key.shown, "bold"), f" {key.word}")
        shown.append(words.stylize(Style.from_meta({"@click": action_of(key)})))
    return Content("  ").join(shown)
