"""The user's settings of the dashboard: dashboard.toml."""

from __future__ import annotations

import os
import tomllib
import unicodedata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from ..errors import UserError

Theme = Literal["dark", "light", "high-contrast"]
THEMES: tuple[Theme, ...] = ("dark", "light", "high-contrast")
RESERVED = ("ctrl+s", "ctrl+q", "ctrl+b", "ctrl+c", "ctrl+z", "escape", "enter", "tab")  # flow control, tmux, dialogs


class ConfigError(UserError):
    """Unusable settings; the message names file, field and remedy on one line."""


class DashboardConfig(BaseModel):
    """Settings of the dashboard.

    Attributes:
        theme: Colour theme.
        ascii: Draw only ASCII characters.
        notify: Ring the bell and notify the desktop when runs end.
        keys: Keymap: a key as the help lists it, and the key to press instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    theme: Theme = "dark"
    ascii: StrictBool = False
    notify: StrictBool = True
    keys: dict[str, str] = {}


def config_path() -> Path:
    """Return the path of the user's dashboard.toml."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "pmssm-supervise" / "dashboard.toml"


def load_config(path: Path) -> DashboardConfig:
    """Read the settings, or return the defaults if there is no file.

    Raises:
        ConfigError: Unreadable file, bad TOML, unknown field, unknown key, or one key for two commands.
    """
    try:
        settings = DashboardConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return DashboardConfig()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        fields = ", ".join(DashboardConfig.model_fields)
        raise ConfigError(f"{path}: {field}: {first['msg']}; known fields: {fields}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    _check_keys(settings, path)
    return settings


def _check_keys(settings: DashboardConfig, path: Path) -> None:
    from .bindings import all_keys  # noqa: PLC0415 - imports Textual

    known = [key.keys for key in all_keys()]
    used: dict[str, str] = {key: key for key in known if key not in settings.keys}
    for key, pressed in settings.keys.items():
        if key not in known:
            raise ConfigError(f"{path}: keys.{key}: unknown key; known keys: {', '.join(known)}")
        if not _is_key(pressed):
            raise ConfigError(f"{path}: keys.{key}: {pressed!r} is not a key; use one character, or a name such as f5")
        if pressed in RESERVED:
            raise ConfigError(f"{path}: keys.{key}: {pressed} is reserved by terminal or dashboard; use another key")
        if pressed in used:
            raise ConfigError(f"{path}: keys.{key}: {pressed} is already the key for {used[pressed]}; use another key")
        used[pressed] = key


def _is_key(name: str) -> bool:
    """Return whether Textual knows the key, with or without modifiers, or by its character's Unicode name."""
    from textual.keys import Keys  # noqa: PLC0415

    base = name.rpartition("+")[2]
    if len(base) == 1 or base in {key.value.rpartition("+")[2] for key in Keys}:
        return True
    try:
        return bool(unicodedata.lookup(base.replace("_", " ")))
    except KeyError:
        return False
