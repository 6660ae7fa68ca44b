"""dashboard.toml: defaults and errors."""

from pathlib import Path

import pytest
from pmssm.supervisor.dashboard.bindings import all_keys
from pmssm.supervisor.dashboard.config import RESERVED, ConfigError, DashboardConfig, load_config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("theme = 'pink'", "theme"),
        ("colour = 1", "known fields: theme, ascii, notify, keys"),
        ("keys = {ä = 'b'}", "line 1"),
        ("[keys]\nB = 'd'", "keys.B: unknown key"),
        ("[keys]\nx = 'ctrl+s'", "ctrl+s is reserved"),
        ("[keys]\nx = 'r'", "r is already the key for r"),
        ("[keys]\nx = 'dd'", "keys.x: 'dd' is not a key"),
        ("[keys]\nx = ''", "keys.x: '' is not a key"),
        ("notify = 'yes'", "notify: Input should be a valid boolean"),
    ],
)
def test_bad_settings_are_described_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "dashboard.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_file_there_are_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "absent.toml") == DashboardConfig()


def test_no_default_key_is_reserved_by_terminal_or_tmux() -> None:
    assert not {key.keys for key in all_keys()} & (set(RESERVED) - {"enter", "tab"})
