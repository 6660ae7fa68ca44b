"""The line in which to type which runs to show."""

from __future__ import annotations

from textual.widgets import Input


class FilterInput(Input):
    """Stays on the screen as long as it hides anything."""

    def __init__(self) -> None:
        super().__init__(placeholder="show runs with these words in name or state; Escape shows all", id="filter")
        self.cursor_blink = False  # each blink would be traffic on a slow line

    def on_mount(self) -> None:
        self.display = False

    def open(self) -> None:
        """Lets the user type."""
        self.display = True
        self.screen.set_focus(self)  # at once: what is typed next is meant for it

    async def action_submit(self) -> None:
        """Keeps the filter, and goes back to the table."""
        self._leave()

    def key_escape(self) -> None:
        """Shows all runs again."""
        self.value = ""
        self._leave()

    def key_down(self) -> None:
        """Goes on to the runs that are left."""
        self._leave()

    def _leave(self) -> None:
        self.display = bool(self.value)
        self.screen.query_one("#runs").focus()
