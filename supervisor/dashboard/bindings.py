"""Every key of the dashboard, once: bindings, help and the bar at the bottom are made from this list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        Key("o", "o", "order", "sort", "sort by plan, urgency, val loss, ETA, name"),
        Key("F", "F", "filter", "filter", "show only runs whose name or state matches"),
        Key("Y", "Y", "copy_command", "", "copy the run's command line"),
    ),
    "Log": (
        Key("slash", "/", "search", "search", "search the whole log: regular expression, Enter"),
        Key("n", "n", "find(1)", "", "next match, downwards"),
        Key("N", "N", "find(-1)", "", "previous match, upwards"),
        Key("e", "e", "find_error(-1)", "error", "newest error, then the ones above"),
        Key("E", "E", "find_error(1)", "", "next error, downwards"),
        Key("f", "f", "follow", "follow", "follow the end of the log, or pause"),
        Key("a", "a", "merge", "all logs", "all logs as one, by time; or the run's own"),
        Key("w", "w", "wrap", "wrap", "wrap long lines, or cut them"),
        Key("t", "t", "length", "", "time and text, text alone, or whole lines"),
        Key("y", "y", "copy", "", "copy what the mouse marked, or the lines in view"),
        Key("g", "g G 1…9", "", "", "in the log: its beginning, its end, 10 %…90 % of it"),
    ),
    "Loss": (
        Key("c", "c", "compare", "compare", "compare this run, all (or marked) runs, attempts, sessions"),
        Key("v", "v", "metric", "", "compare training losses, or validation losses"),
        Key("l", "l", "axis", "axis", "logarithmic or linear axis"),
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


# Of one pane alone: what its arrows and letters do while it has the focus.
_SCROLLING = (
    Key("down", "j k ↓ ↑", "", "", "a line down, up"),
    Key("pagedown", "PgDn PgUp", "", "", "a page down, up; also Space and b, Ctrl+D and Ctrl+U"),
)
PANES: dict[str, tuple[str, tuple[Key, ...]]] = {
    "runs": (
        "Here, in the table of runs",
        (
            Key("pagedown", "PgDn PgUp", "", "", "a page of runs down, up"),
            Key("home", "g G", "", "", "the first run, the last one (also Home, End)"),
        ),
    ),
    "gpus": ("Here, among the GPUs", (Key("down", "↓ ↑", "", "", "scroll; PgDn and PgUp by pages"),)),
    "curve": ("Here, in the losses", (Key("z", "z", "", "", "the plot alone, and back"),)),
    "lines": (
        "Here, in the log",
        (*_SCROLLING, Key("right", "→ ←", "", "", "what is right of the screen, if lines are not wrapped")),
    ),
}
_ACTIONS = {key.action: key for keys in GROUPS.values() for key in keys}
DETAILS: tuple[Key, ...] = (
    Key("escape,enter,q", "Esc", "screen.dismiss", "close", "back to all runs (also Enter and q)"),
    *(_ACTIONS[action] for action in ("start", "stop", "restart", "kill", "fresh", "copy_command")),
    Key("y", "y", "screen.copy", "", "copy all of this, or what the mouse marked"),
    Key("left,h", "← h", "screen.other(-1)", "", "the run before"),
    Key("right,l", "→ l", "screen.other(1)", "", "the run after it"),
    *_SCROLLING,
    Key("home", "g G", "", "", "top, bottom (also Home, End)"),
    Key("question_mark", "?", "help", "help", "this help"),
)


ACTING = frozenset({"start", "stop", "kill", "restart", "fresh", "end"})  # what a read-only screen refuses


def all_keys() -> list[Key]:
    """Every key that does something, once."""
    return [key for keys in GROUPS.values() for key in keys if key.action]


def bindings() -> list[BindingType]:
    """The bindings of the application; their names are those by which the settings give them other keys."""
    return [_binding(key, f"key({key.action!r})") for key in all_keys()]


def detail_bindings() -> list[BindingType]:
    """The bindings of the detail view; a key that is also one of the application does the same in both."""
    return [_binding(key, action_of(key)) for key in DETAILS if key.action]


def action_of(key: Key) -> str:
    """The action as it is called from anywhere."""
    return key.action if "." in key.action else f"app.{key.action}"


def _binding(key: Key, action: str) -> Binding:
    # Before all other bindings, so that what is typed at once after a key goes where that key leads.
    return Binding(key.keys, action, key.help, show=False, priority=True, id=f"key-{key.keys}")


def bar_keys(instead: Mapping[str, str]) -> list[Key]:
    """The keys that the bar shows, the most needed first; `instead` has those that the user chose in place of ours."""
    order = "? q s x r / f z X Q m c Enter a F o e l w"
    known = {key.shown: key for key in all_keys()}
    return displayed_key((known[name] for name in order.split()), instead)


def detail_bar_keys(instead: Mapping[str, str]) -> list[Key]:
    """The same of the detail view."""
    shown = (replace(key, word="copy command") if key.action == "copy_command" else key for key in DETAILS)
    return displayed_key((key for key in shown if key.word), instead)


def displayed_key(keys: Iterable[Key], instead: Mapping[str, str]) -> list[Key]:
    """The keys with those in place of ours that the user chose."""
    return [replace(key, shown=instead.get(key.keys, key.shown)) for key in keys]
