"""Plots in braille characters."""

from pmssm.supervisor.dashboard.rendering.braille_plot import plot


def test_a_linear_axis_draws_a_line_straight() -> None:
    canvas = plot([[(float(x), 10.0 - x) for x in range(10)]], 60, 12, linear=True)
    assert canvas is not None
    falls = [next(row for row, line in enumerate(canvas.cells) if line[column][0] != " ") for column in (5, 25, 45)]
    assert falls[1] - falls[0] == falls[2] - falls[1]
