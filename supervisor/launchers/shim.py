"""Parent process of one attempt: starts the command, ends it on request, and records how it ended.

It runs as `python -I -S shim.py` and reads the attempt's folder from standard input, whenever that arrives. It
imports the standard library alone, so that it starts in milliseconds and stays small for days. It does not depend on
the engine, and outlives it.

Files in the folder: `spec.json` describes the command. The shim writes `process.json`, the identities of shim and
command, and `exit.json`, how the command ended. `exit.json` is synced to the disk unless the engine's journal has the
same there already; `process.json` is not, because a power cut that loses it ends the processes, too.

Signals: SIGTERM ends the command gently: SIGTERM, grace period, SIGKILL. SIGUSR1, SIGUSR2 and SIGXCPU, by which batch
systems warn, do the same. SIGQUIT ends it at once. Each process gets one SIGTERM: the command's process group at once,
processes outside the group when the command has ended. All share the grace period of the stop, also where the command
is a script that ends before the program that it has called. `stop.json` says who got SIGTERM and when SIGKILL is due;
an engine that does the work of a killed shim continues from there.

A command that ends by itself leaves nothing behind: other processes get SIGTERM and, after `LEFTOVER_GRACE_S`, SIGKILL.
The exit is recorded once all have ended.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource  # noqa: F401 - os.wait4 imports it; shims that are cloned from this interpreter then have it
import signal
import sys
import time

TYPE_CHECKING = False  # typing itself would cost milliseconds
if __package__ or TYPE_CHECKING:
    from . import shim_channel, shim_files
else:  # run as a file, beside which the other ones lie
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import shim_channel
    import shim_files

PR_SET_CHILD_SUBREAPER = 36
LEFTOVER_GRACE_S = 5.0
RESEND_S = 1.0  # a SIGKILL is repeated, since processes may have been forked meanwhile
SPAWN_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # while the machine has no process for the command
NO_PROCESS = {errno.EAGAIN, errno.ENOMEM}
PROCESS_SIZE = 512  # bytes of process.json, so that a shorter record covers a longer one
RECORD_SIZE = 4096  # bytes reserved for the exit record, so that a full disk cannot lose it
if TYPE_CHECKING:
    from _socket import socket
    from resource import struct_rusage

GENTLE = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU}
HANDLED = GENTLE | {signal.SIGCHLD, signal.SIGQUIT}
IGNORED = {signal.SIGHUP, signal.SIGINT}
RESET = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGQUIT} | IGNORED  # to default in the command
READY = 3  # descriptor that is closed once process.json is complete
NOT_STARTED = 127  # the shell's exit code for a command that cannot be started


class Shim:
    """One attempt, from its start to the record of its exit."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)  # we change to the command's folder
        self.spec = json.loads(shim_files.read(os.path.join(folder, "spec.json")))
        self.reserved = os.path.join(self.folder, f"exit.json.{os.getpid()}")
        self.identity = shim_files.identity(os.getpid())
        self.channel: socket | None = None  # to the engine that started us
        self.record = -1  # descriptor of that file: a user may close or move the folder meanwhile
        self.process = -1  # descriptor of process.json
        self.started = 0.0  # seconds since boot: nobody sets this clock, and it counts while the machine sleeps
        self.pid = 0  # of the command, which is also its process group
        self.stop: str | None = None  # "stop" or "kill" once requested
        self.signalled: set[int] = set()  # processes that have had their SIGTERM
        self.leftovers: set[int] | None = None  # processes that outlived the command, once it has ended
        self.kill_at: float | None = None  # monotonic time of the next SIGKILL
        self.exit: dict[str, object] | None = None

    def run(self) -> None:
        """Start the command, wait for its end, record the exit."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED | IGNORED)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        os.closerange(READY + 1, os.sysconf("SC_OPEN_MAX"))  # inherited from the engine's parents
        os.set_inheritable(READY, False)
        self._reserve_record()  # before the claim: without room for the record there is no attempt
        if not self._claim():
            os.unlink(self.reserved)
            return
        try:
            self._start()
        except (OSError, ValueError) as error:
            self._fail_to_start(error)
        if self.pid:
            self._watch()
        self._record_exit()

    def _claim(self) -> bool:
        """Claim the attempt and return whether it is ours.

        A link succeeds once: for one shim, or for an engine that decided that the attempt never starts.
        """
        temporary = f"{self.reserved}.claim"
        self.process = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._write_process()
            os.link(temporary, os.path.join(self.folder, "process.json"))
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        return True

    def _write_process(self, **more: object) -> None:
        """Write process.json in place: one block, by one call, which needs no room and no second file.

        A reader in that very moment finds no JSON and reads again.
        """
        record = {"shim": self.identity, **more}
        os.pwrite(self.process, json.dumps(record).encode().ljust(PROCESS_SIZE), 0)

    def _start(self) -> None:
        spec = self.spec
        shim_files.end_last_line(spec["log"])
        log = self._open_log()
        os.write(log, spec["header"].encode("utf-8", "backslashreplace"))
        os.chdir(spec["cwd"])
        os.environ["PATH"] = spec["env"].get("PATH", os.defpath)  # where posix_spawnp looks for the command
        self._spawn(log)
        os.close(log)
        if not self.pid:
            return
        try:
            self._write_process(command=shim_files.identity(self.pid), started=time.time())
        except OSError:
            pass  # a full disk: the pid stays unknown, but the command runs and its exit is recorded
        os.close(READY)

    def _open_log(self) -> int:
        # Our record shows which owner the disk gives to files of ours.
        return shim_files.open_log(self.spec["log"], {os.geteuid(), os.fstat(self.record).st_uid})

    def _spawn(self, log: int) -> None:
        """Create the command's process; where the machine has none to give, wait and try again, unless we are stopped.

        Raises:
            OSError: The command cannot be started, or there was no process for it in all that time.
        """
        for delay in (*SPAWN_DELAYS_S, None):
            self.started = time.clock_gettime(time.CLOCK_BOOTTIME)
            try:
                self.pid = os.posix_spawnp(
                    self.spec["command"][0],
                    self.spec["command"],
                    self.spec["env"],
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_DUP2, log, 1),
                        (os.POSIX_SPAWN_DUP2, log, 2),
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=RESET,
                )
            except OSError as error:
                if error.errno not in NO_PROCESS or delay is None:
                    raise
                self._report_delay(error)
                received = signal.sigtimedwait(HANDLED - {signal.SIGCHLD}, delay)
                if received is not None:
                    self.stop = "kill" if received.si_signo == signal.SIGQUIT else "stop"
                    self.exit = {"ended": time.time(), "stop": self.stop, "error": "stopped before it started"}
                    return
            else:
                return

    def _report_delay(self, error: OSError) -> None:
        try:
            self._write_process(delayed=error.strerror)
        except OSError:
            pass

    def _fail_to_start(self, error: OSError | ValueError) -> None:
        command = self.spec["command"][0]
        problem = error.strerror if isinstance(error, OSError) else error
        where = getattr(error, "filename", None)
        reason = f"cannot start {command}: " + (f"{where}: " if where not in (None, command) else "") + f"{problem}"
        reason = reason.encode("utf-8", "backslashreplace").decode()
        try:
            log = self._open_log()
            os.write(log, reason.encode() + b"\n")
            os.close(log)
        except OSError:
            pass
        if getattr(error, "errno", None) in NO_PROCESS:  # no fault of the command: it is lost, not failed
            self.exit = {"ended": time.time(), "unseen": f"never started: {reason}"}
        else:
            self.exit = {"exit_code": NOT_STARTED, "ended": time.time(), "duration_s": 0.0, "error": reason}

    def _watch(self) -> None:
        while self._reap():
            timeout = 3600.0 if self.kill_at is None else max(0.0, self.kill_at - time.monotonic())
            received = signal.sigtimedwait(HANDLED, timeout)
            if received is None:
                if self.kill_at is not None:
                    self._kill()
            elif received.si_signo in GENTLE and self.stop is None:
                self.stop = "stop"
                self._terminate(self.spec["stop_grace_s"])
                self._note_stop()
            elif received.si_signo == signal.SIGQUIT:
                self.stop = "kill"
                self._kill()

    def _reap(self) -> bool:
        """Reap processes that have ended and return whether any process of the attempt is alive."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                break
            if pid == self.pid:
                self._note_exit(status, usage)
        if self.exit is not None and self.leftovers is None:
            self.leftovers = self._unsignalled()
            self._terminate(self.spec["stop_grace_s"] if self.stop is not None else LEFTOVER_GRACE_S)
        return True

    def _note_exit(self, status: int, usage: struct_rusage) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.exit = {
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "stop": self.stop,
            "ended": time.time(),
            "duration_s": time.clock_gettime(time.CLOCK_BOOTTIME) - self.started,
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "max_rss_mib": usage.ru_maxrss / 1024,
        }

    def _terminate(self, grace_s: float) -> None:
        """Send SIGTERM to those that have not had it; a grace period that has begun is not lengthened."""
        kill_at = time.monotonic() + grace_s
        self.kill_at = kill_at if self.kill_at is None else min(kill_at, self.kill_at)
        if self.exit is None:  # the whole group in one step: a process that forks meanwhile does not escape
            self.signalled.update(
                pid for pid in shim_files.descendants(os.getpid()) if shim_files.group_of(pid) == self.pid
            )
            shim_files.quietly(os.killpg, self.pid, signal.SIGTERM)
            shim_files.quietly(os.killpg, self.pid, signal.SIGCONT)  # a stopped process would sleep through its SIGTERM
        else:
            for pid in self._unsignalled():
                shim_files.quietly(os.kill, pid, signal.SIGTERM)
                shim_files.quietly(os.kill, pid, signal.SIGCONT)
                self.signalled.add(pid)

    def _unsignalled(self) -> set[int]:
        """Return the living processes that still need a SIGTERM.

        After a stop these are outside the command's group: that has had its SIGTERM, and what it starts since then may
        belong to a checkpoint.
        """
        living = set(shim_files.descendants(os.getpid())) - self.signalled
        return living if self.stop is None else {pid for pid in living if shim_files.group_of(pid) != self.pid}

    def _note_stop(self) -> None:
        signalled = shim_files.identities(self.signalled)
        record = {"kill_at": self.kill_at, "signalled": signalled, "boot_id": shim_files.boot_id()}
        try:
            shim_files.write(self.folder, "stop.json", record)
        except OSError:
            pass  # a full disk: if we are killed as well, the processes get a second SIGTERM

    def _kill(self) -> None:
        """Send SIGKILL to the command's group and to every descendant."""
        self.kill_at = time.monotonic() + RESEND_S
        if self.exit is None:
            shim_files.quietly(os.killpg, self.pid, signal.SIGKILL)
        for pid in shim_files.descendants(os.getpid()):
            shim_files.quietly(os.kill, pid, signal.SIGKILL)

    def _reserve_record(self) -> None:
        self.record = os.open(self.reserved, os.O_WRONLY | os.O_CREAT, 0o600)
        os.posix_fallocate(self.record, 0, RECORD_SIZE)

    def _record_exit(self) -> None:
        assert self.exit is not None
        shim_files.end_last_line(self.spec["log"])
        record = {**self.exit, "leftovers": len(self.leftovers or ())}
        os.write(self.record, json.dumps(record).encode().ljust(RECORD_SIZE))
        # If the shim is killed here, the engine finds the record under this name, too.
        os.rename(self.reserved, os.path.join(self.folder, "exit.json"))
        if not shim_channel.is_journaled(self.channel):
            os.fsync(self.record)
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)  # the name, too
            os.close(folder)


def main() -> None:
    """Read the attempt's folder from standard input and run the attempt; exit if there is no folder."""
    folder, channel = shim_channel.receive_folder()
    if not folder:
        return
    try:
        shim = Shim(folder)
        shim.channel = channel
        shim.run()
    except BaseException:  # it is printed last of all
        os.dup2(os.open(os.path.join(folder, "shim.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        raise


if __name__ == "__main__":
    main()
    os._exit(0)  # a normal exit of the interpreter takes milliseconds, for which the next run would wait
