"""Confirmation before a command that cannot be undone."""

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

_GRACE_S = 30.0  # the plan's default of stop_grace_s
_MAX_NAMED = 4


@dataclass(frozen=True)
class Confirmation:
    """A question: its title, the consequence of a yes, and the label of the yes button."""

    title: str
    consequence: str
    yes: str


class ConfirmScreen(ModalScreen[bool]):
    """Dialog for a confirmation; only `y`, or Enter on the yes button, means yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", priority=True),  # so that keys pressed directly after it go to the app
        Binding("n,escape,q", "answer(False)", "no", priority=True),
        Binding("left,right,h,l", "app.focus_next", "other button"),
    ]

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__()
        self._confirmation = confirmation

    def compose(self) -> ComposeResult:
        """Yield the texts and the buttons."""
        with Vertical(id="dialog"):
            yield Static(Content.styled(self._confirmation.title, "bold"))
            yield Static(Content(self._confirmation.consequence), id="consequence")
            with Horizontal(id="answers"):
                yield Button(Content("No, cancel (n)"), id="no", variant="primary", compact=True)
                yield Button(Content(f"Yes, {self._confirmation.yes} (y)"), id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        """Focus the no button."""
        self.query_one("#no", Button).focus()

    def action_answer(self, answer: bool) -> None:
        """Close the dialog with an answer."""
        self.dismiss(answer)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


def confirm_stop(alive: Mapping[str, RunPlan | None], waiting: Sequence[str]) -> Confirmation:
    """Return the confirmation of `x`.

    Args:
        alive: Runs to stop, with their part of the plan.
        waiting: Runs that have not started.
    """
    if not alive:
        return Confirmation(
            f"Keep {run_names(waiting)} from starting?", "Press s or r later to start it.", "do not start"
        )
    others = f" {run_names(waiting)} will not start." if waiting else ""
    later = "resumes from the checkpoint" if can_resume(alive.values()) else "starts again"
    return Confirmation(f"Stop {run_names(alive)}?", f"{stop_sequence(alive)}. s {later}.{others}", "stop")


def confirm_restart(alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """Return the confirmation of `r` for live runs."""
    later = "resume from the checkpoint" if can_resume(alive.values()) else "start again"
    consequence = f"{stop_sequence(alive)}. Then {later}."
    return Confirmation(f"Restart {run_names(alive)}?", consequence, "restart")


def confirm_kill(alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """Return the confirmation of `X`."""
    lost = "work since the last checkpoint" if can_resume(alive.values()) else "work that is not saved"
    return Confirmation(f"Kill {run_names(alive)}?", f"SIGKILL now; {lost} is lost.", "kill")


def confirm_fresh(targets: Sequence[str], alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """Return the confirmation of `R`.

    Args:
        targets: Runs to restart.
        alive: Those of them that must be stopped first, with their part of the plan.
    """
    start = f"{stop_sequence(alive)}. Then start" if alive else "Start"
    consequence = f"{start} from the first epoch; the checkpoint is not used."
    return Confirmation(f"Restart {run_names(targets)} from scratch?", consequence, "start over")


def confirm_end(alive: Mapping[str, RunPlan | None]) -> Confirmation:
    """Return the confirmation of `Q`."""
    first = f"{run_names(alive)}: {stop_sequence(alive)}." if alive else "No run is running."
    return Confirmation("End the session?", f"{first} Waiting runs will not start.", "end it")


def run_names(runs: Iterable[str]) -> str:
    """Return the first few names, and the number of the others."""
    names = list(runs)
    more = f" and {len(names) - _MAX_NAMED} others" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"


def stop_sequence(alive: Mapping[str, RunPlan | None]) -> str:
    """Return the steps of a stop, with the longest grace period of the runs."""
    grace = max((run.stop_grace_s if run is not None else _GRACE_S for run in alive.values()), default=_GRACE_S)
    checkpoint = " checkpoint," if any(can_resume([run]) for run in alive.values()) else ""
    return f"SIGTERM,{checkpoint} up to {grace:g} s, then SIGKILL"


def can_resume(runs: Iterable[RunPlan | None]) -> bool:
    """Return whether all the runs may have a checkpoint; a run that is not in a readable plan may."""
    return all(run is None or run.can_resume for run in runs)
