"""Themes, ASCII, other keys, the palette, and what the terminal around the dashboard is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.bindings import all_keys
from pmssm.supervisor.dashboard.config import TAKEN, ConfigError, DashboardConfig, load_config
from pmssm.supervisor.dashboard.rendering.ascii_filter import to_ascii
from pmssm.supervisor.dashboard.terminal import ended_runs_message, notification, set_title, title
from rich.cells import cell_len
from support.fake_engine import Stage, screen_text, until, until_shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Mn", "Me", "Cf"])))
def test_ascii_keeps_the_width_of_every_text(text: str) -> None:
    shown = to_ascii(text)
    assert shown.isascii()
    assert len(shown) == cell_len(text)


async def test_nothing_but_ascii_is_drawn_where_that_is_asked_for(stage: Stage) -> None:
    app = stage.app(ascii=True)
    async with app.run_test(size=(120, 40)) as pilot:
        shown = await until_shown(pilot, "transformer: > running", "best val", "prepare             + succeeded")
        assert shown.isascii()


async def test_T_goes_through_the_themes(stage: Stage) -> None:
    app = stage.app(theme="light")
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        assert app.theme == "textual-light"
        await pilot.press("T")
        await until_shown(pilot, "theme: high-contrast")
        assert app.theme == "high-contrast"


async def test_a_key_is_another_one_where_the_user_says_so(stage: Stage) -> None:
    async with stage.app(keys={"x": "d", "X": "x"}).run_test(size=(120, 60)) as pilot:
        await until_shown(pilot, "transformer: ▶ running", "d stop")
        await pilot.press("d")
        await until_shown(pilot, "Stop transformer?")
        await pilot.press("n", "x")
        await until_shown(pilot, "Kill transformer?")
        await pilot.press("n", "question_mark")
        await until_shown(pilot, "d         stop it:")


async def test_the_palette_finds_a_command_by_words(stage: Stage) -> None:
    async with stage.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("colon", *"wrap long")
        await until_shown(pilot, "wrap long lines, or cut them (w)")
        await pilot.press("down", "enter")
        await until_shown(pilot, "long lines are wrapped")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("theme = 'pink'", "theme"),
        ("colour = 1", "known are theme, ascii, notify, keys"),
        ("keys = {ä = 'b'}", "line 1"),
        ("[keys]\nB = 'd'", "keys.B: no such key"),
        ("[keys]\nx = 'ctrl+s'", "ctrl+s is taken"),
        ("[keys]\nx = 'r'", "r is the key of r already"),
        ("[keys]\nx = 'dd'", "keys.x: 'dd' is no key"),
        ("[keys]\nx = ''", "keys.x: '' is no key"),
        ("notify = 'yes'", "notify: Input should be a valid boolean"),
    ],
)
def test_bad_settings_say_what_is_wrong_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "dashboard.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(path) in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_file_there_are_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "absent.toml") == DashboardConfig()


def test_no_key_is_one_that_the_terminal_or_tmux_takes() -> None:
    assert not {key.keys for key in all_keys()} & (set(TAKEN) - {"enter", "tab"})


def test_the_title_tells_how_far_the_session_is(stage: Stage) -> None:
    assert title(stage.picture()) == "pmssm 31 % · 1 succeeded, 2 running, 1 waiting"
    assert set_title("a\x1b]0;b\x07c") == "\x1b]2;ac\x07"


def test_the_end_of_runs_is_news_once(stage: Stage) -> None:
    before = stage.picture()
    failed = stage.picture(runs=stage.runs(transformer={"state": "failed", "reason": "exit code 1: \x1b[2Jdisk full"}))
    assert ended_runs_message(before, failed) == "transformer failed: exit code 1: disk full"
    assert ended_runs_message(failed, failed) == ended_runs_message(None, failed) == ""
    assert notification("a;b", {}) == "\x1b]9;a;b\x07"
    assert notification("a", {"TERM": "foot"}) == "\x1b]777;notify;pmssm-supervise;a\x07"
    assert notification("a", {"TMUX": "x"}) == "\x1bPtmux;\x1b\x1b]9;a\x07\x1b\\"


async def test_the_end_of_a_run_is_said(stage: Stage) -> None:
    async with stage.app().run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        stage.show(stage.picture(runs=stage.runs(transformer={"state": "failed", "reason": "exit code 1"})))
        await until_shown(pilot, "transformer failed: exit code 1")
        await until(pilot, lambda: "✗ failed" in screen_text(pilot.app))
