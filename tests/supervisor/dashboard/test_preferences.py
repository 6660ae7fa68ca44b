"""Theme, ASCII mode, keymap, command palette."""

from pmssm.supervisor.dashboard.config import DashboardConfig
from pmssm.supervisor.dashboard.preferences import Preferences
from pmssm.supervisor.dashboard.rendering.ascii_filter import AsciiFilter
from support.fake_engine import FakeEngine, until_shown
from textual.app import App


async def test_ascii_mode_draws_only_ascii(engine: FakeEngine) -> None:
    app = engine.app(ascii=True)
    async with app.run_test(size=(120, 40)) as pilot:
        shown = await until_shown(pilot, "transformer: > running", "best val", "prepare             + succeeded")
        assert shown.isascii()


async def test_T_goes_through_the_themes(engine: FakeEngine) -> None:
    app = engine.app(theme="light")
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        assert app.theme == "textual-light"
        await pilot.press("T")
        await until_shown(pilot, "theme: high-contrast")
        assert app.theme == "high-contrast"


async def test_the_keymap_replaces_keys(engine: FakeEngine) -> None:
    async with engine.app(keys={"x": "d", "X": "x"}).run_test(size=(120, 60)) as pilot:
        await until_shown(pilot, "transformer: ▶ running", "d stop")
        await pilot.press("d")
        await until_shown(pilot, "Stop transformer?")
        await pilot.press("n", "x")
        await until_shown(pilot, "Kill transformer?")
        await pilot.press("n", "question_mark")
        await until_shown(pilot, "d         stop:")


async def test_the_palette_finds_a_command_by_its_description(engine: FakeEngine) -> None:
    async with engine.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("colon", *"wrap long")
        await until_shown(pilot, "wrap long lines, or cut them off (w)")
        await pilot.press("down", "enter")
        await until_shown(pilot, "long lines are wrapped")


def test_preferences_set_theme_and_keymap_of_any_app() -> None:
    app = App[None]()
    preferences = Preferences(app, DashboardConfig(theme="light", ascii=True, keys={"x": "d"}))
    preferences.apply()
    assert app.theme == "textual-light"
    assert [type(line_filter) for line_filter in preferences.line_filters] == [AsciiFilter]
    assert preferences.next_theme() == "theme: high-contrast"
    assert app.theme == "high-contrast"
    commands = [text for text, _ in preferences.palette_commands(app.run_action)]
    assert "stop: SIGTERM, checkpoint, then SIGKILL (confirm) (d)" in commands
