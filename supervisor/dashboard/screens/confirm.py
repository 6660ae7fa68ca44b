"""The question before something that cannot be undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from ...plan.schema import RunPlan

_GRACE_S = 30.0  # what a plan gives a run unless it says otherwise


@dataclass(frozen=True)
class Confirmation:
    """What is asked, what will happen, and the word for yes."""

    title: str
    consequence: str
    yes: str


class ConfirmScreen(ModalScreen[bool]):
    """Asks; only `y`, or Enter on the button that says yes, means yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", priority=True),  # what is typed at once after it is for the screen below
        Binding("n,escape,q", "answer(False)", "no", priority=True),
        Binding("left,right,h,l", "app.focus_next", "other button"),
    ]

    def __init__(self, question: Confirmation) -> None:
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


def confirm_stop(alive: Mapping[str, RunPlan | None], waiting: Sequence[str]) -> Confirmation:
    """What `x` asks of runs that live, and of others that only wait."""
    if not alive:
        return Confirmation(
            f"Keep {run_names(waiting)} from starting?", "Nothing but s, or r, starts it then.", "keep it"
        )
    others = f" {run_names(waiting)}: will not start." if waiting else ""
    return Confirmation(
        f"Stop {run_names(alive)}?", f"{gentle_end(alive)}. s goes on from the checkpoint.{others}", "stop"
    )


def confirm_restart(alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """What `r` asks of runs that live."""
    return Confirmation(f"Restart {run_names(alive)}?", f"{gentle_end(alive)}. Then on from the checkpoint.", "restart")


def confirm_kill(alive: Sequence[str]) -> Confirmation:
    """What `X` asks."""
    return Confirmation(f"Kill {run_names(alive)}?", "SIGKILL now; work since the last checkpoint is lost.", "kill")


def confirm_fresh(targets: Sequence[str], alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """What `R` asks."""
    first = f"{gentle_end(alive)}. Then" if alive else "Starts over"
    how = f"{first} over" if alive else first
    consequence = f"{how} from the first epoch; the checkpoint is not used."
    return Confirmation(f"Restart {run_names(targets)} from scratch?", consequence, "start over")


def confirm_end(alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """What `Q` asks."""
    first = f"{run_names(alive)}: {gentle_end(alive)}." if alive else "Nothing is running;"
    still = "What" if alive else "what"
    return Confirmation("End the session?", f"{first} {still} still waits will not start.", "end it")


def run_names(runs: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    known = list(runs)
    more = f" and {len(known) - 4} others" if len(known) > 4 else ""
    return f"{', '.join(known[:4])}{more}"


def gentle_end(alive: Mapping[str, RunPlan | None]) -> str:
    """How a gentle stop of runs goes, in words."""
    grace = max((run.stop_grace_s if run is not None else _GRACE_S for run in alive.values()), default=_GRACE_S)
    return f"SIGTERM, checkpoint, up to {grace:g} s, then SIGKILL"
