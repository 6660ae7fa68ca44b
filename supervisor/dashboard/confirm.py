"""The question before something that cannot be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from ..plan import RunPlan

_GRACE_S = 30.0  # what a plan gives a run unless it says otherwise


@dataclass(frozen=True)
class Question:
    """What is asked, what will happen, and the word for yes."""

    title: str
    consequence: str
    yes: str


class Confirm(ModalScreen[bool]):
    """Asks; only `y`, or Enter on the button that says yes, means yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
        Binding("left,right,h,l", "app.focus_next", "other button"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(Content.styled(self._question.title, "bold"))
            yield Static(Content(self._question.consequence), id="consequence")
            with Horizontal(id="answers"):
                yield Button(Content("No, cancel (n)"), id="no", variant="primary", compact=True)
                yield Button(Content(f"Yes, {self._question.yes} (y)"), id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def action_answer(self, answer: bool) -> None:
        """Leaves with the answer."""
        self.dismiss(answer)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


def about_kill(name: str) -> Question:
    """What `X` asks."""
    return Question(f"Kill {name}?", "SIGKILL now; work since the last checkpoint is lost.", "kill it")


def about_fresh(name: str, alive: bool, planned: RunPlan | None) -> Question:
    """What `R` asks."""
    first = f"{gentle_end(planned)}. Then it" if alive else "It"
    consequence = f"{first} starts over from the first epoch; its checkpoint is not used."
    return Question(f"Restart {name} from scratch?", consequence, "start over")


def about_end(alive: list[str], planned: dict[str, RunPlan]) -> Question:
    """What `Q` asks."""
    if not alive:
        return Question("End the session?", "Nothing is running; what still waits will not start.", "end it")
    longest = max((planned[name] for name in alive if name in planned), key=lambda run: run.stop_grace_s, default=None)
    what = f"{', '.join(alive[:4])}{' and others' if len(alive) > 4 else ''}: {gentle_end(longest)}."
    return Question("End the session?", f"{what} What still waits will not start.", "end it")


def gentle_end(planned: RunPlan | None) -> str:
    """How a gentle stop goes, in words."""
    grace = planned.stop_grace_s if planned is not None else _GRACE_S
    return f"SIGTERM, checkpoint, up to {grace:g} s, then SIGKILL"
