"""Title of the terminal around the dashboard, and notifications through it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping

from ..formatting import state_counts
from ..plan.schema import Plan
from ..session.snapshot import Snapshot
from ..session.state import ALIVE, DONE, ENDED, RunState
from .rendering.format import plain_text
from .rendering.run_cells import fraction_done

BELL = "\x07"
SAVE_TITLE, RESTORE_TITLE = "\x1b[22;0t", "\x1b[23;0t"
MAX_NAMED = 3  # runs named in a message
TMUX_TIMEOUT_S = 5.0
_ANNOUNCED_STATES = ENDED - {
    RunState.STOPPED,
    RunState.SKIPPED,
}  # somebody asked for the one, and the other is no end of a command


class TerminalStatus:
    """Progress in the terminal's title, and notifications of the desktop.

    Args:
        write: Writes control sequences to the terminal.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._title = ""

    def show_progress(self, snapshot: Snapshot) -> None:
        """Set the title to the session's progress; the previous title is saved first."""
        title = progress_title(snapshot)
        if title != self._title:
            self._write(("" if self._title else SAVE_TITLE) + set_title(title))
            self._title = title

    def notify(self, text: str) -> None:
        """Ring the bell and notify the desktop."""
        self._write(BELL + notification(text, os.environ))

    def restore_title(self) -> None:
        """Restore the title that the terminal had before."""
        if self._title:
            self._write(RESTORE_TITLE)


def progress_title(snapshot: Snapshot) -> str:
    """Return session name, progress and states: `pmssm 37 % · 2 running, 1 waiting`."""
    parts = [1.0 if run.state in DONE else fraction_done(run) or 0.0 for run in snapshot.runs.values()]
    done = int(100 * sum(parts) / len(parts)) if parts else 0
    states = state_counts(run.state for run in snapshot.runs.values())
    return f"{plain_text(snapshot.name)} {done} % · {states}"


def ended_runs_message(before: Snapshot | None, now: Snapshot) -> str:
    """Return which runs have ended between two snapshots, and how; "" if none has."""
    if before is None or before.folder != now.folder:
        return ""
    ended = [
        f"{name} {run.state}" + (f": {plain_text(run.reason)}" if run.state not in DONE and run.reason else "")
        for name, run in now.runs.items()
        if run.state in _ANNOUNCED_STATES and name in before.runs and before.runs[name].state not in ENDED
    ]
    more = [f"{len(ended) - MAX_NAMED} more runs ended"] if len(ended) > MAX_NAMED else []
    finished = ["session finished"] if now.state == "finished" != before.state else []
    return "; ".join([*ended[:MAX_NAMED], *more, *finished])


def stopped_runs_message(before: Snapshot | None, now: Snapshot, plan: Plan | None) -> str:
    """Return which runs have stopped between two snapshots, and how to start them again; "" if none has."""
    if before is None or before.folder != now.folder:
        return ""
    stopped = [
        name
        for name, run in now.runs.items()
        if run.state is RunState.STOPPED and name in before.runs and before.runs[name].state in ALIVE
    ]
    more = f" and {len(stopped) - MAX_NAMED} more" if len(stopped) > MAX_NAMED else ""
    resume = plan is None or all(plan.runs[name].can_resume for name in stopped if name in plan.runs)
    again = "resumes from the checkpoint" if resume else "starts again"
    return f"{', '.join(stopped[:MAX_NAMED])}{more} stopped; s {again}" if stopped else ""


def set_title(text: str) -> str:
    """Return the control sequence that sets the terminal's title."""
    return f"\x1b]2;{plain_text(text)}\x07"


def notification(text: str, environment: Mapping[str, str]) -> str:
    """Return the control sequence of a desktop notification: OSC 777 if the terminal knows it, else OSC 9."""
    cleaned = plain_text(text)
    knows_777 = environment.get("TERM", "").startswith(("foot", "rxvt")) or "VTE_VERSION" in environment
    sequence = f"\x1b]777;notify;pmssm-supervise;{cleaned}\x07" if knows_777 else f"\x1b]9;{cleaned}\x07"
    if environment.get("TMUX"):  # tmux passes it on if `allow-passthrough` is on, and drops it otherwise
        escaped = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{escaped}\x1b\\"
    return sequence


async def copy_through_tmux(text: str) -> None:
    """Put a text into tmux's buffer and the clipboard; do nothing outside tmux, or if tmux fails.

    tmux ignores OSC 52, which Textual uses for the clipboard, unless it is configured to pass it on.
    """
    if not os.environ.get("TMUX"):
        return
    with contextlib.suppress(OSError, TimeoutError):
        tmux = await asyncio.create_subprocess_exec("tmux", "load-buffer", "-w", "-", stdin=asyncio.subprocess.PIPE)
        async with asyncio.timeout(TMUX_TIMEOUT_S):
            await tmux.communicate(text.encode("utf-8", "replace"))
