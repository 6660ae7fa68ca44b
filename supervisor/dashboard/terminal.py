"""What the terminal around the dashboard is told: its title, and that runs have ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..formatting import state_counts
from ..session.snapshot import Snapshot
from ..session.state import ALIVE, ENDED, RunState
from .rendering.format import plain_text
from .rendering.run_columns import fraction_done

KEEP_TITLE, RESTORE_TITLE = "\x1b[22;0t", "\x1b[23;0t"
_NEWS = ENDED - {RunState.STOPPED}  # who stops a run knows
MAX_TOLD = 3  # runs that are named


def title(snapshot: Snapshot) -> str:
    """The session's name, how far it is, and its runs by state: `pmssm 37 % · 2 running, 1 waiting`."""
    parts = [1.0 if run.state is RunState.SUCCEEDED else fraction_done(run) or 0.0 for run in snapshot.runs.values()]
    done = int(100 * sum(parts) / len(parts)) if parts else 0
    states = state_counts(run.state for run in snapshot.runs.values())
    return f"{plain_text(snapshot.name)} {done} % · {states}"


def ended_runs_message(before: Snapshot | None, now: Snapshot) -> str:
    """Which runs have ended since the picture before, and how; "" where none has."""
    if before is None or before.folder != now.folder:
        return ""
    ended = [
        f"{name} {run.state}"
        + (f": {plain_text(run.reason)}" if run.state is not RunState.SUCCEEDED and run.reason else "")
        for name, run in now.runs.items()
        if run.state in _NEWS and name in before.runs and before.runs[name].state not in ENDED
    ]
    more = [f"{len(ended) - MAX_TOLD} more runs ended"] if len(ended) > MAX_TOLD else []
    finished = ["session finished"] if now.state == "finished" != before.state else []
    return "; ".join([*ended[:MAX_TOLD], *more, *finished])


def stopped_states(before: Snapshot | None, now: Snapshot) -> str:
    """Which runs have come to the stop that somebody wanted, and how to undo that; "" where none has."""
    if before is None or before.folder != now.folder:
        return ""
    stopped = [
        name
        for name, run in now.runs.items()
        if run.state is RunState.STOPPED and name in before.runs and before.runs[name].state in ALIVE
    ]
    more = f" and {len(stopped) - MAX_TOLD} more" if len(stopped) > MAX_TOLD else ""
    return f"{', '.join(stopped[:MAX_TOLD])}{more} stopped; s resumes from the checkpoint" if stopped else ""


def set_title(text: str) -> str:
    """The sequence that sets the terminal's title."""
    return f"\x1b]2;{plain_text(text)}\x07"


def notification(text: str, environment: Mapping[str, str]) -> str:
    """The sequence that has the terminal notify the desktop: OSC 777 where that is known, else OSC 9."""
    cleaned = plain_text(text)
    speaks_777 = environment.get("TERM", "").startswith(("foot", "rxvt")) or "VTE_VERSION" in environment
    sequence = f"\x1b]777;notify;pmssm-supervise;{cleaned}\x07" if speaks_777 else f"\x1b]9;{cleaned}\x07"
    if environment.get("TMUX"):  # tmux hands it on if `allow-passthrough` is on, and swallows it if not
        escaped = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{escaped}\x1b\\"
    return sequence
