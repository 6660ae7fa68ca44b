"""The line on the session at the top of the screen."""

from pathlib import Path

from pmssm.supervisor.dashboard.widgets.session_header import header_lines
from pmssm.supervisor.session.snapshot import AllocationView
from support.fake_engine import NOW, FakeEngine


def test_the_header_counts_down_to_the_end_of_an_allocation(tmp_path: Path) -> None:
    allocation = AllocationView(job_id="123", node="n1", ends=NOW + 2520)
    snapshot = FakeEngine(tmp_path).make_snapshot(allocation=allocation)
    for now, left in ((NOW, "42 min"), (NOW + 600, "32 min")):
        first = "".join(text for text, _ in header_lines(snapshot, None, now, 120)[0])
        assert f" · allocation 123 ends in {left} · " in first


def test_a_session_of_jobs_and_one_local_run_is_not_called_sequential(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    snapshot = engine.make_snapshot(mode="sequential", runs=engine.runs(mlp={"launcher": "slurm"}))
    first = "".join(text for text, _ in header_lines(snapshot, None, NOW, 120)[0])
    assert " · jobs · " in first and "sequential" not in first
