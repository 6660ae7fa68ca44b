"""Input line for the filter of the runs table."""

from __future__ import annotations

from textual.widgets import Input


class FilterInput(Input):
    """Filter of the runs table; it stays on the screen as long as it hides runs."""

    def __init__(self) -> None:
        super().__init__(
            placeholder="words in name or state; Enter keeps the filter, Escape shows all runs", id="filter"
        )
        self.cursor_blink = False  # each blink would be traffic on a slow line

    def on_mount(self) -> None:
        """Hide the line until it is opened."""
        self.display = False

    def open(self) -> None:
        """Show the line and focus it."""
        self.display = True
        self.screen.set_focus(self)  # at once: the next keys are meant for it

    async def action_submit(self) -> None:
        """Keep the filter and focus the table."""
        self._leave()

    def key_escape(self) -> None:
        """Clear the filter and focus the table."""
        self.value = ""
        self._leave()

    def key_down(self) -> None:
        """Keep the filter and focus the table."""
        self._leave()

    def _leave(self) -> None:
        self.display = bool(self.value)
        self.screen.query_one("#runs").focus()
