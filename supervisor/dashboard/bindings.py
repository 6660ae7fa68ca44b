"""Keys of the dashboard. Bindings, help, palette and key bar are all made from this list.

A new key needs one entry here and one `action_*` method: of `DashboardActions` for `GROUPS`, of the widget for `PANES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Key:
    """One key, or several keys with the same effect.

    Attributes:
        keys: Textual's names of the keys, separated by commas. dashboard.toml uses the same names.
        shown: Name on the screen. A key without one is not listed in the help.
        action: Action that the key calls; "" for a line of the help only.
        help: Description in the help and the palette.
        bar: Description in the key bar; "" keeps the key out of the bar.
        rank: Order in the key bar; a narrow bar drops the highest ranks.
        controls_runs: The key sends commands, so a read-only view rejects it.
        in_details: The key also works in the details of a run.
    """

    keys: str
    shown: str
    action: str
    help: str
    bar: str = ""
    rank: int = 0
    controls_runs: bool = False
    in_details: bool = False


def _run_command(keys: str, shown: str, action: str, description: str, bar: str = "", *, rank: int = 0) -> Key:
    """Return a key that controls runs; it also works in the details of a run."""
    return Key(keys, shown, action, description, bar, rank, controls_runs=True, in_details=True)


GROUPS: dict[str, tuple[Key, ...]] = {
    "Runs": (
        Key("j", "j ↓", "select(1)", "select the next run (↓ in the table)"),
        Key("k", "k ↑", "select(-1)", "select the previous run (↑ in the table)"),
        Key("enter", "Enter", "details", "details of the run: attempts, command, resources", "details", rank=13),
        _run_command("s", "s", "start", "start the run, or resume it from its checkpoint", "start", rank=3),
        _run_command("x", "x", "stop", "stop: SIGTERM, checkpoint, then SIGKILL (confirm)", "stop", rank=4),
        _run_command("X", "X", "kill", "kill at once: SIGKILL (confirm)", "kill", rank=9),
        _run_command("r", "r", "restart", "restart from the checkpoint (confirm)", "restart", rank=5),
        _run_command("R", "R", "fresh", "restart from scratch (confirm)"),
        Key("m", "m", "mark", "mark the run; s x X r R apply to all marked runs", "mark", rank=11),
        Key("M", "M", "mark_all", "mark all listed runs, or clear all marks"),
        Key("o", "o", "order", "sort by plan, urgency, val loss, ETA, name", "sort", rank=16),
        Key("O", "O", "rounds", "list all rounds of the run, or fold them to one line", "rounds", rank=21),
        Key("F", "F", "filter", "show only runs whose name or state matches", "filter", rank=15),
        Key("Y", "Y", "copy_command", "copy the run's command line", "copy command", rank=20, in_details=True),
    ),
    "Log": (
        Key("slash", "/", "search", "search the whole log: regular expression, Enter", "search", rank=6),
        Key("n", "n", "find(1)", "next match, downwards"),
        Key("N", "N", "find(-1)", "previous match, upwards"),
        Key("e", "e", "find_error(-1)", "newest error, then the previous ones", "error", rank=17),
        Key("E", "E", "find_error(1)", "next error, downwards"),
        Key("f", "f", "follow", "follow the end of the log, or pause", "follow", rank=7),
        Key("a", "a", "merge", "all logs together, by time; or the run's own log", "all logs", rank=14),
        Key("w", "w", "wrap", "wrap long lines, or cut them off", "wrap", rank=19),
        Key("t", "t", "length", "time and text, text alone, or whole lines"),
        Key("y", "y", "copy", "copy the text selected with the mouse, or the lines shown"),
        Key("g", "g G 1…9", "", "in the log: start, end, 10 %…90 %"),
    ),
    "Loss": (
        Key("c", "c", "compare", "compare: this run, all (or marked) runs, attempts, sessions", "compare", rank=12),
        Key("v", "v", "metric", "compare training losses, or validation losses"),
        Key("l", "l", "axis", "logarithmic or linear axis", "axis", rank=18),
        Key("plus", "+", "zoom_epochs(1)", "show fewer epochs, the newest ones"),
        Key("minus", "-", "zoom_epochs(-1)", "show more epochs"),
    ),
    "Screen": (
        Key("z", "z", "zoom", "zoom: log, loss, all; or the focused pane", "zoom", rank=8),
        Key("tab", "Tab", "app.focus_next", "focus the next pane; arrows and PgUp/PgDn scroll it"),
        Key("shift+tab", "⇧Tab", "app.focus_previous", "focus the previous pane"),
        Key("question_mark", "?", "help", "this help", "help", rank=1, in_details=True),
        Key("colon", ":", "palette", "search all commands in a list"),
        Key("T", "T", "theme", "theme: dark, light, high contrast"),
        Key("q", "q", "detach", "leave; the runs continue", "detach", rank=2),
        Key("ctrl+z", "Ctrl+Z", "", "suspend; `fg` in the shell shows the dashboard again"),
        Key("Q", "Q", "end", "end the session: stop every run (confirm)", "end", rank=10, controls_runs=True),
    ),
}

PANES: dict[
    str, tuple[str, tuple[Key, ...]]
] = {  # by widget id: title in the help, and the keys while it has the focus
    "runs": (
        "With the runs focused",
        (
            Key("down", "", "move(1)", "next run"),
            Key("up", "", "move(-1)", "previous run"),
            Key("pagedown", "PgDn PgUp", "page(1)", "a page of runs down, up"),
            Key("pageup", "", "page(-1)", "a page of runs up"),
            Key("home,g", "g G", "move(-1000000)", "the first run, the last run (also Home, End)"),
            Key("end,G", "", "move(1000000)", "last run"),
        ),
    ),
    "gpus": ("With the GPUs focused", (Key("down", "↓ ↑", "", "scroll; PgDn and PgUp by pages"),)),
    "curve": ("With the loss focused", (Key("z", "z", "", "show only the plot, or all panes"),)),
    "lines": (
        "With the log focused",
        (
            Key("j", "j k ↓ ↑", "scroll_down", "a line down, up"),
            Key("k", "", "scroll_up", "line up"),
            Key("ctrl+d,space", "PgDn PgUp", "page_down", "a page down, up; also Space and b, Ctrl+D and Ctrl+U"),
            Key("ctrl+u,b", "", "page_up", "page up"),
            Key("right", "→ ←", "", "scroll sideways, if lines are not wrapped"),
            Key("g,home", "", "go(0)", "start of the log"),
            Key("G,end", "", "follow", "end of the log"),
            *(Key(str(tenth), "", f"go({tenth})", f"{tenth}0 % of the log") for tenth in range(1, 10)),
        ),
    ),
    "details": (
        "",
        (
            Key("down,j", "j k ↓ ↑", "scroll_down", "a line down, up"),
            Key("up,k", "", "scroll_up", "line up"),
            Key(
                "pagedown,ctrl+d,space",
                "PgDn PgUp",
                "page_down",
                "a page down, up; also Space and b, Ctrl+D and Ctrl+U",
            ),
            Key("pageup,ctrl+u,b", "", "page_up", "page up"),
            Key("home,g", "g G", "scroll_home", "top, bottom (also Home, End)"),
            Key("end,G", "", "scroll_end", "bottom"),
        ),
    ),
}

DETAILS: tuple[Key, ...] = (
    Key("escape,enter,q", "Esc", "screen.dismiss", "back to all runs (also Enter and q)", "close"),
    *(key for keys in GROUPS.values() for key in keys if key.in_details),
    Key("y", "y", "screen.copy", "copy the selected text, or all of it"),
    Key("left,h", "← h", "screen.other(-1)", "the previous run"),
    Key("right,l", "→ l", "screen.other(1)", "the next run"),
)


def all_keys() -> list[Key]:
    """Return every key of the main screen that has an action."""
    return [key for keys in GROUPS.values() for key in keys if key.action]


def app_bindings() -> list[BindingType]:
    """Return the bindings of the app; their ids `key-…` are those that the keymap replaces."""
    return [_binding(key, f"key({key.action!r})") for key in all_keys()]


def details_bindings() -> list[BindingType]:
    """Return the bindings of the run details; a key of the app does the same in both."""
    return [_binding(key, qualified_action(key)) for key in DETAILS]


def pane_bindings(pane: str) -> list[BindingType]:
    """Return the bindings of a pane, which apply while it has the focus."""
    _, keys = PANES[pane]
    return [Binding(key.keys, key.action, key.help, show=False, priority=True) for key in keys if key.action]


def qualified_action(key: Key) -> str:
    """Return the key's action in the form that works from any widget."""
    return key.action if "." in key.action else f"app.{key.action}"


