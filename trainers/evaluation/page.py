"""One HTML page without other files: problems, tables, plots."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from ..files import write_atomic

Table = Mapping[str, Any]


def render_page(
    *,
    title: str,
    subtitle: str,
    sentence: str,
    problems: Sequence[str],
    tables: Sequence[Table],
    plots: Mapping[str, Mapping[str, bytes]],
) -> str:
    """Return the page as HTML.

    Args:
        title: Title of the page.
        subtitle: Line below the title.
        sentence: What the reader should know first.
        problems: Warnings.
        tables: `title`, `heads`, `rows` (each with `kind` and `cells`), `note`, and `aligned` for equal columns.
        plots: PNG files by name, by title of the section.
    """
    page = Environment(autoescape=True).from_string((resources.files(__package__) / "page.html").read_text())
    encoded = {
        section: {name: base64.b64encode(png).decode() for name, png in group.items()}
        for section, group in plots.items()
    }
    return page.render(
        title=title, subtitle=subtitle, sentence=sentence, problems=problems, tables=tables, plots=encoded
    )


def write_page(folder: Path, name: str, html: str, plots: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write the plots and then the page to `folder`, each by one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, png in (plot for group in plots.values() for plot in group.items()):
        write_atomic(folder / f"{file_name}.png", lambda file, png=png: file.write(png))  # type: ignore[misc]
    write_atomic(folder / name, lambda file: file.write(html.encode()))
