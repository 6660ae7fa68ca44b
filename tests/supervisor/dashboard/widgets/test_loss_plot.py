"""Plot of losses."""

from pmssm.supervisor.dashboard.widgets.loss_plot import newest_epochs


def test_zooming_shows_the_newest_part_of_all_epochs() -> None:
    curves = [[(float(x), 1.0) for x in range(101)], [(0.0, 1.0), (50.0, 1.0)]]
    assert [[x for x, _ in curve][:1] for curve in newest_epochs(curves, 0.5)] == [[50.0], [50.0]]
