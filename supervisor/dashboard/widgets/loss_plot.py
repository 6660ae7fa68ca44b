"""Plot of losses by epoch: of one run, several runs, its attempts, or earlier sessions."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from ...logs.metric_history import Points
from ..data.loss_comparison import Comparison, Curve
from ..rendering.braille_plot import Canvas, plot
from ..rendering.format import BAD, BOLD, BUSY, DIM, GOOD, WARN, Span, cell_content, fit, loss

_LEGEND_ROWS = 10  # a lower plot has no room for its legend
_LEGEND_LINES = 3
_COLOURS = (BUSY, WARN, GOOD, BAD, "$text-accent", "$text-secondary")
_LABEL = 8  # cells left of the plot
ZOOMS = (1.0, 0.5, 0.25, 0.1, 0.05)  # fraction of the epochs that is shown, the newest ones


class LossPlot(Widget, can_focus=True):
    """Curves of a comparison. The best epoch of a single run is marked; each of several curves ends in its number.

    Attributes:
        linear: Use a linear value axis.
        zoom: Fraction of the epochs that is shown.
    """

    def __init__(self) -> None:
        super().__init__(id="curve")
        self._comparison = Comparison("", ())
        self.linear = False
        self.zoom = ZOOMS[0]

    def show(self, comparison: Comparison) -> None:
        """Draw the curves if they have changed."""
        if comparison != self._comparison:
            self._comparison = comparison
            self._redraw()

    def toggle_axis(self) -> str:
        """Switch between linear and logarithmic axis, and return the new one."""
        self.linear = not self.linear
        self._redraw()
        return "linear" if self.linear else "logarithmic"

    def zoom_by(self, steps: int) -> float:
        """Show fewer epochs (`steps` > 0) or more, and return their fraction of all epochs."""
        index = ZOOMS.index(self.zoom) + steps
        self.zoom = ZOOMS[min(max(0, index), len(ZOOMS) - 1)]
        self._redraw()
        return self.zoom

    def _redraw(self) -> None:
        shown = self._comparison
        title: list[Span] = [(shown.title, BOLD)]
        if shown.best is not None:
            which = shown.curves[-1].name.removesuffix("_loss")
            title.append((f" · best {which} {loss(shown.best[1])} @ {shown.best[0]:.0f}", ""))
        marks = [f"last {self.zoom:.0%}"] * (self.zoom < 1) + ["linear"] * self.linear
        title.append((f" · {', '.join(marks)}" if marks else "", WARN))
        title.append((f" · {shown.subject}" if shown.subject else "", DIM))
        self.border_title = cell_content(title)
        self.refresh()

    def render(self) -> RenderResult:
        """Return the plot, or the reason why there is none."""
        curves = self._comparison.curves
        needed = _LEGEND_ROWS if self._comparison.is_single else _LEGEND_ROWS // 2
        legend = self._legend() if self.size.height >= needed and curves else []
        height = self.size.height - len(legend)
        points = newest_epochs([curve.points for curve in curves], self.zoom)
        best = self._comparison.best
        mark = best if best is not None and any(best in one for one in points) else None
        dotted = [curve.dotted for curve in curves]
        canvas = plot(points, self.size.width, height, mark, dotted=dotted, linear=self.linear)
        if canvas is None:
            return Content.styled(self._comparison.empty, DIM)
        numbered = len(curves) > 2 or not self._comparison.is_single
        return Content("\n").join([*map(cell_content, legend), *_plot_text(canvas, curves, numbered)])

    def _legend(self) -> list[list[Span]]:
        """Return the names of the curves, in several lines if one is too short."""
        lines: list[list[Span]] = [[(" " * _LABEL, "")]]
        room = self.size.width - _LABEL
        for number, curve in enumerate(self._comparison.curves):
            sign = "⠂⠐" if curve.dotted else "⠒⠒" if self._comparison.is_single else f"{number + 1}"
            latest = loss(curve.points[-1][1]) if curve.points else ""
            text = f"{sign} {curve.name} {latest}   "
            if len(text) > room and len(lines) < _LEGEND_LINES and len(lines[-1]) > 1:
                lines.append([(" " * _LABEL, "")])
                room = self.size.width - _LABEL
            lines[-1].append((fit(text, min(room, len(text))), _colour(number)))
            room -= min(room, len(text))
        return lines if self._comparison.best is None else [[*lines[0], ("● best", GOOD)], *lines[1:]]


def newest_epochs(curves: Sequence[Points], fraction: float) -> list[Points]:
    """Return the points of the curves in the last `fraction` of all epochs."""
    epochs = [x for curve in curves for x, _ in curve]
    if not epochs or fraction >= 1:
        return list(curves)
    first = max(epochs) - fraction * (max(epochs) - min(epochs))
    return [[point for point in curve if point[0] >= first] for curve in curves]


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _plot_text(canvas: Canvas, curves: Sequence[Curve], numbered: bool) -> list[Content]:
    """Return the canvas as lines of content."""
    names = {end: number for number, end in enumerate(canvas.ends) if end is not None} if numbered else {}
    lines = []
    for row, (label, cells) in enumerate(zip(canvas.labels, canvas.cells, strict=True)):
        spans: list[Span] = [(label, DIM), (" ┤" if label.strip() else " │", DIM)]
        for column, (char, curve) in enumerate(cells):
            named = names.get((row, column))
            if named is not None and named < len(curves):
                spans.append((str((named + 1) % 10), _colour(named)))
            elif canvas.mark == (row, column):
                spans.append(("●", GOOD))
            else:
                spans.append((char, _colour(curve) if curve >= 0 else ""))
        lines.append(cell_content(spans))
    return [*lines, Content.styled(canvas.ticks, DIM)]