def _binding(key: Key, action: str) -> Binding:
    # Priority, so that a key pressed directly after another one goes to the screen that the first one opens.
    return Binding(key.keys, action, key.help, show=False, priority=True, id=f"key-{key.keys}")


def bar_keys(remapped: Mapping[str, str]) -> list[Key]:
    """Return the keys of the key bar, the most important first, as the user has them."""
    return _in_bar(all_keys(), remapped)


def details_bar_keys(remapped: Mapping[str, str]) -> list[Key]:
    """Return the keys of the key bar of the run details."""
    return _in_bar(DETAILS, remapped)


def _in_bar(keys: Iterable[Key], remapped: Mapping[str, str]) -> list[Key]:
    return with_remapped_keys(sorted((key for key in keys if key.bar), key=lambda key: key.rank), remapped)


def main_help(pane: str | None) -> dict[str, tuple[Key, ...]]:
    """Return the keys of the main screen by group, those of the focused pane first.

    Args:
        pane: Id of the focused widget.
    """
    title, keys = PANES.get(pane or "", ("", ()))
    return {title: _listed(keys), **GROUPS} if keys else GROUPS


def details_help() -> dict[str, tuple[Key, ...]]:
    """Return the keys of the run details."""
    return {"This run": (*DETAILS, *_listed(PANES["details"][1]))}


def _listed(keys: Iterable[Key]) -> tuple[Key, ...]:
    return tuple(key for key in keys if key.shown)


def with_remapped_keys(keys: Iterable[Key], remapped: Mapping[str, str]) -> list[Key]:
    """Return the keys as the user has them.

    Args:
        keys: The keys with their default names.
        remapped: For a key's default name, the key to press instead.
    """
    return [replace(key, shown=remapped.get(key.keys, key.shown)) for key in keys]
