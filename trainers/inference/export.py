"""`export`: a trained model as one function of physical parameters, for other programs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import OptionError, TrainingError
from ..files import atomic_file
from ..log import LOGGER
from .intervals import PredictionIntervals
from .model_file import load_surrogate
from .physical_model import IntervalModel
from .surrogate import Surrogate

Values = NDArray[np.float64]
Run = Callable[[Values], list[Values]]
"""An exported function: maps points of shape (n, 19) to its outputs, each of shape (n,)."""

TOLERANCE = 1e-6
"""Largest error of an exported function: in z-scores of the learned values, relative to 1 + |z|."""

BOUND_TOLERANCE = 1e-4
"""The same for the bounds of intervals: their width is a large multiple of the small spread of an ensemble."""

CHECKED_POINTS = 1000


def _target_scaling(surrogate: Surrogate) -> tuple[float, float]:
    return surrogate.scaling.mean[-1], surrogate.scaling.std[-1]


def export_model(model: Path, output: Path) -> None:
    """Export a model and check that the exported function gives the same values.

    Args:
        model: model.pt of a finished training.
        output: File to write; `.onnx` for ONNX, `.pt2` for torch.export.

    Raises:
        TrainerError: A file cannot be used, a package is missing, or the values differ.
    """
    write = {".onnx": _write_onnx, ".pt2": _write_program}.get(output.suffix.lower())
    if write is None:
        raise OptionError(f"--output {output}: its name must end in .onnx (ONNX) or .pt2 (torch.export)")
    if not output.parent.is_dir():
        raise OptionError(
            f"--output {output}: the folder {output.parent} does not exist; create it or choose another one"
        )
    surrogate = load_surrogate(model)
    points, module = _check_points(surrogate), surrogate.physical_model()
    names, uses_physics = ["target"], surrogate.inputs.layer is not None
    expected = [np.asarray(surrogate.predict_members(points, warn=False).mean(axis=0))]
    exported: nn.Module = module
    if surrogate.calibrated is not None:
        exported, uses_physics = IntervalModel(module, surrogate.scaling, surrogate.calibrated), True
        names += PredictionIntervals._fields
        expected += surrogate.intervals_of(points, surrogate.predict_members(points, warn=False))
    with atomic_file(output) as temporary:
        run = write(exported.eval(), torch.from_numpy(points[:8]), temporary, names if uses_physics else None)
        found = run(points)
        worst, *of_bounds = (_difference(surrogate, points, *pair) for pair in zip(expected, found, strict=True))
        if not (worst <= TOLERANCE and all(one <= BOUND_TOLERANCE for one in of_bounds)):
            raise TrainingError(f"{output}: the export differs from the model by {worst:.1e}, more than {TOLERANCE:g}, "
                                f"or its bounds by more than {BOUND_TOLERANCE:g}; it was not kept")  # fmt: skip
    bounds = f" and {', '.join(names[1:])}" if names[1:] else ""
    LOGGER.info("%s: takes (n, 19) float64, gives %s%s, each (n,) float64; differs from the model by %.1e at most on "
                "%d points", output, surrogate.target.label, bounds, worst, len(points))  # fmt: skip


def _difference(surrogate: Surrogate, points: Values, expected: Values, found: Values) -> float:
    """Return the largest difference of z-scores, relative to 1 + |z|; bounds that are nan in both do not differ."""
    first, second = (_z_scores(surrogate, points, values) for values in (expected, found))
    with np.errstate(invalid="ignore"):
        difference = np.where(first == second, 0, np.abs(second - first) / (1 + np.abs(first)))
    return float(np.max(np.where(np.isnan(expected) & np.isnan(found), 0, difference)))


def _z_scores(surrogate: Surrogate, points: Values, values: Values) -> Values:
    """Return the z-scores of physical `values` of `points`, shape (n,)."""
    _, reference = surrogate.inputs.compute(torch.from_numpy(points))
    learned = surrogate.target.forward(values, None if reference is None else reference.numpy())
    return np.asarray((learned - surrogate.scaling.mean[-1]) / surrogate.scaling.std[-1])


def _check_points(surrogate: Surrogate) -> Values:
    """Return random points in the training range, shape (1000, 19)."""
    low, high = surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1]
    return np.random.default_rng(1).uniform(low, high, (CHECKED_POINTS, len(low)))


def traced(module: nn.Module, points: Tensor) -> torch.export.ExportedProgram:
    """Trace `module` for any number of rows.

    Strict mode is needed: non-strict mode takes `len(rows)` for a constant.
    """
    rows = torch.export.Dim("rows", min=1)
    return torch.export.export(module, (points,), dynamic_shapes=({0: rows},), strict=True)


def _write_program(module: nn.Module, points: Tensor, path: Path, physics_outputs: Sequence[str] | None) -> Run:
    if physics_outputs is None:
        program = traced(module, points)
    else:  # strict mode cannot follow the physics layer; the other mode wants at least two rows
        rows = torch.export.Dim("rows", min=2)
        program = torch.export.export(module, (points,), dynamic_shapes=({0: rows},), strict=False)
    torch.export.save(program, path)
    return partial(_run_program, program)


def _run_program(program: torch.export.ExportedProgram, points: Values) -> list[Values]:
    """Apply what was written; to read it from the file would take as long as the export."""
    with torch.no_grad():
        result: Tensor | tuple[Tensor, ...] = program.module()(torch.from_numpy(points))
    return [each.numpy() for each in (result if isinstance(result, tuple) else (result,))]


def _write_onnx(module: nn.Module, points: Tensor, path: Path, physics_outputs: Sequence[str] | None) -> Run:
    _require_onnx()
    if physics_outputs is not None:
        write_traced_onnx(module, points, path, physics_outputs)
        return partial(_run_onnx, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself; its logger repeats them
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            traced(module, points),
            f=path,
            input_names=["points"],
            output_names=["target"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return partial(_run_onnx, path)


def write_traced_onnx(module: nn.Module, points: Tensor, path: Path, outputs: Sequence[str] = ("target",)) -> None:
    """Write an ONNX file by tracing, which takes seconds for the thousands of operations of the physics layer.

    The exporter of `torch.export` takes minutes for them.

    Args:
        module: Function of points, without control flow that depends on them.
        points: Example, shape (n, 19), float64; the file takes any number of points.
        path: File to write.
        outputs: Names of the outputs of `module`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its age
        torch.onnx.export(
            module,
            (points,),
            path,
            input_names=["points"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "rows"} for name in ("points", *outputs)},
            dynamo=False,
            opset_version=18,
            do_constant_folding=False,
        )


def _run_onnx(path: Path, points: Values) -> list[Values]:
    import onnxruntime  # noqa: PLC0415 (an extra)

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(None, {"points": points})
    return [np.asarray(each, dtype=np.float64) for each in results]


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise OptionError(f"--output: ONNX needs {error.name}; `pip install onnx onnxscript onnxruntime`, or use a "
                          ".pt2 file") from None  # fmt: skip
