"""The 19 inputs of the pMSSM by name."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Parameters(NamedTuple):
    """The pMSSM inputs of a batch, one tensor of shape (points,) each; GeV, except tan β.

    The fields are in the order of `columns.PARAMETERS`.
    """

    meL: Tensor
    meR: Tensor
    mtauL: Tensor
    mtauR: Tensor
    mqL1: Tensor
    muR: Tensor
    mdR: Tensor
    mqL3: Tensor
    mtR: Tensor
    mbR: Tensor
    M_1: Tensor
    M_2: Tensor
    mu: Tensor
    M_3: Tensor
    At: Tensor
    Ab: Tensor
    Atau: Tensor
    mA: Tensor
    tanb: Tensor


def split_parameters(points: Tensor) -> Parameters:
    """Name the columns of a batch.

    Args:
        points: Shape (points, 19), in the order of `columns.PARAMETERS`.

    Returns:
        Contiguous tensors of shape (points,).
    """
    return Parameters(*points.T.contiguous().unbind(0))
