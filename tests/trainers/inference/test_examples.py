"""The examples in the documentation of what a physicist calls."""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pmssm.trainers.inference import Surrogate, load_surrogate

EXAMPLE_MODEL = Path("logs/session_20260122_153100/mlp/model.pt")


@pytest.mark.parametrize(
    "function", [load_surrogate, Surrogate.__call__, Surrogate.mean_and_std, Surrogate.log_likelihood]
)
def test_the_example_in_the_docstring_runs(
    function: Callable[..., object], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / EXAMPLE_MODEL).parent.mkdir(parents=True)
    shutil.copyfile(model, tmp_path / EXAMPLE_MODEL)
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, globs={})
    assert str(EXAMPLE_MODEL) in (example.docstring or "")
    output: list[str] = []
    results = doctest.DocTestRunner().run(example, out=output.append)
    assert results.attempted >= 4
    assert results.failed == 0, "".join(output)
