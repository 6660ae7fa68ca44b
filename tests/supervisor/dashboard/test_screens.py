"""Whole screens compared with committed text files; UPDATE_SCREENS=1 writes them anew."""

import os
import time
from pathlib import Path

import pytest
from pmssm.supervisor.dashboard.widgets import key_bar
from pmssm.supervisor.session.snapshot import AttemptView
from support.fake_engine import NOW, FakeEngine, screen_text, settled, until, until_shown

SCREENS = Path(__file__).parent / "expected_screens"
NOW_ENDED = NOW - 60
SIZES = ((80, 24), (120, 40), (200, 50))


def compare(name: str, shown: str) -> None:
    path = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.write_text(f"{shown}\n")
    expected = path.read_text().removesuffix("\n")
    assert shown == expected, "if this is intended, run it with UPDATE_SCREENS=1 and look at the difference"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_running_session_matches_its_expected_screen(engine: FakeEngine, size: tuple[int, int]) -> None:
    app = engine.app()
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_shown(pilot, "best val", "Epoch 300/2000")
        await until(pilot, lambda: screen_text(app).count("█▇") == 2)  # the sparklines of both trainings
        compare(f"running_{size[0]}x{size[1]}", await settled(pilot))


async def test_finished_session_matches_its_expected_screen(engine: FakeEngine) -> None:
    runs = engine.runs(
        transformer={"state": "failed", "exit_code": 1, "reason": "exit code 1", "ended": NOW_ENDED, "pid": None},
        transformer_tabular={"state": "succeeded", "exit_code": 0, "ended": NOW_ENDED, "pid": None},
        mlp={"state": "blocked", "reason": "blocked by transformer (exit code 1)", "blocked_by": ("transformer",)},
    )
    engine.snapshot = engine.make_snapshot(runs=runs, state="finished", ended=NOW_ENDED, gpus=(), gpu_error="no driver")
    app = engine.app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until_shown(pilot, "best val", "Epoch 300/2000", "█▇")
        compare("finished_80x24", await settled(pilot))


async def test_help_matches_its_expected_screen(engine: FakeEngine) -> None:
    app = engine.app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "best val", "Epoch 300/2000")
        await until(pilot, lambda: screen_text(app).count("█▇") == 2)
        await pilot.press("question_mark")
        await until_shown(pilot, "keys (Esc closes")
        compare("help_120x40", await settled(pilot))


SCREENS_BEHIND_KEYS = {
    "details": ("enter", "─ run transformer ─"),
    "question": ("x", "No, cancel (n)"),
    "all_logs": ("a", "log of all runs · following"),
    "comparison": ("c", "val_loss · all runs"),
    "gpus": ("tab z", "zoomed: gpus"),
    "filter": ("F t r a n s", "transformer_tabular"),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS_BEHIND_KEYS)
async def test_screen_behind_a_key_matches_its_expected_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
) -> None:
    monkeypatch.chdir(tmp_path)  # so that the paths on the screen are always the same
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(key_bar, "MESSAGE_S", 1000.0)  # a busy machine needs longer than a message stays
    engine = FakeEngine(Path())
    attempts = (AttemptView(number=1, started=NOW - 4000, ended=NOW - 3900, exit_code=1, gpu=1),)
    running = AttemptView(number=2, started=NOW - 3713, gpu=1)
    engine.snapshot = engine.make_snapshot(
        runs=engine.runs(transformer={"attempts": (*attempts, running), "attempt": 2})
    )
    for run in ("prepare", "transformer", "transformer_tabular"):
        os.utime(engine.log(run), (NOW, NOW))
    keys, shown = SCREENS_BEHIND_KEYS[name]
    app = engine.app()
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_shown(pilot, "best val", "Epoch 300/2000")
        await until(pilot, lambda: screen_text(app).count("█▇") == 2)
        await pilot.press(*keys.split())
        await until_shown(pilot, shown)
        compare(f"{name}_{size[0]}x{size[1]}", await settled(pilot))
