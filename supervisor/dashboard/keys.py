"""Every key of the dashboard, once: bindings, help and the bar at the bottom are made from this list."""

from __future__ import annotations

from dataclasses import dataclass

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
        Key("s", "s", "start", "start", "start the run, or resume it from its checkpoint"),
        Key("x", "x", "stop", "stop", "stop it: SIGTERM, checkpoint, then SIGKILL after its grace"),
        Key("X", "X", "kill", "kill", "kill it at once: SIGKILL (asks first)"),
        Key("r", "r", "restart", "restart", "restart it; it resumes from its checkpoint"),
        Key("R", "R", "fresh", "", "restart it from scratch (asks first)"),
    ),
    "Log": (
        Key("slash", "/", "search", "search", "search the log: regular expression, Enter"),
        Key("n", "n", "find(1)", "", "next match, downwards"),
        Key("N", "N", "find(-1)", "", "previous match, upwards"),
        Key("f", "f", "follow", "follow", "follow the end of the log, or pause"),
        Key("t", "t", "short", "", "short lines (time and text), or whole ones"),
    ),
    "Screen": (
        Key("z", "z", "zoom", "zoom", "zoom: log, curve, back; or the focused pane"),
        Key("tab", "Tab", "app.focus_next", "", "focus the next pane; arrows and PgUp/PgDn scroll it"),
        Key("shift+tab", "⇧Tab", "app.focus_previous", "", "focus the previous pane"),
        Key("question_mark", "?", "help", "help", "this help"),
        Key("q", "q", "detach", "detach", "leave; the runs go on"),
        Key("Q", "Q", "end", "end", "end the session: stop every run (asks first)"),
    ),
}


def bindings() -> list[BindingType]:
    """The bindings of the application."""
    return [Binding(key.keys, key.action, key.help, show=False) for keys in GROUPS.values() for key in keys]


def bar_keys() -> list[Key]:
    """The keys that the bar shows, the most needed first."""
    order = "? q s x r / f z X Q"
    known = {key.shown: key for keys in GROUPS.values() for key in keys}
    return [known[shown] for shown in order.split()]
