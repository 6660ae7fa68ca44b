"""One job as Slurm reports it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .tokens import JobToken


@dataclass(frozen=True)
class JobStatus:
    """A job, free of the differences between Slurm's programs and versions.

    Attributes:
        job_id: Number of the job; Slurm may hand it out again after a crash of the controller.
        state: Base state in capitals, such as RUNNING.
        flags: Further state words, such as COMPLETING.
        reason: Why it waits, or why it ended; Slurm's own word, possibly followed by text.
        nodes: Compressed list of nodes, such as n[1-2]; empty before the start.
        exit_code: Exit code of the batch script; None while it runs or if a signal ended it.
        signal: Number of the signal that ended it, or a code of Slurm's own (53: launch failed, 125: out of memory).
        submitted: Unix time, s.
        started: Unix time, s; None before the start.
        expected_start: Unix time, s, that the scheduler expects for a pending job.
        ended: Unix time, s; None before the end.
        must_end: When its time limit ends, unix time, s; None unless it runs.
        restarts: How often Slurm has started it again.
    """

    job_id: int
    state: str
    name: str = ""
    comment: str = ""
    flags: frozenset[str] = field(default_factory=frozenset)
    reason: str = ""
    nodes: str = ""
    partition: str = ""
    exit_code: int | None = None
    signal: int | None = None
    submitted: float | None = None
    started: float | None = None
    expected_start: float | None = None
    ended: float | None = None
    must_end: float | None = None
    restarts: int = 0

    @property
    def token(self) -> JobToken | None:
        """The attempt that the job carries out; None for a job of somebody else.

        The name alone is enough where a site's job_submit plug-in rewrites comments.
        """
        named = JobToken.parse(self.name)
        return named or JobToken.parse(self.comment)
