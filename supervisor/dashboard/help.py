"""The help: every key, and what the signs mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from .format import BOLD, BUSY, Span, content, fit
from .keys import GROUPS

_NOTES = (
    "States: ○ waiting  ⊘ blocked  ◇ queued  ▶ running  ▼ stopping",
    "        ✓ succeeded  ✗ failed  ■ stopped  ? lost  ! stalled",
    "GPU 2!: the run's processes are on another GPU than it was given.",
    "The runs don't need this screen: leave with q, come back with",
    "pmssm-supervise attach.",
)


class Help(ModalScreen[None]):
    """All keys on one screen; any of q, ?, Escape or Enter leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", "close")]

    def __init__(self, instead: Mapping[str, str]) -> None:
        super().__init__()
        self._instead = instead

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(Content("\n").join(content(line) for line in help_lines(self._instead)))

    def on_mount(self) -> None:
        help_box = self.query_one("#help")
        help_box.border_title = Content("keys (Esc closes, ↓ scrolls)")
        help_box.focus()


def help_lines(instead: Mapping[str, str]) -> list[list[Span]]:
    """The help, line by line; `instead` has the keys that the user chose in place of ours."""
    lines: list[list[Span]] = []
    for title, keys in GROUPS.items():
        lines.append([(title, BOLD)])
        lines += [[(f"  {fit(instead.get(key.keys, key.shown), 8)}", BUSY), (key.help, "")] for key in keys]
    return [*lines, [], *([(note, "")] for note in _NOTES)]
