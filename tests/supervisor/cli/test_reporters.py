"""The live lines of `--headless` on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.cli import reporters
from pmssm.supervisor.cli.reporters import LASTING_S, BackgroundPrinter, LineReporter, live_lines
from pmssm.supervisor.session.snapshot import RunView
from pmssm.supervisor.session.state import RunState
from support.snapshots import make_snapshot

PROGRESS = {"epoch": 500, "epochs": 2000, "train_loss": 0.123456, "val_loss": 0.234567}
TRAINING = RunView(state=RunState.RUNNING, gpu=1, progress=PROGRESS, eta_s=3723.0)
WAITING = RunView(state=RunState.WAITING)


def lines(width: int, **runs: RunView) -> list[str]:
    return live_lines(make_snapshot(started=1000.0, runs=runs), width)


def test_a_wide_terminal_has_room_for_everything() -> None:
    assert lines(119, transformer=TRAINING, transformer_tabular=TRAINING, mlp=WAITING) == [
        "transformer          GPU 1 [####............]  "
        "epoch 500/2000, train_loss 0.123456, val_loss 0.234567, 1:02:03 to go",
        "transformer_tabular  GPU 1 [####............]  "
        "epoch 500/2000, train_loss 0.123456, val_loss 0.234567, 1:02:03 to go",
        "1:15  2 running, 1 waiting",
    ]


def test_on_a_narrow_one_the_bar_goes_first_and_the_validation_loss_and_the_time_to_go_stay() -> None:
    assert lines(79, transformer=TRAINING, transformer_tabular=TRAINING) == [
        "transformer          GPU 1  epoch 500/2000, val_loss 0.234567, 1:02:03 to go",
        "transformer_tabular  GPU 1  epoch 500/2000, val_loss 0.234567, 1:02:03 to go",
        "1:15  2 running",
    ]
    assert "[##" in lines(111, transformer_tabular=TRAINING)[0]


def test_long_names_differ_where_they_are_cut() -> None:
    first, second, _ = lines(79, **{f"fit-with-many-parameters-rate0.001-seed{seed}": TRAINING for seed in (1, 2)})
    assert first == "fit-with-..01-seed1  GPU 1  epoch 500/2000, val_loss 0.234567, 1:02:03 to go"
    assert second == first.replace("seed1", "seed2")


@given(st.integers(1, 250), st.dictionaries(st.text("ab-", min_size=1, max_size=70), st.just(TRAINING), max_size=12))
def test_no_line_is_longer_than_the_terminal(width: int, runs: dict[str, RunView]) -> None:
    shown = lines(width, **runs)
    assert max(map(len, shown)) <= width
    assert len(shown) == min(len(runs), 8) + 1


class Printed(BackgroundPrinter):
    """A printer that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def print(self, text: str) -> None:
        self.texts.append(text)


def test_a_reason_to_wait_that_lasts_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(reporters.time, "monotonic", lambda: now)
    printer = Printed()
    reporter = LineReporter(printer)
    for reason, seconds in (("was just submitted", 1), ("waits for a GPU", LASTING_S), ("waits for a GPU", 60)):
        run = RunView(state=RunState.PENDING, pending_reason=reason, reason=f"{reason}; 2nd job of this run")
        for _ in range(3):
            reporter.snapshot(make_snapshot(runs={"mlp": run}))
            now += seconds / 2
    printer.finish()
    assert len(printer.texts) == 1
    assert printer.texts[0].endswith("mlp: pending: waits for a GPU; 2nd job of this run")


def test_a_running_job_is_shown_with_its_node_and_a_pending_one_is_only_counted() -> None:
    job = TRAINING.model_copy(update={"gpu": None, "launcher": "slurm", "node": "n7"})
    pending = RunView(state=RunState.PENDING, launcher="slurm", job_id="315")
    first, counted = lines(119, transformer=job, mlp=pending)
    assert first.startswith("transformer  n7 [####") and counted == "1:15  1 running, 1 pending"
