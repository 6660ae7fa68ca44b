"""Loss functions and their derivatives."""

import pytest
import torch
from pmssm.trainers.training.losses import HUBER_WIDTH
from pmssm.trainers.training.registry import LOSSES, loss_function


@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_is_the_derivative_of_the_value(name: str) -> None:
    errors = torch.linspace(-3, 3, 60, dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(loss_function(name).value(errors).sum(), errors)
    torch.testing.assert_close(loss_function(name).slope(errors.detach()), expected)


@pytest.mark.parametrize("name", ["huber", "log-cosh"])
def test_small_errors_count_quadratically_and_large_ones_linearly(name: str) -> None:
    small, large = torch.tensor(HUBER_WIDTH / 100).double(), torch.tensor(50.0).double()
    value = loss_function(name).value
    assert value(small).item() == pytest.approx(small.item() ** 2 / 2, rel=1e-3)
    assert loss_function(name).value(2 * large).item() == pytest.approx(
        2 * loss_function(name).value(large).item(), rel=0.01
    )
