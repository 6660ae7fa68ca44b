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

_SWEEP = (((0, 2), (1, 3)), ((0, 3), (1, 2)), ((0, 1), (2, 3)))
_ROUNDS = (((2, 3),), *_SWEEP * (SWEEPS - 1), *_SWEEP[:2], ((0, 1),))
"""Pairs of levels to rotate, round by round; the pairs of one round have no level in common.

The order is cyclic. It begins with the two higgsinos, whose mixing is maximal.
"""

_SORTING_NETWORK = ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2))
"""Comparators that sort four values (Knuth, TAOCP vol. 3, 5.3.4)."""


def symmetric_eigen_4(diagonal: list[Tensor], upper: dict[tuple[int, int], Tensor]) -> tuple[Tensor, Tensor]:
    """Diagonalise real symmetric 4x4 matrices by cyclic Jacobi rotations from one side.

    Sources: Golub and Van Loan, Matrix Computations, section 8.5, with its parallel order; Hestenes, J. SIAM 6 (1958)
    51, for rotations of rows alone.

    Args:
        diagonal: Four tensors of shape (points,).
        upper: The six elements (row, column) with row < column, shape (points,).

    Returns:
        Eigenvalues, shape (4, points), in increasing order of magnitude, with their signs; and the matrix V of shape
        (4, 4, points), whose row k is the eigenvector of eigenvalue k.
    """
    rows = _matrix_and_identity(diagonal, upper)
    for pairs in _ROUNDS:
        first, second = (torch.stack([rows[pair[side]] for pair in pairs]) for side in (0, 1))
        cosine, sine = _rotation(_element(first, first), _element(second, second), _element(first, second))
        rotated = (cosine * first - sine * second).unbind(0), (sine * first + cosine * second).unbind(0)
        for (p, q), low, high in zip(pairs, *rotated, strict=True):
            rows[p], rows[q] = low, high
    vectors = torch.stack([row[4:] for row in rows])
    values = torch.stack([(row[:4] * row[4:]).sum(0) for row in rows])
    return _sort_by_magnitude(values, vectors)


def _matrix_and_identity(diagonal: list[Tensor], upper: dict[tuple[int, int], Tensor]) -> list[Tensor]:
    """Return the rows of (A | 1), shape (8, points) each; rotations turn them into the rows of (V A | V)."""
    like = diagonal[0]
    unit = torch.eye(4, dtype=like.dtype, device=like.device)[:, :, None].expand(4, 4, like.shape[0])
    return [
        torch.cat([torch.stack([diagonal[k] if k == j else upper[min(j, k), max(j, k)] for j in range(4)]), unit[k]])
        for k in range(4)
    ]


def _element(first: Tensor, second: Tensor) -> Tensor:
    """Return elements of V A Vᵀ from the rows of (V A | V), shape (pairs, 1, points)."""
    return (first[:, :4] * second[:, 4:]).sum(1, keepdim=True)


def _rotation(first: Tensor, second: Tensor, coupling: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the smaller angle that makes [[first, coupling], [coupling, second]] diagonal."""
    gap, twice = second - first, 2 * coupling
    root = torch.sqrt(gap * gap + twice * twice + REGULATOR**2)
    tangent = twice / torch.where(gap < 0, gap - root, gap + root)
    cosine = torch.rsqrt(1 + tangent * tangent)
    return cosine, tangent * cosine


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
