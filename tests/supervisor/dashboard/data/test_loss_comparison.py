"""Curves of attempts and of earlier sessions."""

from pathlib import Path

from pmssm.supervisor.dashboard.data.loss_comparison import MAX_SESSIONS, curves_of_attempts, earlier_sessions
from pmssm.supervisor.logs.metric_history import MetricHistory
from support.fake_engine import PROGRESS, epoch_line


def test_superseded_epochs_of_attempts_stay_comparable() -> None:
    history = MetricHistory()
    for epoch, value in [(1, 9.0), (2, 8.0), (3, 7.0), (1, 5.0), (2, 4.0)]:
        history.add({"epoch": epoch, "val_loss": value})
    compared = curves_of_attempts("a", history, "val_loss")
    assert [list(curve.points) for curve in compared.curves] == [
        [(1, 5.0), (2, 4.0)],
        [(1, 9.0), (2, 8.0), (3, 7.0)],
    ]


async def test_earlier_sessions_are_the_newest_others_with_a_loss(tmp_path: Path) -> None:
    for day in range(10, 20):
        (tmp_path / f"session_202601{day}_120000").mkdir()
        if day != 15:
            (tmp_path / f"mlp_202601{day}_120000.log").write_text(epoch_line(1, 1.0, float(day)) + "\n")
    found = await earlier_sessions(tmp_path, "20260119_120000", "mlp", PROGRESS)
    assert [stamp[6:8] for stamp in found] == ["18", "17", "16", "14", "13", "12"]
    assert len(found) == MAX_SESSIONS
