"""Protocol between the engine and the ways to start an attempt.

The engine decides *that* an attempt starts, and in which folder. A launcher knows *how*: as a process of this
machine, as a job of a batch system, or as a step on another node of the allocation that the engine is in. The engine
sees two interfaces only, `Launcher` and `RunningAttempt`.

**Files are the truth.** Every launcher runs `shim.py` beside the command, here or on another machine that sees the
folder. The shim writes `process.json` (the command has started) and `exit.json` (how it ended). What a batch system
reports only explains why a file is absent.

**The loop never waits.** Every method returns at once. A launcher that has to wait, for example for a batch system
that needs seconds to accept a job, does so in tasks of its own. It calls `on_change()` in the event loop when there
may be something new. The engine then calls `advance()`, and also once a second. `advance()` brings all attempts of
the launcher up to date together, so one question to a batch system can serve them all. Attributes of an attempt
change in `advance()` alone.

**Life of an attempt.** `start()` returns it at once: `started` and `outcome` are None while it is submitted or
waits in a queue, and `placement` says which job it is and why it waits. `started` is set once the command runs.
`outcome` is set once nothing of the attempt is alive, and never changes again. A start that fails later, as a refused
submission does, is an `Exit` with an `error`.

**Interruptions.** An attempt that was ended from outside and did nothing wrong is an `Exit` with `interrupted`: its
job reached a time limit, was preempted, lost its node, or got a stop that nobody requested. `error` says which, in
words. The engine then starts the next attempt, which continues from the checkpoint; this is no retry and no failure.

**Stops are requests.** `request_stop()` returns before anything has stopped; `outcome` shows the end. A launcher
repeats or escalates the request in `advance()`. The engine repeats it after its own restart.

**Engines die.** An engine records a decision to start before it calls `start()`. The next engine calls `adopt()`
for every recorded attempt without an end. The launcher then finds the attempt, or makes sure that it never starts
and sets `outcome` to `NeverStarted`. It must not start twice: a launcher marks its folder or its job so that
`was_started()` and `adopt()` find it, however early the first engine died.

**Other machines.** A pid is valid on its `node` alone. The engine never signals, measures or compares it elsewhere.
The engine writes the number of the newest attempt to the run's fence before it calls `start()`, and `given` names that
file: an old attempt that comes back with its node finds a newer number there, and ends without writing a result.

**Dependencies.** A batch system may start an attempt after others, while no engine lives: `follows` in its
specification names their folders. It must not start before all of them have exited with code 0 without being told to
stop. If that becomes impossible, its outcome is `NeverStarted`; the engine then decides about the run anew.

To add a launcher, write the two classes and add a line to `registry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..gpus.models import GpuReading
from ..session.events import ENGINE_DIED, Exit, StopKind
from ..session.observation import ResourceUsage
from .attempt_files import AttemptSpec


@dataclass(frozen=True)
class CommandStart:
    """Start of an attempt's command.

    Attributes:
        pid: Process id on `node`.
        at: Unix time, s.
        node: The machine where it runs; None for this one.
    """

    pid: int
    at: float
    node: str | None = None


@dataclass(frozen=True)
class QueueWait:
    """Why an attempt waits in the queue of a batch system.

    Attributes:
        reason: One plain English sentence or phrase, with the remedy if there is one; "" while it is not known.
        expected_start: When the batch system expects to start it, unix time in s; None if it does not say.
    """

    reason: str = ""
    expected_start: float | None = None


@dataclass(frozen=True)
class Placement:
    """Where an attempt stands in a batch system.

    Attributes:
        job_id: Its job, as the user would name it there; "" until it is submitted.
        node: The machines that it was given; "" until it has them.
        waiting: Why it waits; None once it runs.
    """

    job_id: str = ""
    node: str = ""
    waiting: QueueWait | None = None


@dataclass(frozen=True)
class NeverStarted:
    """Outcome of an attempt that did not start and never will.

    Attributes:
        reason: Why, in words.
    """

    reason: str = ENGINE_DIED


Outcome = Exit | NeverStarted


class RunningAttempt(Protocol):
    """An attempt that was started or adopted, until the engine has recorded its outcome."""

    @property
    def started(self) -> CommandStart | None:
        """The start of its command; None until the command runs."""

    @property
    def placement(self) -> Placement | None:
        """Where it stands in a batch system; None for a process of this machine."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may be alive."""

    def warnings(self) -> Sequence[str]:
        """Return present problems, one sentence each, shown as long as they last."""

    def take_messages(self) -> Sequence[str]:
        """Return what happened since the last call and belongs in the session's log as a warning."""

    def confirm_end(self) -> None:
        """Take note that the outcome is in the journal, on the disk."""

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        """Request the end of the attempt.

        A repeated request does no harm, and never lengthens a grace period that has begun.

        Args:
            kind: `stop` ends it gently and kills it after the grace period, `kill` kills it at once.
            grace_s: Length of the grace period, in seconds.
        """

    def withdraw(self) -> None:
        """Keep an attempt with `follows` from starting; its outcome becomes `NeverStarted`, unless its command runs.

        A repeated request does no harm.

        Raises:
            OSError: The folder of the attempt cannot be written.
        """


class Launcher(Protocol):
    """One way to start attempts."""

    def prepare(self) -> None:
        """Acquire what the next start needs, so that the start is fast and does not fail for lack of it.

        Raises:
            OSError: The resources are not available.
        """

    def start(self, folder: Path, spec: AttemptSpec) -> RunningAttempt:
        """Start an attempt.

        Args:
            folder: Folder of the attempt, in which no attempt was started before.
            spec: Command, environment, log.

        Raises:
            OSError: The folder cannot be written, or nothing can be started now.
        """

    def was_started(self, folder: Path) -> bool:
        """Return whether an attempt was started in the folder, even if the journal does not know it."""

    def adopt(self, folder: Path) -> RunningAttempt:
        """Return the attempt that an earlier engine started, or decided to start, in the folder.

        Raises:
            OSError: The folder cannot be written.
        """

    def advance(self) -> None:
        """Bring all attempts up to date and do what is due, such as the end of a grace period."""

    def measure_usage(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, ResourceUsage]:
        """Return the resource usage of attempts, by their keys; an attempt that cannot be measured is left out.

        Pids of other machines are left out, too.
        """

    def read_gpus(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, GpuReading]:
        """Return the newest reading of the GPUs of each attempt on another machine, by its key.

        Attempts without a reading are left out, and so are the GPUs of this machine, which the engine reads itself.
        """

    def avoided_nodes(self) -> frozenset[str]:
        """Return the nodes of the slots on which nothing should start now."""

    def warnings(self) -> Sequence[str]:
        """Return present problems of the launcher itself, one sentence each."""

    def close(self) -> None:
        """Release all resources; the attempts go on."""
