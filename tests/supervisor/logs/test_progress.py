"""Progress, remaining time and stalls of a run, from its log."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.logs.follower import CHUNK, MAX_BACKLOG
from pmssm.supervisor.logs.progress import STALL_FACTOR, STALL_MINIMUM_S, ProgressTracker, parse_progress

PATTERN = r"Training for (?P<epochs>\d+) epochs|Epoch (?P<epoch>\d+) \| loss = (?P<loss>\S+)"
EPOCH_PATTERN = re.compile(r"Epoch (?P<epoch>\d+)(?:/(?P<epochs>\d+))? \| Train MSE = (?P<train_loss>\S+)")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def write(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def epoch(number: int, loss: object = 0.5) -> str:
    return f"Epoch {number:04} | loss = {loss}"


def trained(log: Path, epochs: int, pace: float, *, of: int = 100) -> tuple[ProgressTracker, float]:
    """A tracker that saw an epoch every `pace` seconds, and the time of the last one."""
    tracker = ProgressTracker(PATTERN, log, 0)
    write(log, f"Training for {of} epochs")
    now = 1000.0
    for number in range(1, epochs + 1):
        now += pace
        write(log, epoch(number))
        tracker.update(now)
    return tracker, now


def test_values_are_the_newest_of_every_group(log: Path) -> None:
    tracker = ProgressTracker(PATTERN, log, 0)
    write(log, "Training for 20 epochs", epoch(1, 0.5), epoch(2, 0.25), "saving")
    assert tracker.update(1.0)
    assert tracker.values == {"epochs": 20, "epoch": 2, "loss": 0.25}


def test_a_pattern_that_takes_too_long_is_given_up_and_the_run_is_not_stalled_for_that(log: Path) -> None:
    tracker = ProgressTracker(r"Epoch (?P<epoch>\d+)$|(?:a|aa)+b", log, 0)
    for now in (1.0, 2.0):
        write(log, f"Epoch {now:.0f}")
        tracker.update(now)
    write(log, "a" * 60 + "!")
    assert tracker.update(3.0) and tracker.pattern_timed_out
    write(log, "Epoch 3")
    assert not tracker.update(4.0)
    assert tracker.values == {"epoch": 2}
    assert not tracker.stalled(1e6)


def test_nothing_new_is_no_change(log: Path) -> None:
    tracker = ProgressTracker(PATTERN, log, 0)
    assert not tracker.update(1.0)
    write(log, epoch(1))
    assert tracker.update(2.0)
    assert not tracker.update(3.0)
    write(log, "chatter")
    assert not tracker.update(4.0)


def test_a_loss_that_is_not_finite_leaves_the_last_one(log: Path) -> None:
    tracker = ProgressTracker(PATTERN, log, 0)
    write(log, epoch(1, 0.5), epoch(2, "nan"))
    tracker.update(1.0)
    assert tracker.values == {"epoch": 2, "loss": 0.5}


def test_earlier_attempts_in_the_log_do_not_count(log: Path) -> None:
    write(log, epoch(99))
    tracker = ProgressTracker(PATTERN, log, log.stat().st_size)
    tracker.update(1.0)
    assert tracker.values == {}
    write(log, epoch(1))
    tracker.update(2.0)
    assert tracker.values["epoch"] == 1


def test_without_a_pattern_there_is_no_progress(log: Path) -> None:
    tracker = ProgressTracker(None, log, 0)
    write(log, epoch(1))
    assert not tracker.update(1.0)
    assert tracker.values == {}
    assert tracker.eta_s(1.0) is None
    assert not tracker.stalled(1e9)


def test_one_update_catches_up_with_a_log_of_many_chunks(log: Path) -> None:
    write(log, *("x" * 1000 for _ in range(6 * CHUNK // 1000)), "y" * (3 * CHUNK), epoch(7))
    assert log.stat().st_size > MAX_BACKLOG
    tracker = ProgressTracker(PATTERN, log, 0)
    assert tracker.update(1.0)
    assert tracker.values["epoch"] == 7


def test_one_update_sees_past_a_line_of_several_chunks(log: Path) -> None:
    write(log, epoch(1), "y" * (3 * CHUNK), epoch(7))
    tracker = ProgressTracker(PATTERN, log, 0)
    tracker.update(1.0)
    assert tracker.values["epoch"] == 7


def test_remaining_time_comes_from_the_pace_and_runs_down_between_epochs(log: Path) -> None:
    tracker, now = trained(log, epochs=10, pace=3.0, of=100)
    assert tracker.eta_s(now) == pytest.approx(270)
    assert tracker.eta_s(now + 2) == pytest.approx(268)
    assert tracker.eta_s(now + 1000) == 0


def test_one_slow_epoch_does_not_spoil_the_remaining_time(log: Path) -> None:
    tracker, now = trained(log, epochs=10, pace=3.0)
    write(log, epoch(11))
    tracker.update(now + 500)
    assert tracker.eta_s(now + 500) == pytest.approx(89 * 3)


def test_several_epochs_in_one_update_share_its_time(log: Path) -> None:
    tracker, now = trained(log, epochs=2, pace=10.0)
    write(log, *(epoch(number) for number in range(3, 13)))
    tracker.update(now + 10)  # 1 s each
    assert tracker.eta_s(now + 10) == pytest.approx(88 * (10 + 1) / 2)  # the median of the two


def test_remaining_time_is_unknown_before_a_pace_and_without_a_goal(log: Path) -> None:
    tracker, now = trained(log, epochs=1, pace=3.0)
    assert tracker.eta_s(now) is None
    goalless = ProgressTracker(PATTERN, log.with_name("b.log"), 0)
    for number in (1, 2, 3):
        write(log.with_name("b.log"), epoch(number))
        goalless.update(float(number))
    assert goalless.eta_s(3.0) is None


def test_a_run_is_stalled_long_after_its_pace_and_no_longer_once_it_goes_on(log: Path) -> None:
    tracker, now = trained(log, epochs=10, pace=30.0)
    limit = STALL_FACTOR * 30
    assert not tracker.stalled(now + limit - 1)
    assert tracker.stalled(now + limit + 1)
    write(log, epoch(11))
    tracker.update(now + limit + 2)
    assert not tracker.stalled(now + limit + 3)


def test_a_fast_run_has_a_minimum_of_patience(log: Path) -> None:
    tracker, now = trained(log, epochs=10, pace=0.1)
    assert not tracker.stalled(now + STALL_MINIMUM_S - 1)
    assert tracker.stalled(now + STALL_MINIMUM_S + 1)


def test_a_run_without_a_pace_is_never_stalled(log: Path) -> None:
    tracker, now = trained(log, epochs=1, pace=1.0)
    assert not tracker.stalled(now + 1e6)


def test_a_run_at_its_last_epoch_is_saving_not_stalled(log: Path) -> None:
    tracker, now = trained(log, epochs=10, pace=1.0, of=10)
    assert not tracker.stalled(now + 1e6)


def test_a_clock_that_steps_back_gives_no_negative_pace(log: Path) -> None:
    tracker, now = trained(log, epochs=2, pace=3.0)
    write(log, epoch(3))
    tracker.update(now - 3600)
    write(log, epoch(4))
    tracker.update(now - 3597)
    assert tracker.eta_s(now - 3597) == pytest.approx(96 * 3)


def test_epochs_that_begin_again_keep_the_pace(log: Path) -> None:
    tracker, now = trained(log, epochs=10, pace=3.0)
    write(log, epoch(1))
    tracker.update(now + 3)
    assert tracker.values["epoch"] == 1
    assert tracker.eta_s(now + 3) == pytest.approx(99 * 3)


def test_a_resumed_run_keeps_its_progress_until_it_reports_more(log: Path) -> None:
    write(log, "Training for 9 epochs", epoch(7))
    tracker = ProgressTracker(PATTERN, log, 0, has_earlier=True)
    tracker.update(1000.0)
    assert tracker.values["epoch"] == 7
    for now, number in ((1060.0, 8), (1070.0, 9)):
        write(log, epoch(number))
        tracker.update(now)
        assert (tracker.eta_s(now) is None) == (number == 8)  # how long it took to begin again is no pace


# The numbers of one line


def test_progress_finds_the_numbers_of_the_groups() -> None:
    line = "2026-01-22 15:31:00 [info     ] transformer          | Epoch 0100/2000 | Train MSE = 1.5e-4"
    assert parse_progress(EPOCH_PATTERN, line) == {"epoch": 100, "epochs": 2000, "train_loss": 1.5e-4}


def test_a_group_that_took_no_part_is_absent() -> None:
    assert parse_progress(EPOCH_PATTERN, "Epoch 7 | Train MSE = 0.5") == {"epoch": 7, "train_loss": 0.5}


def test_a_line_without_progress_gives_none() -> None:
    assert parse_progress(EPOCH_PATTERN, "loading data") == {}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "9" * 400, "soon", "0x10", "1__0", "", "--1"])
def test_what_is_no_finite_number_is_left_out(text: str) -> None:
    assert parse_progress(re.compile(r"loss=(?P<loss>.*)"), f"loss={text}") == {}


@pytest.mark.parametrize("text", ["0.123456789012345678901234567890", "-1234567.12345678901234", "1e-300"])
def test_a_number_with_many_digits_is_still_a_number(text: str) -> None:
    assert parse_progress(re.compile(r"loss=(?P<loss>\S+)"), f"loss={text}") == {"loss": float(text)}


@given(st.text(max_size=60))
def test_whatever_a_group_matches_progress_is_finite_and_fits_the_wire(text: str) -> None:
    for number in parse_progress(re.compile(r"(?P<value>.*)", re.DOTALL), text).values():
        assert abs(number) < float("inf")
        assert isinstance(number, float) or abs(number) < 2**63
