"""Eigenvalues by elementary operations only, so that every exporter supports them.

Points are on the last axis everywhere: each operation then runs over contiguous memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

REGULATOR = 1e-4
"""Smallest splitting of two levels, in the unit of the matrix. Keeps gradients finite at degeneracy."""

SWEEPS = 3
"""Jacobi sweeps. Convergence is quadratic: three leave off-diagonal elements below 1e-6 of the norm."""

_ROTATIONS = ((2, 3), (0, 2), (1, 3), (0, 3), (1, 2), (0, 1))
"""One sweep. It begins with the two higgsinos, whose mixing is maximal."""

_SORTING_NETWORK = ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2))
"""Comparators that sort four values (Knuth, TAOCP vol. 3, 5.3.4)."""


def symmetric_eigen_4(diagonal: list[Tensor], upper: dict[tuple[int, int], Tensor]) -> tuple[Tensor, Tensor]:
    """Diagonalise real symmetric 4x4 matrices by cyclic Jacobi rotations.

    Source: Golub and Van Loan, Matrix Computations, section 8.5.

    Args:
        diagonal: Four tensors of shape (points,).
        upper: The six elements (row, column) with row < column, shape (points,).

    Returns:
        Eigenvalues, shape (4, points), in increasing order of magnitude, with their signs; and the matrix V of shape
        (4, 4, points), whose row k is the eigenvector of eigenvalue k.
    """
    values, off = list(diagonal), dict(upper)
    vectors = list(
        torch.eye(4, dtype=values[0].dtype, device=values[0].device)[:, :, None].expand(4, 4, values[0].shape[0])
    )
    for _ in range(SWEEPS):
        for p, q in _ROTATIONS:
            coupling = off[p, q]
            gap = values[q] - values[p]
            root = torch.sqrt(gap * gap + 4 * coupling * coupling + REGULATOR**2)
            tangent = 2 * coupling / torch.where(gap < 0, gap - root, gap + root)
            cosine = torch.rsqrt(1 + tangent * tangent)
            sine = tangent * cosine
            # The exact element after the rotation: zero but for the regulator.
            product, sine2 = cosine * sine, sine * sine
            off[p, q] = (1 - 2 * sine2) * coupling - product * gap
            change = sine2 * gap - 2 * product * coupling
            values[p], values[q] = values[p] + change, values[q] - change
            for other in range(4):
                if other not in (p, q):
                    first, second = (min(p, other), max(p, other)), (min(q, other), max(q, other))
                    off[first], off[second] = _rotate(off[first], off[second], cosine, sine)
            vectors[p], vectors[q] = _rotate(vectors[p], vectors[q], cosine, sine)
    return _sort_by_magnitude(torch.stack(values), torch.stack(vectors))


def _rotate(first: Tensor, second: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    return cosine * first - sine * second, sine * first + cosine * second


def _sort_by_magnitude(values: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    rows = [torch.cat([values[k : k + 1], vectors[k]]) for k in range(4)]
    for low, high in _SORTING_NETWORK:
        swap = (rows[low][:1].abs() > rows[high][:1].abs()).expand_as(rows[low])
        rows[low], rows[high] = torch.where(swap, rows[high], rows[low]), torch.where(swap, rows[low], rows[high])
    table = torch.stack(rows)
    return table[:, 0], table[:, 1:]


def symmetric_eigen_2(first: Tensor, second: Tensor, coupling: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Diagonalise [[first, coupling], [coupling, second]] in closed form.

    Args:
        first: Upper diagonal element, any shape.
        second: Lower diagonal element, same shape.
        coupling: Off-diagonal element, same shape.

    Returns:
        The smaller eigenvalue, the larger one, and the squared component of the first basis state in the smaller one's
        eigenvector.
    """
    gap = first - second
    root = torch.sqrt(gap * gap + 4 * coupling * coupling + REGULATOR**2)
    mean = (first + second) / 2
    return mean - root / 2, mean + root / 2, (1 - gap / root) / 2
