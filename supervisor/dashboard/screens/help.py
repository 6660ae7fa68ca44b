"""The help: every key that works where the user is, and what the signs mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ..bindings import GROUPS, PANES, Key, displayed_key
from ..rendering.format import BOLD, BUSY, Span, cell_content, fit

_KEYS = 10  # cells
_NOTES = (
    "States: ○ waiting  ⊘ blocked  ◇ queued  ▶ running  ▼ stopping",
    "        ✓ succeeded  ✗ failed  ■ stopped  ? lost  ! stalled",
    "GPU 2!: the run's processes are on another GPU than it was given.",
    "The runs don't need this screen: leave with q, come back with",
    "pmssm-supervise attach.",
)


class HelpScreen(ModalScreen[None]):
    """The keys of a place, group by group; any of q, ?, Escape or Enter leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # First, so that what is typed at once after it is for the screen below.
        Binding("escape,q,question_mark,enter", "dismiss", "close", priority=True),
        Binding("j", "scroll(1)", "down"),
        Binding("k", "scroll(-1)", "up"),
    ]

    def __init__(self, groups: Mapping[str, Iterable[Key]], instead: Mapping[str, str]) -> None:
        super().__init__()
        self._groups = groups
        self._instead = instead

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(Content("\n").join(cell_content(line) for line in help_lines(self._groups, self._instead)))

    def on_mount(self) -> None:
        help_box = self.query_one("#help")
        help_box.border_title = Content("keys (Esc closes, ↓ scrolls)")
        help_box.focus()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def pane_help(pane: str | None) -> dict[str, tuple[Key, ...]]:
    """All keys, those first that only the pane with the focus knows."""
    title, keys = PANES.get(pane or "", ("", ()))
    return {title: keys, **GROUPS} if keys else GROUPS


def help_lines(groups: Mapping[str, Iterable[Key]], instead: Mapping[str, str]) -> list[list[Span]]:
    """The help, line by line; `instead` has the keys that the user chose in place of ours."""
    lines: list[list[Span]] = []
    for title, keys in groups.items():
        lines.append([(title, BOLD)])
        for key in displayed_key(keys, instead):
            lines.append([(f"  {fit(key.shown, _KEYS)}", BUSY), (key.help, "")])
    return [*lines, [], *([(note, "")] for note in _NOTES)]
