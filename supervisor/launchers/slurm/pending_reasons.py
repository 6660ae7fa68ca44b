"""Why a job waits in Slurm's queue, in plain words. Pure.

The reasons are those of Slurm's job_reason_codes, plus those that a loopback cluster of 22.05 showed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .job_status import JobStatus


@dataclass(frozen=True)
class Waiting:
    """Why a job waits.

    Attributes:
        sentence: One plain sentence.
        remedy: What the user can do; empty where waiting is enough.
        is_stuck: Whether waiting alone will never help.
    """

    sentence: str
    remedy: str = ""
    is_stuck: bool = False


_RELEASE = "`scontrol release {job}` lets it go on"
_SMALLER = "ask for less, or for another partition, account or qos"

# The first pattern that fits the whole reason word counts.
_REASONS: tuple[tuple[str, Waiting], ...] = (
    (r"|Cleaning|Prolog", Waiting("Slurm looks at it in a moment")),
    ("Resources", Waiting("waits until enough resources are free")),
    ("Priority", Waiting("other jobs come first")),
    ("Dependency", Waiting("waits for another job")),
    (
        "DependencyNeverSatisfied",
        Waiting("a job that it waits for did not succeed", "restart that run, or stop this one", is_stuck=True),
    ),
    ("BeginTime", Waiting("starts at a later time", "`scontrol update jobid={job} StartTime=now` starts it sooner")),
    ("JobHeldUser", Waiting("is held by its owner", _RELEASE, is_stuck=True)),
    ("JobHeldAdmin", Waiting("is held by an administrator", "ask the administrators of the cluster", is_stuck=True)),
    (
        "JobHoldMaxRequeue",
        Waiting("is held: it was started too often", "ask the administrators of the cluster", is_stuck=True),
    ),
    (
        "launch_failed_requeued_held|RESV_DEL_HOLD|ReservationDeleted",
        Waiting("is held after a failed start", _RELEASE, is_stuck=True),
    ),
    ("JobArrayTaskLimit", Waiting("waits for other jobs of its array")),
    ("PartitionDown|PartitionInactive", Waiting("the partition is out of service", "wait, or name another partition")),
    (
        "PartitionTimeLimit",
        Waiting("asks for more time than the partition allows", "ask for less `time`", is_stuck=True),
    ),
    (
        "PartitionNodeLimit|PartitionConfig|BadConstraints",
        Waiting("asks for more than the partition has", _SMALLER, is_stuck=True),
    ),
    (
        "ReqNodeNotAvail|NodeDown|ReservedForMaintenance|.*Maint.*",
        Waiting("the nodes that it needs are busy, reserved or out of service"),
    ),
    ("Reservation", Waiting("waits for its reservation to begin")),
    ("Licenses", Waiting("waits for a licence")),
    (
        "InvalidAccount|AccountNotAllowed",
        Waiting("the account may not be used here", "correct `account`", is_stuck=True),
    ),
    ("InvalidQOS|QOSNotAllowed|QOSUsageThreshold", Waiting("the qos may not be used", "correct `qos`", is_stuck=True)),
    (
        r"(Assoc|QOS)(Grp|Max)(Jobs|Submit)\w*|Assoc(Max|Grp)Jobs\w*|AssociationJobLimit|QOSJobLimit",
        Waiting("you have as many jobs as you may have; it starts when one of them ends"),
    ),
    (
        r"(Assoc|QOS)Grp\w*|AssociationResourceLimit|QOSResourceLimit|Max\w+Per(Account|User)|(Assoc|QOS)Max\w+PerUser",
        Waiting("your group uses as much as it may; it starts when some of that is free"),
    ),
    (
        r"(Assoc|QOS)(Max|Min)\w*|QOSTimeLimit|AssociationTimeLimit",
        Waiting("asks for more than a job may have", _SMALLER, is_stuck=True),
    ),
    (r"BurstBuffer\w*|Front\w*|Network|Deadline|SystemFailure|NodeConfig|None", Waiting("waits for the cluster")),
)


def explain_pending(job: JobStatus) -> Waiting:
    """Explain why a pending job waits."""
    word = re.split(r"[ ,(:]", job.reason, maxsplit=1)[0]
    for pattern, waiting in _REASONS:
        if re.fullmatch(pattern, word):
            return Waiting(waiting.sentence, waiting.remedy.format(job=job.job_id), waiting.is_stuck)
    return Waiting(f"waits: {job.reason}")
