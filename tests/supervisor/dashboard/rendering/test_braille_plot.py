"""Plots in braille characters."""

import math

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.rendering.braille_plot import plot

finite = st.floats(-1e12, 1e12)


@given(st.lists(st.lists(st.tuples(finite, finite), max_size=20), max_size=2), st.integers(0, 90), st.integers(0, 30))
def test_every_plot_fits_its_room(curves: list[list[tuple[float, float]]], width: int, height: int) -> None:
    canvas = plot(curves, width, height, curves[0][0] if curves and curves[0] else None)
    if canvas is None:
        assert width < 14 or height < 4 or not any(curves)
        return
    assert len(canvas.cells) == len(canvas.labels) == height - 1
    assert all(
        len(label) + 2 + len(row) == width - 1 + 1 for label, row in zip(canvas.labels, canvas.cells, strict=True)
    )
    assert canvas.mark is None or (0 <= canvas.mark[0] < height - 1 and 0 <= canvas.mark[1] < len(canvas.cells[0]))


def test_losses_further_apart_than_a_float_reaches_are_drawn() -> None:
    canvas = plot([[(1, 1.79e308), (2, -1e308)]], 60, 12)
    assert canvas is not None
    assert (canvas.labels[0].strip(), canvas.labels[-1].strip()) == ("1.8e+30", "-1e+308")  # as far as there is room


def test_losses_close_to_each_other_get_different_labels() -> None:
    canvas = plot([[(1, 1.0008), (2, 1.0508)]], 60, 12)
    assert canvas is not None
    assert [label.strip() for label in canvas.labels if label.strip()] == ["1.05", "1.03", "1"]


def test_positive_losses_are_drawn_on_a_logarithmic_axis() -> None:
    canvas = plot([[(epoch, math.exp(-epoch)) for epoch in range(10)]], 60, 12)
    assert canvas is not None
    falls = [next(row for row, line in enumerate(canvas.cells) if line[column][0] != " ") for column in (5, 25, 45)]
    assert falls[1] - falls[0] == falls[2] - falls[1]  # an exponential is a straight line


def test_a_linear_axis_draws_a_line_straight() -> None:
    canvas = plot([[(float(x), 10.0 - x) for x in range(10)]], 60, 12, linear=True)
    assert canvas is not None
    falls = [next(row for row, line in enumerate(canvas.cells) if line[column][0] != " ") for column in (5, 25, 45)]
    assert falls[1] - falls[0] == falls[2] - falls[1]
