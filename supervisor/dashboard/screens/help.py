"""Help: the keys that work on the current screen, and the meaning of the glyphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ..bindings import Key, with_remapped_keys
from ..rendering.format import BOLD, BUSY, Line, cell_content, fit

_KEY_WIDTH = 10  # cells
_NOTES = (
    "States: ○ waiting  ⊘ blocked  ◇ queued  ▶ running  ▼ stopping",
    "        ✓ succeeded  ✗ failed  ■ stopped  ? lost  ! stalled",
    "GPU 2!: the run's processes are not on the assigned GPU, 2.",
    "Runs continue without this screen. q leaves it;",
    "pmssm-supervise attach opens it again.",
)


class HelpScreen(ModalScreen[None]):
    """Keys by group; q, ?, Escape and Enter close it.

    Args:
        groups: Keys by title of their group.
        remapped: The user's keymap: default key to key.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # Priority, so that keys pressed directly after it go to the screen below.
        Binding("escape,q,question_mark,enter", "dismiss", "close", priority=True),
        Binding("j", "scroll(1)", "down"),
        Binding("k", "scroll(-1)", "up"),
    ]

    def __init__(self, groups: Mapping[str, Iterable[Key]], remapped: Mapping[str, str]) -> None:
        super().__init__()
        self._groups = groups
        self._remapped = remapped

    def compose(self) -> ComposeResult:
        """Yield the text."""
        with VerticalScroll(id="help"):
            yield Static(Content("\n").join(cell_content(line) for line in help_lines(self._groups, self._remapped)))

    def on_mount(self) -> None:
        """Focus the text, so that it can be scrolled."""
        help_box = self.query_one("#help")
        help_box.border_title = Content("keys (Esc closes, ↓ scrolls)")
        help_box.focus()

    def action_scroll(self, lines: int) -> None:
        """Scroll down by some lines."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def help_lines(groups: Mapping[str, Iterable[Key]], remapped: Mapping[str, str]) -> list[Line]:
    """Return the lines of the help.

    Args:
        groups: Keys by title of their group.
        remapped: The user's keymap: default key to key.
    """
    lines: list[Line] = []
    for title, keys in groups.items():
        lines.append([(title, BOLD)])
        for key in with_remapped_keys(keys, remapped):
            lines.append([(f"  {fit(key.shown, _KEY_WIDTH)}", BUSY), (key.help, "")])
    return [*lines, [], *([(note, "")] for note in _NOTES)]
