"""What a user likes the dashboard to be like: a small TOML file."""

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
TAKEN = ("ctrl+s", "ctrl+q", "ctrl+b", "ctrl+c", "escape", "enter", "tab")  # by flow control, tmux, or for good


class ConfigError(UserError):
    """Settings that can't be used; the message names file, field and remedy on one line."""


class DashboardConfig(BaseModel):
    """How the dashboard looks and which keys it obeys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    theme: Theme = "dark"
    ascii: StrictBool = False  # nothing but ASCII on the screen
    notify: StrictBool = True  # ring the bell and tell the desktop when runs end
    keys: dict[str, str] = {}  # the key that the help lists, and the key to press instead


def config_path() -> Path:
    """Where the settings lie."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "pmssm-supervise" / "dashboard.toml"


def load_config(path: Path) -> DashboardConfig:
    """The settings in a file; the defaults where there is none.

    Raises:
        SettingsError: unreadable file, bad TOML, unknown field, a key that does nothing or is pressed for two things.
    """
    try:
        settings = DashboardConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return DashboardConfig()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"{path}: {where}: {first['msg']}; known are {', '.join(DashboardConfig.model_fields)}"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    _check_keys(settings, path)
    return settings


def _check_keys(settings: DashboardConfig, path: Path) -> None:
    from .bindings import all_keys  # noqa: PLC0415 - imports Textual

    known = [key.keys for key in all_keys()]
    pressed: dict[str, str] = {key: key for key in known if key not in settings.keys}
    for key, instead in settings.keys.items():
        if key not in known:
            raise ConfigError(f"{path}: keys.{key}: no such key; known are {', '.join(known)}")
        if not _is_key(instead):
            raise ConfigError(f"{path}: keys.{key}: {instead!r} is no key; give one character, or a name such as f5")
        if instead in TAKEN:
            raise ConfigError(f"{path}: keys.{key}: {instead} is taken by the terminal or the dashboard; use another")
        if instead in pressed:
            raise ConfigError(f"{path}: keys.{key}: {instead} is the key of {pressed[instead]} already; use another")
        pressed[instead] = key


def _is_key(name: str) -> bool:
    """Whether Textual has a key of that name, with or without modifiers, or by its character's name in Unicode."""
    from textual.keys import Keys  # noqa: PLC0415

    base = name.rpartition("+")[2]
    if len(base) == 1 or base in {key.value.rpartition("+")[2] for key in Keys}:
        return True
    try:
        return bool(unicodedata.lookup(base.replace("_", " ")))
    except KeyError:
        return False
