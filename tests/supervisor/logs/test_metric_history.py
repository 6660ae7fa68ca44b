"""Metrics of a run by epoch, from its log."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.logs.follower import MAX_BACKLOG
from pmssm.supervisor.logs.metric_history import MetricHistories, MetricHistory, MetricHistoryReader
from support.fake_engine import PROGRESS, epoch_line, training_log


def history(*lines: dict[str, float]) -> MetricHistory:
    made = MetricHistory()
    for line in lines:
        made.add(line)
    return made


def test_lines_without_a_metric_make_no_point() -> None:
    assert len(history({"epochs": 2000}, {"epoch": 3})) == 0


def test_a_resumed_run_forgets_what_came_after_its_checkpoint() -> None:
    resumed = history(*({"epoch": e, "val_loss": 1 / e} for e in (1, 2, 3, 4)), {"epoch": 3, "val_loss": 9.0})
    assert resumed.points("val_loss") == [(1, 1), (2, 0.5), (3, 9.0)]


def test_the_best_epoch_is_the_one_with_the_lowest_validation_loss() -> None:
    assert history(
        {"epoch": 1, "val_loss": 3.0}, {"epoch": 2, "val_loss": 1.0}, {"epoch": 3, "val_loss": 2.0}
    ).best() == (2, 1)


def test_losses_come_before_other_metrics() -> None:
    assert history({"epoch": 1, "lr": 0.1, "val_loss": 2.0, "train_loss": 1.0}).names == ("train_loss", "val_loss")
    assert history({"epoch": 1, "a": 1, "b": 2, "c": 3}).names == ("a", "b")


def test_a_metric_that_appears_later_has_no_points_before() -> None:
    assert history({"epoch": 1, "a": 1.0}, {"epoch": 2, "a": 2.0, "b": 5.0}).points("b") == [(2, 5.0)]


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(-10, 10)), max_size=60))
def test_epochs_always_rise_and_the_newest_line_is_the_last_point(lines: list[tuple[int, float]]) -> None:
    made = history(*({"epoch": epoch, "val_loss": value} for epoch, value in lines))
    assert made.epochs == sorted(set(made.epochs))
    assert made.points("val_loss")[-1:] == [(float(e), v) for e, v in lines[-1:]]


async def test_a_reader_takes_each_line_once_and_notices_a_new_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(training_log(3))
    reader = MetricHistoryReader(log, PROGRESS)
    assert await reader.read()
    assert reader.history.epochs == [1, 2, 3]
    assert not await reader.read()
    log.write_text(training_log(1))
    assert await reader.read()
    assert reader.history.epochs == [1]


async def test_a_pattern_that_would_search_a_line_for_years_is_given_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Epoch 1 loss 2\n" * 300 + "a" * 60 + "!\nEpoch 2 loss 1\n")
    reader = MetricHistoryReader(log, r"Epoch (?P<epoch>\d+) loss (?P<val_loss>\d)|(?:a|aa)+b")
    assert await reader.read()
    assert reader.pattern_timed_out
    assert reader.history.points("val_loss") == [(1, 2)]
    assert not await reader.read()


async def test_a_huge_log_is_read_from_near_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        file.write(f"{epoch_line(1, 1, 1)}\n")
        file.write(("x" * 99 + "\n") * (MAX_BACKLOG // 100 + 1000))
        file.write(f"{epoch_line(2, 1, 1)}\n")
    reader = MetricHistoryReader(log, PROGRESS)
    assert await reader.read()
    assert reader.history.epochs == [2]


async def test_histories_read_on_where_they_were(tmp_path: Path) -> None:
    log, histories = tmp_path / "log", MetricHistories()
    assert not await histories.refresh("a", log, PROGRESS)
    log.write_text(training_log(2))
    assert await histories.refresh("a", log, PROGRESS)
    with log.open("a") as file:
        file.write(f"{epoch_line(3, 0.5, 0.5)}\n")
    assert await histories.refresh("a", log, PROGRESS)
    known = histories.get("a")
    assert known is not None
    assert known.epochs == [1, 2, 3]
