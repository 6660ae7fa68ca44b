"""Styles of the parts of a widget, from the style sheet."""

from __future__ import annotations

from textual.style import Style
from textual.widget import Widget


def component_style(widget: Widget, name: str) -> Style:
    """Return the style of a component class, with `reverse`, which `get_visual_style` leaves out."""
    return widget.get_visual_style(name) + Style(reverse=widget.get_component_styles(name).text_style.reverse)
