"""The user's preferences at work: theme, ASCII mode, keymap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console
from textual.app import App
from textual.filter import LineFilter
from textual.theme import Theme

from .bindings import all_keys, with_remapped_keys
from .config import THEMES, DashboardConfig
from .config import Theme as ThemeName
from .rendering.ascii_filter import AsciiFilter

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
    # Textual would mix these with white, which a terminal of 16 colours can only show as grey.
    variables={
        "text-success": "#40ff40",
        "text-error": "#ff5050",
        "text-warning": "#ffff00",
        "text-primary": "#00ffff",
        "text-accent": "#ff40ff",
        "text-secondary": "#6060ff",
    },
)


class Preferences:
    """Theme, ASCII mode and keymap of an app.

    Args:
        app: The app, used for its themes and its keymap only.
        settings: The user's settings.

    Attributes:
        line_filters: Filters of every drawn line.
    """

    def __init__(self, app: App[Any], settings: DashboardConfig) -> None:
        self._app = app
        self._settings = settings
        self.line_filters: tuple[LineFilter, ...] = (AsciiFilter(),) if settings.ascii else ()
        few_colours = Console().color_system == "standard" and settings.theme == "dark"
        self._theme: ThemeName = "high-contrast" if few_colours else settings.theme

    @property
    def keymap(self) -> Mapping[str, str]:
        """For a default key, the key to press instead."""
        return self._settings.keys

    @property
    def ascii(self) -> bool:
        """True if only ASCII characters may reach the terminal."""
        return self._settings.ascii

    @property
    def notify(self) -> bool:
        """True if the user wants the bell and desktop notifications."""
        return self._settings.notify

    def apply(self) -> None:
        """Set theme and keymap of the app."""
        self._app.register_theme(_HIGH_CONTRAST)
        self._app.theme = _TEXTUAL_THEMES[self._theme]
        self._app.set_keymap({f"key-{key}": pressed for key, pressed in self.keymap.items()})

    def next_theme(self) -> str:
        """Switch to the next theme, and return a message about it."""
        self._theme = THEMES[(THEMES.index(self._theme) + 1) % len(THEMES)]
        self._app.theme = _TEXTUAL_THEMES[self._theme]
        return f"theme: {self._theme}"

    def palette_commands(
        self, run_action: Callable[[str], Awaitable[object]]
    ) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        """Return the commands of all keys for the command palette.

        Args:
            run_action: Runs an action of the app.

        Returns:
            Description with the key to press, and a function that runs the action.
        """
        keys = [key for key in all_keys() if key.action != "palette"]
        return [
            (f"{key.help} ({key.shown})", partial(run_action, key.action))
            for key in with_remapped_keys(keys, self.keymap)
        ]
