"""`export`: a trained model as one function of physical parameters, for other programs."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import OptionError, TrainingError
from ..files import atomic_file
from ..log import LOGGER
from .model_file import load_surrogate
from .surrogate import Surrogate

TOLERANCE = 1e-6
"""Largest error of an exported function: in z-scores of the learned values, relative to 1 + |z|."""

CHECKED_POINTS = 1000


class PhysicalModel(nn.Module):
    """Mean of the models of a surrogate as a function of physical parameters.

    Args:
        surrogate: Trained models.

    Attributes:
        models: The models.
        inputs: Computes the inputs of the models.
        target: Converts learned to physical values.
        offset: Mean of the learned values.
        scale: Standard deviation of the learned values.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        super().__init__()
        self.models = nn.ModuleList(surrogate.models)
        self.inputs = surrogate.inputs
        self.target, self.offset, self.scale = surrogate.target, *map(float, _target_scaling(surrogate))

    def forward(self, points: Tensor) -> Tensor:
        """Map points of shape (n, 19), float64, to values of the target, shape (n,), float64."""
        inputs, reference = self.inputs(points)
        normalised = torch.stack([model(inputs) for model in self.models]).double()  # (models, n)
        return self.target.backward_tensor(normalised * self.scale + self.offset, reference).mean(dim=0)


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
    write, run = {".onnx": (_write_onnx, _run_onnx), ".pt2": (_write_program, _run_program)}.get(
        output.suffix.lower(), (None, None)
    )
    if write is None or run is None:
        raise OptionError(f"--output {output}: its name must end in .onnx (ONNX) or .pt2 (torch.export)")
    if not output.parent.is_dir():
        raise OptionError(
            f"--output {output}: the folder {output.parent} does not exist; create it or choose another one"
        )
    surrogate = load_surrogate(model)
    points = _check_points(surrogate)
    with atomic_file(output) as temporary:
        write(PhysicalModel(surrogate).eval(), torch.from_numpy(points[:8]), temporary)
        expected, found = (
            _z_scores(surrogate, points, values)
            for values in (surrogate.predict_members(points, warn=False).mean(axis=0), run(temporary, points))
        )
        worst = float(np.max(np.abs(found - expected) / (1 + np.abs(expected))))
        if not worst <= TOLERANCE:
            raise TrainingError(f"{output}: the export differs from the model by {worst:.1e}, more than {TOLERANCE:g}; "
                                "it was not kept")  # fmt: skip
    LOGGER.info("%s: takes (n, 19) float64, gives %s (n,) float64; differs from the model by %.1e at most on %d points",
                output, surrogate.target.label, worst, len(points))  # fmt: skip


def _z_scores(surrogate: Surrogate, points: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the z-scores of physical `values` of `points`, shape (n,)."""
    mean, std = _target_scaling(surrogate)
    _, reference = surrogate.inputs.compute(torch.from_numpy(points))
    return np.asarray((surrogate.target.forward(values, None if reference is None else reference.numpy()) - mean) / std)


def _check_points(surrogate: Surrogate) -> NDArray[np.float64]:
    """Return random points in the training range, shape (1000, 19)."""
    low, high = surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1]
    return np.random.default_rng(1).uniform(low, high, (CHECKED_POINTS, len(low)))


def traced(module: nn.Module, points: Tensor) -> torch.export.ExportedProgram:
    """Trace `module` for any number of rows.

    Strict mode is needed: non-strict mode takes `len(rows)` for a constant.
    """
    rows = torch.export.Dim("rows", min=1)
    return torch.export.export(module, (points,), dynamic_shapes=({0: rows},), strict=True)


def _write_program(module: PhysicalModel, points: Tensor, path: Path) -> None:
    if module.inputs.layer is None:
        program = traced(module, points)
    else:  # strict mode cannot follow the physics layer; the other mode wants at least two rows
        rows = torch.export.Dim("rows", min=2)
        program = torch.export.export(module, (points,), dynamic_shapes=({0: rows},), strict=False)
    torch.export.save(program, path)


def _run_program(path: Path, points: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.no_grad():
        result: Tensor = torch.export.load(path).module()(torch.from_numpy(points))
    return result.numpy()


def _write_onnx(module: PhysicalModel, points: Tensor, path: Path) -> None:
    _require_onnx()
    if module.inputs.layer is not None:
        write_traced_onnx(module, points, path)
        return
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


def write_traced_onnx(module: nn.Module, points: Tensor, path: Path) -> None:
    """Write an ONNX file by tracing, which takes seconds for the thousands of operations of the physics layer.

    The exporter of `torch.export` takes minutes for them.

    Args:
        module: Function of points, without control flow that depends on them.
        points: Example, shape (n, 19), float64; the file takes any number of points.
        path: File to write.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its age
        torch.onnx.export(
            module,
            (points,),
            path,
            input_names=["points"],
            output_names=["target"],
            dynamic_axes={"points": {0: "rows"}, "target": {0: "rows"}},
            dynamo=False,
            opset_version=18,
            do_constant_folding=False,
        )


def _run_onnx(path: Path, points: NDArray[np.float64]) -> NDArray[np.float64]:
    import onnxruntime  # noqa: PLC0415 (an extra)

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(None, {"points": points})
    return np.asarray(results[0], dtype=np.float64)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise OptionError(f"--output: ONNX needs {error.name}; `pip install onnx onnxscript onnxruntime`, or use a "
                          ".pt2 file") from None  # fmt: skip
