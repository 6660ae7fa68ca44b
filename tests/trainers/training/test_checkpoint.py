from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pmssm.trainers.errors import CheckpointError
from pmssm.trainers.training.checkpoint import MARK, Checkpoints, check_state, read_checkpoint

IDENTITY = {"model": "mlp", "data": "a" * 64, "batch-size": 256}


def checkpoints(folder: Path, **changes: object) -> Checkpoints:
    return Checkpoints(folder, IDENTITY | changes)


def test_a_checkpoint_comes_back_and_loads_with_weights_only(tmp_path: Path) -> None:
    checkpoints(tmp_path).save({"epoch": 3, "weights": torch.arange(5.0)})
    state = checkpoints(tmp_path).load()
    assert state is not None
    assert state["epoch"] == 3
    assert torch.equal(state["weights"], torch.arange(5.0))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["identity"] == IDENTITY


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoints(tmp_path).load() is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_torn_or_flipped_checkpoint_is_found_out(tmp_path: Path, data: st.DataObject) -> None:
    checkpoints(tmp_path).save({"epoch": 1, "weights": torch.arange(50.0)})
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="torn"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert read_checkpoint(path) is None


def test_the_one_before_is_used_when_the_newest_is_damaged_and_survives_the_next_save(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = checkpoints(tmp_path)
    ours.save({"epoch": 1})
    ours.save({"epoch": 2})
    ours.path.write_bytes(ours.path.read_bytes()[:-50])
    assert ours.load() == {"epoch": 1}
    assert "checkpoint.pt is damaged" in caplog.text
    assert "Going on from the checkpoint before" in caplog.text
    ours.save({"epoch": 3})
    assert ours.load() == {"epoch": 3}
    ours.path.unlink()
    assert ours.load() == {"epoch": 1}, "the damaged one did not push out the good one"


def test_a_training_starts_over_when_both_are_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = checkpoints(tmp_path)
    ours.save({"epoch": 1})
    ours.save({"epoch": 2})
    for path in (ours.path, ours.previous):
        path.write_bytes(b"")
    assert ours.load() is None
    assert caplog.text.count("is damaged") == 2
    assert "starting over" in caplog.text


def test_a_checkpoint_of_another_training_is_refused_with_the_remedy(tmp_path: Path) -> None:
    checkpoints(tmp_path).save({"epoch": 1})
    with pytest.raises(CheckpointError, match=r"batch-size 256, this one has 128; .* --fresh"):
        checkpoints(tmp_path, **{"batch-size": 128}).load()
    with pytest.raises(CheckpointError, match="with data aaaaaaaaaaaa…"):
        checkpoints(tmp_path, data="b" * 64).load()


def test_a_save_that_fails_leaves_the_old_checkpoint_and_no_rubbish(tmp_path: Path) -> None:
    ours = checkpoints(tmp_path)
    ours.save({"epoch": 1})
    with pytest.raises(Exception, match="pickle"):
        ours.save({"epoch": 2, "bad": (number for number in range(3))})
    assert ours.load() == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def sealed(folder: Path, content: bytes) -> Checkpoints:
    """Checkpoints of a folder whose newest has that content, under the right checksum."""
    ours = checkpoints(folder)
    ours.path.write_bytes(content + MARK + hashlib.sha256(content).digest())
    return ours


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        pickle.dumps({"identity": IDENTITY}),
        saved(torch.arange(3)),
        saved([]),
        saved({"identity": IDENTITY}),
        saved({"identity": 7, "state": {}}),
        saved({"identity": IDENTITY, "state": [1]}),
        saved({"identity": IDENTITY, "state": {}})[:-40],
    ],
)
def test_other_content_under_a_right_checksum_counts_as_damage(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert sealed(tmp_path, content).load() is None
    assert "or it is no checkpoint" in caplog.text
    assert "starting over" in caplog.text


@pytest.mark.parametrize(
    "other", [7, {}, {"rows": 1, "best": torch.zeros(2), "seconds": 0.5}, {"rows": [], "best": torch.zeros(3)}]
)
def test_a_state_of_another_structure_is_refused(other: object) -> None:
    expected = {"rows": [], "best": torch.zeros(2), "seconds": 0.5}
    check_state(expected, {"rows": [[1]], "best": torch.ones(2), "seconds": 3})
    with pytest.raises(ValueError, match="not that of such a training"):
        check_state(expected, other)
