"""Values as text: short, of known width, for any value."""

import math

from hypothesis import example, given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.rendering import format as fmt
from rich.cells import cell_len

anything = st.none() | st.floats() | st.integers(-(10**12), 10**12)


def test_durations_are_formatted_with_two_units() -> None:
    seconds = (0, 45, 750, 11_100, 198_000, 100 * 86_400, None, -1, math.inf)
    assert [fmt.duration(s) for s in seconds] == ["0s", "45s", "12m30s", "3h05m", "2d07h", "100d", "–", "–", "–"]


@given(anything)
def test_durations_fit_six_cells(seconds: float | None) -> None:
    assert 1 <= len(fmt.duration(seconds)) <= 6


@given(anything)
def test_memory_fits_five_cells(mib: float | None) -> None:
    assert 1 <= len(fmt.memory(mib)) <= 5


@given(anything)
def test_losses_fit_eight_cells(value: float | None) -> None:
    assert 1 <= len(fmt.loss(value)) <= 8


@given(st.floats(1e-30, 1e30))
def test_losses_keep_their_leading_digits(value: float) -> None:
    assert math.isclose(float(fmt.loss(value)), value, rel_tol=0.06)


@given(anything)
def test_percentages_fit_six_cells(value: float | None) -> None:
    assert 1 <= len(fmt.percent(value)) <= 6


@given(st.none() | st.floats(), st.integers(-3, 60))
def test_bars_have_exactly_their_width(fraction: float | None, width: int) -> None:
    assert cell_len(fmt.bar(fraction, width)) == max(0, width)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_longer_bar_never_means_less(one: float, other: float) -> None:
    filled = [sum("░▏▎▍▌▋▊▉█".index(char) for char in fmt.bar(fraction, 10)) for fraction in sorted((one, other))]
    assert filled[0] <= filled[1]


@given(st.text(), st.integers(-2, 40), st.booleans())
def test_fitted_text_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    assert cell_len(fmt.fit(fmt.plain_text(text), width, right)) == max(0, width)


@given(st.text())
def test_plain_text_cannot_steer_a_terminal(text: str) -> None:
    assert fmt.plain_text(text).isprintable()


@example([1.7976931348623157e308, -9.9e291], 2)
@example([0.0, 5e-324], 2)
@given(st.lists(st.floats(), max_size=300), st.integers(0, 40))
def test_sparklines_fit_their_width(values: list[float], width: int) -> None:
    assert len(fmt.sparkline(values, width)) <= width


def test_a_falling_loss_gives_a_falling_sparkline() -> None:
    assert fmt.sparkline([100, 10, 1, 0.1], 4) == "█▆▃▁"


def test_noise_gives_a_flat_sparkline() -> None:
    assert fmt.sparkline([0.7460, 0.7461, 0.7477, 0.7460], 4) == "▁▁▁▁"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_markup_stays_text(text: str) -> None:
    assert fmt.cell_content([(text, fmt.BAD)]).plain == text


def test_a_history_is_drawn_in_the_given_number_of_rows() -> None:
    assert fmt.history_rows([0, 50, 100], 10, 0, 100, 2) == ["  █", "▁██"]
    assert fmt.history_rows([0, 25, 100], 2, 0, 100, 1) == ["▃█"]
    assert fmt.history_rows([], 10, 0, 0, 3) == ["", "", ""]
