"""PNG files of figures, drawn without a display."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png_file(figure: Figure, dpi: int) -> bytes:
    """Return the contents of a PNG file.

    `Figure.savefig` would draw the figure twice, the first time for its layout alone. A constrained layout needs that
    only where it has to fit an extent that is cut out.

    Args:
        figure: Figure without a canvas.
        dpi: Dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (500 ms)

    figure.set_dpi(dpi)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
    return file.getvalue()
