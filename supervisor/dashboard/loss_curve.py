"""The loss of the selected run by epoch, on a logarithmic axis."""

from __future__ import annotations

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from .format import BOLD, BUSY, DIM, GOOD, WARN, Span, content, loss
from .history import History
from .plot import Canvas, plot

_STYLES = (WARN, BUSY)  # of the first curve, which is dotted, and the second
_LEGEND_ROWS = 10  # a lower plot has no room for its legend


class LossCurve(Widget, can_focus=True):
    """Training loss (dotted) and validation loss, the best epoch marked."""

    def __init__(self) -> None:
        super().__init__(id="curve")
        self._history = History()
        self._empty = "no losses in the log yet"

    def show(self, name: str, history: History | None, pattern: str | None) -> None:
        """Draws a run's history; `pattern` is the plan's for the lines that tell of it."""
        self._history = history or History()
        self._empty = "no losses in the log yet" if pattern else "the plan has no progress pattern for this run"
        metrics = self._history.names
        title: list[Span] = [("loss" if not metrics or metrics[-1].endswith("loss") else metrics[-1], BOLD)]
        best = self._history.best(metrics[-1]) if metrics else None
        if best is not None:
            title.append((f" · best {metrics[-1].removesuffix('_loss')} {loss(best[1])} @ {best[0]:.0f}", ""))
        title.append((f" · {name}", DIM))
        self.border_title = content(title)
        self.refresh()

    def render(self) -> RenderResult:
        """The plot, or why there is none."""
        metrics = self._history.names
        legend = self._legend() if self.size.height >= _LEGEND_ROWS else []
        height = self.size.height - (1 if legend else 0)
        curves = [self._history.points(metric) for metric in metrics]
        best = self._history.best(metrics[-1]) if metrics else None
        canvas = plot(curves, self.size.width, height, best)
        if canvas is None:
            return Content.styled(self._empty, DIM)
        lines = [content(legend)] if legend else []
        return Content("\n").join([*lines, *_drawn(canvas, len(curves))])

    def _legend(self) -> list[Span]:
        metrics, spans = self._history.names, [(" " * 8, "")]
        for number, metric in enumerate(metrics):
            line = "⠒⠒" if number == len(metrics) - 1 else "⠂⠐"
            points = self._history.points(metric)
            latest = loss(points[-1][1]) if points else ""
            spans.append((f"{line} {metric} {latest}   ", _STYLES[number + 2 - len(metrics)]))
        return [*spans, ("● best", GOOD)]


def _drawn(canvas: Canvas, curves: int) -> list[Content]:
    """The canvas as lines of content."""
    lines = []
    for row, (label, cells) in enumerate(zip(canvas.labels, canvas.cells, strict=True)):
        spans: list[Span] = [(label, DIM), (" ┤" if label.strip() else " │", DIM)]
        for column, (char, curve) in enumerate(cells):
            is_best = canvas.mark == (row, column)
            spans.append(("●", GOOD) if is_best else (char, _STYLES[curve + 2 - curves] if curve >= 0 else ""))
        lines.append(content(spans))
    return [*lines, Content.styled(canvas.ticks, DIM)]
