"""Terminals that close, connections that drop, dashboards that are killed: the runs never notice."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator

import pexpect
import pyte
import pytest
from support.cli_sandbox import COMMAND, CliSandbox
from support.process_table import (
    LONG_S,
    UNTIL_GO,
    engine_of,
    events,
    exit_of,
    is_alive,
    pid_of,
    shell_run,
    stopped,
    wait_until_gone,
    wait_until_printed,
)
from support.waiting import wait_until

PLAN = shell_run("alpha", UNTIL_GO) + shell_run("omega", "true", after=["alpha"])


class Screen:
    """The installed command in a terminal of its own; with `nohup` it is told to ignore the end of that."""

    def __init__(self, box: CliSandbox, *arguments: str, nohup: bool = False) -> None:
        self._screen = pyte.Screen(100, 30)
        self._stream = pyte.ByteStream(self._screen)
        env = {name: value for name, value in box.env.items() if name not in ("COLUMNS", "LINES")} | {
            "TERM": "xterm-256color"
        }
        self.process = pexpect.spawn(
            str(COMMAND),
            list(arguments),
            env=env,
            cwd=str(box.folder),
            dimensions=(30, 100),
            timeout=LONG_S,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL),
        )

    def shows(self, *words: str) -> None:
        """Waits until all the words are on the screen."""
        end = time.monotonic() + LONG_S
        while not all(any(word in line for line in self._screen.display) for word in words):
            assert time.monotonic() < end, "\n".join(self._screen.display)
            with contextlib.suppress(pexpect.TIMEOUT):
                self._stream.feed(self.process.read_nonblocking(1 << 16, timeout=0.1))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a test may have closed it
            self.process.close(force=True)


@pytest.fixture
def open_screen(box: CliSandbox) -> Iterator[Callable[..., Screen]]:
    """Opens screens, and closes them in the end."""
    screens: list[Screen] = []

    def make(*arguments: str, nohup: bool = False) -> Screen:
        screens.append(Screen(box, *arguments, nohup=nohup))
        return screens[-1]

    yield make
    for screen in screens:
        screen.close()


def kill_it(screen: Screen) -> None:
    os.kill(screen.process.pid, signal.SIGKILL)


def hang_up(screen: Screen) -> None:
    os.kill(screen.process.pid, signal.SIGHUP)


def close_terminal(screen: Screen) -> None:
    os.close(screen.process.child_fd)


def drop_connection(screen: Screen) -> None:
    """What sshd does: the terminal goes, and the whole process group with it."""
    group = os.getpgid(screen.process.pid)
    os.close(screen.process.child_fd)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGHUP)
        os.killpg(group, signal.SIGKILL)


@pytest.mark.parametrize("end", [kill_it, hang_up, close_terminal, drop_connection])
def test_runs_go_on_when_the_terminal_that_started_them_ends_and_attach_shows_them_again(
    box: CliSandbox, open_screen: Callable[..., Screen], end: Callable[[Screen], None]
) -> None:
    first = open_screen("--plan", box.plan(PLAN))
    first.shows("alpha", "running")
    pid, engine = pid_of(box, "alpha"), engine_of(box)
    end(first)
    wait_until(lambda: not is_alive(first.process.pid), LONG_S, "the dashboard to notice")
    assert is_alive(pid) and box.engines() == [engine]
    again = open_screen("attach")
    again.shows("alpha", "running", f"pid {pid}")
    (box.folder / "go").touch()
    for run in ("alpha", "omega"):
        assert exit_of(box, run)["exit_code"] == 0
        assert len(events(box, "attempt_starting", run)) == 1
    again.shows("succeeded")


def test_a_dashboard_under_nohup_ends_with_its_terminal_all_the_same(
    box: CliSandbox, open_screen: Callable[..., Screen]
) -> None:
    screen = open_screen("--plan", box.plan(PLAN), nohup=True)
    screen.shows("alpha", "running")
    close_terminal(screen)
    wait_until_gone(screen.process.pid)
    (box.folder / "go").touch()
    assert exit_of(box, "omega")["exit_code"] == 0


def test_two_dashboards_at_once_see_the_same_and_one_may_die(
    box: CliSandbox, open_screen: Callable[..., Screen]
) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    pid_of(box, "alpha")
    screens = [open_screen("attach"), open_screen("attach")]
    for screen in screens:
        screen.shows("alpha", "running")
    screens[0].process.send("x")  # stop, on the one
    screens[0].shows("Stop alpha?")
    screens[0].process.send("y")
    for screen in screens:
        screen.shows("stopped")  # seen on both
    kill_it(screens[0])
    screens[1].process.send("r")
    screens[1].shows("running")
    pid_of(box, "alpha", attempt=2)
    (box.folder / "go").touch()
    assert exit_of(box, "omega")["exit_code"] == 0


def test_a_frozen_dashboard_holds_up_nobody(box: CliSandbox, open_screen: Callable[..., Screen]) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    pid_of(box, "alpha")
    screen = open_screen("attach")
    screen.shows("alpha", "running")
    os.kill(screen.process.pid, signal.SIGSTOP)
    (box.folder / "go").touch()
    assert exit_of(box, "omega")["exit_code"] == 0
    assert box.status()["runs"]["omega"]["state"] == "succeeded"
    os.kill(screen.process.pid, signal.SIGCONT)
    screen.shows("succeeded")


@pytest.mark.long(22)
def test_a_dashboard_reports_a_frozen_engine(box: CliSandbox, open_screen: Callable[..., Screen]) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    pid_of(box, "alpha")
    screen = open_screen("attach")
    screen.shows("alpha", "running")
    engine = engine_of(box)
    with stopped(engine):
        screen.shows("reconnecting")
    (box.folder / "go").touch()
    assert exit_of(box, "omega")["exit_code"] == 0
    screen.shows("succeeded")


def test_a_foreground_session_whose_terminal_is_dropped_stops_its_runs_cleanly(
    box: CliSandbox, open_screen: Callable[..., Screen]
) -> None:
    slow = "trap 'sleep 1; echo checkpoint; exit 143' TERM; echo ready; while :; do sleep 0.02; done"
    screen = open_screen("--headless", "--plan", box.plan(shell_run("alpha", slow)))
    screen.shows("running as pid")
    wait_until_printed(box, "alpha", "ready")
    pid = pid_of(box, "alpha")
    group = os.getpgid(screen.process.pid)
    os.killpg(group, signal.SIGHUP)
    wait_until(lambda: events(box, "stop_requested", "alpha"), LONG_S, "the first signal to be heard")
    os.killpg(group, signal.SIGHUP)  # the shell says it to its jobs, and the kernel to the terminal's foreground
    os.close(screen.process.child_fd)
    wait_until_gone(pid)
    assert exit_of(box, "alpha")["exit_code"] == 143
    wait_until_gone(screen.process.pid)
    assert box.living() == []


def test_a_foreground_session_under_nohup_outlives_its_terminal(
    box: CliSandbox, open_screen: Callable[..., Screen]
) -> None:
    screen = open_screen("--headless", "--plan", box.plan(PLAN), nohup=True)
    screen.shows("running as pid")
    os.killpg(os.getpgid(screen.process.pid), signal.SIGHUP)
    close_terminal(screen)
    (box.folder / "go").touch()
    assert exit_of(box, "omega")["exit_code"] == 0
    assert not events(box, "stop_requested", "alpha")


def test_a_foreground_session_that_nobody_reads_goes_on(box: CliSandbox) -> None:
    """As in `pmssm-supervise --headless | less`: the pipe is full, and the reader has all the time in the world."""
    count = 40
    plan = "".join(shell_run(f"r{at}", "true", after=[f"r{at - 1}"] if at else []) for at in range(count))
    process = box.start("--headless", "--plan", box.plan(plan))
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    assert exit_of(box, f"r{count - 1}")["exit_code"] == 0
    output, _ = process.communicate(timeout=60)  # now somebody reads, and finds all of it
    assert process.returncode == 0
    assert all(f"r{at}: succeeded" in output for at in range(count)) and "wall time" in output
