"""Pictures of a session, as an engine gives them, for tests of what people are shown."""

from pmssm.supervisor.session.snapshot import Snapshot


def picture(**changes: object) -> Snapshot:
    """A running session without runs and GPUs, but for `changes`."""
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
