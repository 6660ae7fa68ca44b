"""Launcher for jobs of a Slurm cluster.

At most one call to Slurm runs at a time, in a task beside the event loop. `advance` chooses the next one, see
`call_plan`. One question for the whole queue serves all attempts. Attempts that start together and have equal settings
may share a job, see `bundles`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...gpus.models import GpuReading
from ...session.observation import ResourceUsage
from ..attempt_files import AttemptSpec
from ..base import RunningAttempt
from .attempt import SlurmAttempt
from .attempt_folder import Submission
from .batch_script import JobRequest, batch_script, sbatch_options
from .bundles import bundled, take_bundle
from .call_budget import CallBudget
from .call_plan import POLL_FOR_STOP, STOP, SUBMIT, Demand, Pace, next_call
from .commands import SlurmCommands
from .dependencies import jobs_before
from .errors import (
    RefusalKind,
    SlurmError,
    SlurmNotInstalled,
    SlurmOutputError,
    SlurmUnavailable,
    SubmissionRefused,
)
from .facts import Stage
from .job_status import JobStatus
from .samples import sampled_gpus, sampled_usage
from .states import Phase, explain
from .stop_request import StopCall
from .tokens import JobToken

SILENCE_S = 20.0  # without an answer, until the screen says so
LIMIT_PAUSE_S = 60.0  # after a refusal for a limit, unless one of our jobs ends before
RETRY_S = 10.0  # after a call that failed
STRAY_S = 60.0  # after the end of an attempt, until a job that still carries its token is cancelled


class SlurmLauncher:
    """Submits attempts as jobs, and follows them by their files and by Slurm's queue.

    Args:
        on_change: Called in the event loop when an attempt may have changed.
        environment: Variables for Slurm's programs, by default our own.
        budget: How often Slurm may be called.
        pace: How often it is asked for states.
        python: Interpreter on the nodes, by default ours, which must be on a shared disk.
    """

    def __init__(
        self,
        on_change: Callable[[], None],
        *,
        environment: Mapping[str, str] | None = None,
        budget: CallBudget | None = None,
        pace: Pace | None = None,
        python: Path | None = None,
    ) -> None:
        self._on_change = on_change
        self._budget = budget or CallBudget()
        self._pace = pace or Pace()
        self._commands = SlurmCommands(environment, budget=self._budget)
        self._python = python or Path(sys.executable)
        self._attempts: dict[Path, SlurmAttempt] = {}  # those that have not ended, by their folders
        self._task: asyncio.Task[None] | None = None
        self._polled_at: float | None = None  # monotonic times
        self._no_submissions_before = 0.0
        self._no_stops_before = 0.0
        self._ended: dict[JobToken, float] = {}  # when attempts ended
        self._problem = ""

    def prepare(self) -> None:
        """Do nothing: a submission needs nothing that could be acquired before."""

    def start(self, folder: Path, spec: AttemptSpec) -> SlurmAttempt:
        """Start an attempt: write what its job needs, and submit that as soon as it may be.

        Raises:
            OSError: The folder cannot be written.
        """
        attempt = SlurmAttempt.prepare(folder, spec, self._python)
        self._attempts[folder] = attempt
        self._work()
        return attempt

    def was_started(self, folder: Path) -> bool:
        """Return whether sbatch was called for the folder, or its attempt was made void."""
        return Submission.read(folder) is not None or (folder / "process.json").exists()

    def adopt(self, folder: Path) -> SlurmAttempt:
        """Return the attempt of an earlier engine.

        Raises:
            OSError: The folder cannot be written.
        """
        attempt = SlurmAttempt.adopt(folder)
        if attempt.outcome is None:
            self._attempts[folder] = attempt
            self._work()
        return attempt

    def advance(self) -> None:
        """Bring all attempts up to date, and make the next call to Slurm if one is due."""
        now = time.monotonic()
        self._note_who_goes_on()
        for attempt in self._attempts.values():
            attempt.advance(now)
            if attempt.outcome is not None:
                self._no_submissions_before = 0.0  # the job that ended may have been one too many
                if attempt.token is not None:
                    self._ended[attempt.token] = now
        self._attempts = {attempt.folder: attempt for attempt in self._attempts.values() if attempt.outcome is None}
        self._work()

    def measure_usage(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, ResourceUsage]:
        """Return what the samplers in the jobs have measured last."""
        return sampled_usage(attempts)

    def read_gpus(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, GpuReading]:
        """Return the GPUs of the jobs as their samplers have read them last; `taken_at` tells the age."""
        return sampled_gpus(attempts)

    def avoided_nodes(self) -> frozenset[str]:
        """Return nothing: jobs take no slots."""
        return frozenset()

    def warnings(self) -> Sequence[str]:
        """Return whether Slurm does not answer, or with an error."""
        silence_s = self._commands.silence_s
        if silence_s >= SILENCE_S:
            known = self._commands.answered_at
            states = "" if known is None else f"; states as of {time.strftime('%H:%M', time.localtime(known))}"
            return (f"Slurm has not answered for {silence_s:.0f} s{states}",)
        return (self._problem,) if self._problem else ()

    def close(self) -> None:
        """Leave everything as it is; the jobs go on."""
        if self._task is not None:
            self._task.cancel()
        self._attempts = {}

    def _work(self) -> None:
        """Begin the next call to Slurm if one is due and none is being made."""
        if self._task is not None and not self._task.done():
            return
        call = self._choose(time.monotonic())
        if call is not None:
            self._task = asyncio.get_running_loop().create_task(self._call(call))

    async def _call(self, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
            self._problem = ""
        except SlurmUnavailable:
            pass  # `warnings` says so once it lasts
        except SlurmError as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = f"{error.filename}: {error.strerror}"
            self._no_submissions_before = time.monotonic() + RETRY_S
        finally:
            self._task = None
            self._on_change()

    def _note_who_goes_on(self) -> None:
        """Tell each attempt that is to be stopped whether others in its job go on."""
        living = [attempt for attempt in self._attempts.values() if attempt.outcome is None]
        going_on = Counter(attempt.token for attempt in living if not attempt.is_stop_requested)
        for attempt in living:
            attempt.others_go_on = attempt.is_stop_requested and going_on[attempt.token] > 0

    def _choose(self, now: float) -> Callable[[], Awaitable[None]] | None:
        self._note_who_goes_on()  # a stop may have been requested since the last `advance`
        living = [attempt for attempt in self._attempts.values() if attempt.outcome is None]
        stops = {attempt: call for attempt in living if (call := attempt.due_call(now)) is not None}
        if now < self._no_stops_before:
            stops = {}
        confirmed = {attempt: call for attempt, call in stops.items() if attempt.is_confirmed(now)}
        unsubmitted = [attempt for attempt in living if attempt.stage is Stage.UNSUBMITTED]
        may_submit = bool(unsubmitted) and now >= self._no_submissions_before
        has_due = may_submit and next(self._due(now), None) is not None
        is_held = may_submit and not has_due and self._budget.wait_s(now, "submit") <= 0
        demand = Demand(
            has_stops=bool(confirmed),
            has_unconfirmed_stops=len(confirmed) < len(stops),
            has_urgent=any(attempt.is_urgent for attempt in living) or is_held,
            has_waiting=any(attempt.is_waiting for attempt in living),
            has_jobs=len(unsubmitted) < len(living),
            has_unsubmitted=has_due,
        )
        chosen = next_call(demand, self._budget, self._pace, now, self._polled_at)
        if chosen is None:
            return None
        if chosen is STOP:
            first = next(iter(confirmed.values()))
            return partial(self._send_stops, first, [attempt for attempt, call in confirmed.items() if call == first])
        if chosen is SUBMIT:
            return self._submit
        return partial(self._poll, for_stop=chosen is POLL_FOR_STOP)

    def _due(self, now: float) -> Iterator[tuple[JobRequest, SlurmAttempt]]:
        """Yield what may be submitted now; not attempts after jobs that Slurm may not know."""
        for attempt in self._attempts.values():
            if attempt.request is None or attempt.stage is not Stage.UNSUBMITTED or attempt.is_stop_requested:
                continue
            after = jobs_before(attempt.follows, self._attempts, now)
            if after is not None:
                yield replace(attempt.request, after=after) if after else attempt.request, attempt

    async def _submit(self) -> None:
        """Submit the attempt that waits longest, and in the same job those that are like it."""
        unsubmitted = dict(self._due(time.monotonic()))
        if not unsubmitted:
            return
        requests = take_bundle(tuple(unsubmitted))
        job, attempts = bundled(requests), [unsubmitted[request] for request in requests]
        for attempt in attempts:
            attempt.note_submitting(job)
        try:
            number = await self._commands.submit(sbatch_options(job), batch_script(job))
        except (SubmissionRefused, SlurmNotInstalled) as error:
            passes = isinstance(error, SubmissionRefused) and error.passes
            for attempt in attempts:
                (attempt.note_postponed if passes else attempt.note_refused)(str(error))
            if isinstance(error, SubmissionRefused) and passes:
                pause_s = RETRY_S if error.kind is RefusalKind.DEPENDENCY else LIMIT_PAUSE_S
                self._no_submissions_before = time.monotonic() + pause_s
        except (SlurmUnavailable, SlurmOutputError):
            for attempt in attempts:
                attempt.note_unanswered()
            raise
        else:
            for attempt in attempts:
                attempt.note_submitted(number, time.monotonic())

    async def _poll(self, *, for_stop: bool) -> None:
        asked_at = self._polled_at = time.monotonic()
        jobs = await self._commands.queue(kind="command" if for_stop else "poll")
        by_token = _jobs_by_token(jobs)
        for attempt in self._attempts.values():
            attempt.observe(by_token.get(attempt.token), asked_at)
        forgotten = [attempt for attempt in self._attempts.values() if attempt.needs_accounting]
        if forgotten:
            found = _jobs_by_token(await self._commands.accounting(_job_ids(forgotten)))
            for attempt in forgotten:
                attempt.observe_accounting(found.get(attempt.token))
        strays = [job.job_id for token, job in by_token.items() if self._is_stray(token, job, asked_at)]
        if strays:
            await self._commands.cancel(strays)

    async def _send_stops(self, call: StopCall, attempts: Sequence[SlurmAttempt]) -> None:
        job_ids = _job_ids(attempts)
        try:
            if call in ("TERM", "QUIT"):
                await self._commands.signal(job_ids, call)
            else:
                await self._commands.cancel(job_ids, only_pending=call == "cancel pending")
        except SlurmError:
            self._no_stops_before = time.monotonic() + RETRY_S
            raise
        for attempt in attempts:
            attempt.note_call(call, time.monotonic())
        if call == "cancel pending":
            await self._poll(for_stop=True)  # a job that never started leaves no file that would tell

    def _is_stray(self, token: JobToken | None, job: JobStatus, now: float) -> bool:
        """Return whether a job goes on although its attempt is over, as one that was thought lost."""
        if any(attempt.token == token for attempt in self._attempts.values()):
            return False
        ended = None if token is None else self._ended.get(token)
        phase = explain(job).phase
        is_alive = phase is Phase.PENDING or (job.state == "RUNNING" and "COMPLETING" not in job.flags)
        return ended is not None and now - ended > STRAY_S and is_alive


def _job_ids(attempts: Sequence[SlurmAttempt]) -> list[int]:
    """Return the numbers of the jobs of attempts, which may share one."""
    return list(dict.fromkeys(attempt.job_id for attempt in attempts if attempt.job_id is not None))


def _jobs_by_token(jobs: Sequence[JobStatus]) -> dict[JobToken | None, JobStatus]:
    """Return our jobs by their tokens; of several with one token the living, then the newest."""
    found: dict[JobToken | None, JobStatus] = {}
    for job in sorted(jobs, key=lambda job: (explain(job).phase is not Phase.ENDED, job.submitted or 0.0)):
        if job.token is not None:
            found[job.token] = job
    return found
