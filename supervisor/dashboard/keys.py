"""Every key of the dashboard, once: bindings, help and the bar at the bottom are made from this list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Key:
    """A key: how it is called (and shown), the action, a word for the bar, a sentence for the help."""

    keys: str
    shown: str
    action: str
    word: str
    help: str


GROUPS: dict[str, tuple[Key, ...]] = {
    "Runs": (
        Key("j", "j ↓", "select(1)", "", "select the next run (↓ in the table)"),
        Key("k", "k ↑", "select(-1)", "", "select the previous run (↑ in the table)"),
        Key("enter", "Enter", "details", "details", "all about the run: attempts, command, resources"),
        Key("s", "s", "start", "start", "start the run, or resume it from its checkpoint"),
        Key("x", "x", "stop", "stop", "stop it: SIGTERM, checkpoint, then SIGKILL (asks)"),
        Key("X", "X", "kill", "kill", "kill it at once: SIGKILL (asks)"),
        Key("r", "r", "restart", "restart", "restart it; it resumes from its checkpoint (asks)"),
        Key("R", "R", "fresh", "", "restart it from scratch (asks)"),
        Key("m", "m", "mark", "mark", "mark the run; s x X r R act on all that are marked"),
        Key("M", "M", "mark_all", "", "mark all runs shown, or take all marks away"),
        Key("o", "o", "order", "", "sort by plan, urgency, val loss, ETA, name"),
        Key("F", "F", "filter", "", "show only runs whose name or state matches"),
        Key("Y", "Y", "copy_command", "", "copy the run's command line"),
    ),
    "Log": (
        Key("slash", "/", "search", "search", "search the whole log: regular expression, Enter"),
        Key("n", "n", "find(1)", "", "next match, downwards"),
        Key("N", "N", "find(-1)", "", "previous match, upwards"),
        Key("e", "e", "find_error(-1)", "", "newest error, then the ones above"),
        Key("E", "E", "find_error(1)", "", "next error, downwards"),
        Key("f", "f", "follow", "follow", "follow the end of the log, or pause"),
        Key("a", "a", "merge", "", "all logs as one, by time; or the run's own"),
        Key("w", "w", "wrap", "", "wrap long lines, or cut them"),
        Key("t", "t", "length", "", "time and text, text alone, or whole lines"),
        Key("y", "y", "copy", "", "copy what the mouse marked, or the lines in view"),
        Key("g", "g G 1…9", "", "", "in the log: its beginning, its end, 10 %…90 % of it"),
    ),
    "Loss": (
        Key("c", "c", "compare", "compare", "compare: this run, all (or marked) runs, attempts, sessions"),
        Key("v", "v", "metric", "", "compare training losses, or validation losses"),
        Key("l", "l", "axis", "", "logarithmic or linear axis"),
        Key("plus", "+", "zoom_epochs(1)", "", "only the newest epochs"),
        Key("minus", "-", "zoom_epochs(-1)", "", "more epochs again"),
    ),
    "Screen": (
        Key("z", "z", "zoom", "zoom", "zoom: log, curve, back; or the focused pane"),
        Key("tab", "Tab", "app.focus_next", "", "focus the next pane; arrows and PgUp/PgDn scroll it"),
        Key("shift+tab", "⇧Tab", "app.focus_previous", "", "focus the previous pane"),
        Key("question_mark", "?", "help", "help", "this help"),
        Key("colon", ":", "palette", "", "all of this as a list to search"),
        Key("T", "T", "theme", "", "theme: dark, light, high contrast"),
        Key("q", "q", "detach", "detach", "leave; the runs go on"),
        Key("Q", "Q", "end", "end", "end the session: stop every run (asks)"),
    ),
}


ACTING = frozenset({"start", "stop", "kill", "restart", "fresh", "end"})  # what a read-only screen refuses


def every_key() -> list[Key]:
    """Every key that does something, once."""
    return [key for keys in GROUPS.values() for key in keys if key.action]


def bindings() -> list[BindingType]:
    """The bindings of the application; their names are those by which the settings give them other keys."""
    return [Binding(key.keys, key.action, key.help, show=False, id=f"key-{key.keys}") for key in every_key()]


def bar_keys(instead: Mapping[str, str]) -> list[Key]:
    """The keys that the bar shows, the most needed first; `instead` has those that the user chose in place of ours."""
    order = "? q s x r / f z X Q m c Enter"
    known = {key.shown: key for key in every_key()}
    shown = [known[name] for name in order.split()]
    return [replace(key, shown=instead.get(key.keys, key.shown)) for key in shown]
