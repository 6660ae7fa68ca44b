"""Snapshots of a session for tests of output."""

from pmssm.supervisor.session.snapshot import Snapshot


def make_snapshot(**changes: object) -> Snapshot:
    """Return a running session without runs and GPUs; `changes` replace fields."""
    plain: dict[str, object] = {
        "session": "20260122_153100",
        "name": "pmssm",
        "state": "running",
        "mode": "parallel",
        "logs": "/logs",
        "folder": "/logs/session_20260122_153100",
        "engine_pid": 42,
        "taken_at": 1075.0,
        "runs": {},
        "gpus": (),
    }
    return Snapshot.model_validate(plain | changes)
