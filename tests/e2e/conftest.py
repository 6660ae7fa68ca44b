"""Fixtures of the end-to-end tests."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from e2e.box import Box


@pytest.fixture
def make_box(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], Box]]:
    """Makes boxes with a given environment."""
    boxes: list[Box] = []
    with tempfile.TemporaryDirectory(prefix="pmssm-") as runtime:  # short enough for a socket

        def make(env: Mapping[str, str]) -> Box:
            folder = tmp_path / f"box{len(boxes)}"
            folder.mkdir()
            clean = {name: value for name, value in env.items() if name != "CUDA_VISIBLE_DEVICES"}
            boxes.append(Box(folder, Path(runtime), clean))
            return boxes[-1]

        yield make
        for box in boxes:
            box.close()


@pytest.fixture
def box(make_box: Callable[[Mapping[str, str]], Box], env_without_nvml: Mapping[str, str]) -> Box:
    """A box on a machine without GPUs."""
    return make_box({**os.environ, **env_without_nvml})
