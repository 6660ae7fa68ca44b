"""Log panel: positions in a large log, search, wrapping, merging, copying."""

from typing import Any

from pmssm.supervisor.dashboard.data.line_window import MAX_LINES
from support.fake_engine import FakeEngine, epoch_line, screen_text, until, until_shown
from textual.pilot import Pilot

LINES = 120_000


async def with_large_log(engine: FakeEngine, pilot: Pilot[Any]) -> None:
    engine.log("transformer").write_text("".join(f"line {number:06} {'x' * 60}\n" for number in range(LINES)))
    await until_shown(pilot, f"line {LINES - 1:06}")
    await pilot.press("tab", "tab", "tab")


async def test_a_large_log_opens_at_its_end_and_is_scrolled_to_its_beginning(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test() as pilot:
        await with_large_log(engine, pilot)
        assert len(app.panes.log.lines.lines) < 10_000
        await pilot.press("5")
        await until_shown(pilot, "line 06", "paused")
        await pilot.press("g")
        await until_shown(pilot, "line 000000")
        for _ in range(5):
            await pilot.press("pagedown")
        await until_shown(pilot, "line 00004")
        await pilot.press("G")
        await until_shown(pilot, f"line {LINES - 1:06}", "following")


async def test_scrolling_upwards_goes_on_above_what_was_read_first(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test() as pilot:
        await with_large_log(engine, pilot)
        lines = app.panes.log.lines
        first = lines.start
        await pilot.press("pageup")
        await until(pilot, lambda: not lines.follows)
        lines.scroll_to(y=5, animate=False)
        shown = lines.lines[5]
        await until(pilot, lambda: lines.start < first and shown in lines.lines_in_view())
        assert len(lines.lines) <= MAX_LINES


async def test_a_search_counts_matches_in_all_of_a_large_log(engine: FakeEngine) -> None:
    async with engine.app().run_test() as pilot:
        await with_large_log(engine, pilot)
        await pilot.press("slash", *"0777[0-9]$|line 077", "enter")
        await until_shown(pilot, "match 1000/1000", "line 077999")
        await pilot.press("n")
        await until_shown(pilot, "match 1/1000", "line 077000")
        await pilot.press("N", "1")
        await until_shown(pilot, "line 012", "match 1000/1000")
        await pilot.press("n")  # from where the reader is
        await until_shown(pilot, "match 1/1000", "line 077000")
        with engine.log("transformer").open("a") as file:
            file.write("line 077 again\n")
        await until_shown(pilot, "match 1/1001")


async def test_e_goes_from_error_to_error_upwards(engine: FakeEngine) -> None:
    engine.log("transformer").write_text("fine\nValueError: a\n" + "fine\n" * 50 + "Traceback of b\n" + "fine\n" * 50)
    async with engine.app().run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running", "fine")
        await pilot.press("e")
        await until_shown(pilot, "Traceback of b", "match 2/2 for errors")
        await pilot.press("e")
        await until_shown(pilot, "ValueError: a", "match 1/2 for errors")


async def test_w_wraps_long_lines(engine: FakeEngine) -> None:
    engine.log("transformer").write_text(f"{'a' * 200}end\n" + "é" * 100 + "ende\n" + f"{epoch_line(1, 1, 1)}\n")
    async with engine.app().run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "aaa", "Epoch 1/2000")
        assert "end" not in screen_text(pilot.app).split("log of")[1].replace("ende", "")
        await pilot.press("w")
        await until_shown(pilot, "aaend", "éende", "Epoch 1/2000")
        await pilot.press("w")
        await until(pilot, lambda: "aaend" not in screen_text(pilot.app))


async def test_a_merges_all_logs_and_y_copies_what_is_in_view(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test() as pilot:
        await until_shown(pilot, "transformer: ▶ running")
        await pilot.press("a")
        await until_shown(pilot, "log of all runs", "transformer_tabular Epoch 200/2000")
        await pilot.press("y")
        await until_shown(pilot, "copied the log lines in view")
        assert "transformer_tabular Epoch 200/2000" in app.clipboard
        await pilot.press("a")
        await until_shown(pilot, "log of transformer ", "Epoch 300/2000")
        await pilot.press("Y")
        await until_shown(pilot, "copied the command line")
        assert app.clipboard == "train transformer --data 'a b'"


async def test_a_log_that_is_replaced_is_shown_anew(engine: FakeEngine) -> None:
    async with engine.app().run_test() as pilot:
        await until_shown(pilot, "Epoch 300/2000")
        engine.log("transformer").unlink()
        engine.log("transformer").write_text("another log\n")
        shown = await until_shown(pilot, "another log")
        assert "Epoch 299/2000" not in shown


async def test_the_merged_view_scrolls_through_whole_logs_and_follows_what_is_added(engine: FakeEngine) -> None:
    for name in ("transformer", "transformer_tabular"):
        clock = (f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}" for n in range(60_000))
        lines = (
            f"2026-01-22 {at} [info     ] {name:<20} | {name[-3:]}{n:05} {'x' * 40}\n" for n, at in enumerate(clock)
        )
        engine.log(name).write_text("".join(lines))
    async with engine.app().run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "mer59999")
        await pilot.press("a", "tab", "tab", "tab")
        await until_shown(pilot, "log of all runs", "mer59999", "lar59999", "following")
        await pilot.press("5")
        await until_shown(pilot, "mer3", "lar3", "paused")
        await pilot.press("g")
        await until_shown(pilot, "00:00:00 transformer         mer00000", "00:00:00 transformer_tabular lar00000")
        await pilot.press("t", "t")
        await until_shown(pilot, "2026-01-22 00:00:00 transformer ")
        with engine.log("transformer").open("a") as file:
            file.write("2026-01-22 23:00:00 [info     ] transformer          | the newest\n")
        await until_shown(pilot, "+1 new lines")
        await pilot.press("G")
        await until_shown(pilot, "23:00:00 transformer         the newest", "following")


async def test_a_page_of_few_lines_is_filled_from_above(engine: FakeEngine) -> None:
    with engine.log("transformer").open("a") as file:
        file.write(f"{'x' * 400_000}\nthe last line\n")
    async with engine.app().run_test(size=(80, 40)) as pilot:
        await until_shown(pilot, "the last line", "Epoch 300/2000", "following")
