"""The part of the dashboard that follows the user's habits: theme, ASCII, keys, palette, title and notifications."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from textual.filter import LineFilter
from textual.theme import Theme
from textual.widgets import Input

from ..session.snapshot import Snapshot
from .bindings import DETAILS, all_keys
from .config import THEMES, DashboardConfig
from .config import Theme as ThemeName
from .data.session_source import SessionSource
from .loss_control import LossControlMixin
from .rendering.ascii_filter import AsciiFilter
from .screens.help import HelpScreen, pane_help
from .screens.run_details import RunDetailsScreen
from .terminal import KEEP_TITLE, RESTORE_TITLE, ended_runs_message, notification, set_title, stopped_states, title
from .widgets.line_view import LineView

_TEXTUAL_THEMES = {"dark": "textual-dark", "light": "textual-light", "high-contrast": "high-contrast"}
_HIGH_CONTRAST = Theme(
    name="high-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    accent="#ff80ff",
    warning="#ffd000",
    error="#ff6060",
    success="#40ff40",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#202020",
    dark=True,
    # Textual would mix these with white; a terminal of 16 colours has only grey for what comes of that.
    variables={
        "text-success": "#40ff40",
        "text-error": "#ff5050",
        "text-warning": "#ffff00",
        "text-primary": "#00ffff",
        "text-accent": "#ff40ff",
        "text-secondary": "#6060ff",
    },
)


class PreferencesMixin(LossControlMixin):
    """Looks and sounds as its user wants."""

    def __init__(self, source: SessionSource, settings: DashboardConfig) -> None:
        super().__init__(source)
        self.settings = settings
        few_colours = Console().color_system == "standard" and settings.theme == "dark"
        self._theme_name: ThemeName = "high-contrast" if few_colours else settings.theme
        self._ascii = AsciiFilter(settings.ascii)
        self._title = ""
        self.register_theme(_HIGH_CONTRAST)
        self.theme = _TEXTUAL_THEMES[self._theme_name]
        self.set_keymap({f"key-{key}": instead for key, instead in settings.keys.items()})
        self.key_bar.instead = settings.keys

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What is done to every line that is drawn."""
        return [*super().get_line_filters(), *([self._ascii] if self._ascii.enabled else [])]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key of the main screen is meant: not in dialogs, not while typing, not where the log needs it."""
        if action == "key":
            moves = str(parameters[0]).startswith("select(")
            taken = isinstance(self.focused, Input) or (moves and isinstance(self.focused, LineView))
            return len(self.screen_stack) == 1 and not taken
        return super().check_action(action, parameters)

    async def action_key(self, action: str) -> None:
        """What a key of the main screen does."""
        await self.run_action(action)

    def action_theme(self) -> None:
        """The next theme."""
        self._theme_name = THEMES[(THEMES.index(self._theme_name) + 1) % len(THEMES)]
        self.theme = _TEXTUAL_THEMES[self._theme_name]
        self.say(f"theme: {self._theme_name}")

    def action_help(self) -> None:
        """The keys that work here."""
        if isinstance(self.screen, RunDetailsScreen):
            groups = {"This run": DETAILS}
        else:
            groups = pane_help(self.focused.id if self.focused is not None else None)
        self.push_screen(HelpScreen(groups, self.settings.keys))

    def action_palette(self) -> None:
        """Lists everything that a key does, to be searched by words and chosen with Enter."""
        instead = self.settings.keys
        self.search_commands(
            [
                (f"{key.help} ({instead.get(key.keys, key.shown)})", partial(self.run_action, key.action))
                for key in all_keys()
                if key.action != "palette"
            ],
            placeholder="what to do…",
        )

    def tell_terminal(self, before: Snapshot | None, now: Snapshot) -> None:
        """Puts progress into the title, and says when runs have ended."""
        told = title(now)
        if told != self._title:
            self._write(("" if self._title else KEEP_TITLE) + set_title(told))
            self._title = told
        ended = ended_runs_message(before, now)
        if ended:
            self.say(ended, bad="failed" in ended or "lost" in ended)
            if self.settings.notify:
                self.bell()
                self._write(notification(ended, os.environ))
        elif stopped := stopped_states(before, now):
            self.say(stopped)

    def on_unmount(self) -> None:
        if self._title:
            self._write(RESTORE_TITLE)

    def _write(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
