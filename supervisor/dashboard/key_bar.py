"""The keys at the bottom of the screen; each can be clicked."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from .keys import Key, bar_keys


class KeyBar(Static):
    """As many keys as there is room for."""

    def __init__(self) -> None:
        super().__init__(id="keys")

    def on_resize(self) -> None:
        self.update(key_line(bar_keys(), self.size.width))


def key_line(keys: list[Key], width: int) -> Content:
    """The keys with their words, in at most `width` cells."""
    shown: list[Content] = []
    for key in keys:
        width -= len(key.shown) + len(key.word) + 3
        if width < 0:
            break
        shown.append(Content.from_markup(f"[@click=app.{key.action}][b]{key.shown}[/b] {key.word}[/]"))
    return Content("  ").join(shown)
