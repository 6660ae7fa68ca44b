"""What sbatch's error output says about a refused submission. Pure."""

from __future__ import annotations

import re

from .errors import RefusalKind, SubmissionRefused

# In order of precedence. The texts are those of Slurm's slurm_strerror(), 20.11 to 25.05; a site's job_submit plug-in
# may print lines of its own before them.
_PATTERNS: tuple[tuple[RefusalKind, str], ...] = (
    (
        RefusalKind.LIMIT,
        r"(Assoc|QOS|Group|Grp)\w*(MaxJobs|MaxSubmit|GrpJobs|GrpSubmit)\w*|MaxSubmitJob|MaxJobsPer|"
        r"job count limit|too many jobs|reached (its|the) maximum (number of )?jobs|MaxJobCount|"
        r"Slurm temporarily unable to accept job",
    ),
    (RefusalKind.DEPENDENCY, r"job dependency"),
    (RefusalKind.BUSY, r"Required partition not available|temporarily unavailable|System submissions disabled"),
    (RefusalKind.ACCOUNT, r"Invalid account|account/partition combination"),
    (RefusalKind.QOS, r"Invalid qos|QOS usage threshold"),
    (
        RefusalKind.TIME,
        r"Invalid --time|time limit is invalid|time-min|(Assoc|QOS|Partition)\w*(MaxWall|WallDuration|TimeLimit)\w*",
    ),
    (
        RefusalKind.POLICY,
        r"accounting/QOS policy|(Assoc|QOS)(Max|Grp|Min)\w+|permission denied|not permitted|Access/permission|"
        r"User's group not permitted|PartitionConfig",
    ),
    (RefusalKind.PARTITION, r"invalid partition|No partition specified"),
    (RefusalKind.GRES, r"\(gres\)|Invalid GRES|Invalid Trackable RESource|Invalid gpu|--gpus|--gres"),
    (RefusalKind.MEMORY, r"Memory (specification|required)|Invalid --mem"),
    (RefusalKind.CPUS, r"CPU count|CPU specification|cpus-per-task|Task count"),
    (RefusalKind.CONSTRAINT, r"feature specification|Invalid constraint"),
    (RefusalKind.RESOURCES, r"node configuration is not available|partition configuration not available|Node count"),
    (RefusalKind.OPTION, r"unrecognized option|invalid option|requires an argument|Invalid --\w+|ambiguous"),
    (RefusalKind.SCRIPT, r"Unable to open file|This does not look like a batch script|batch script|bad interpreter"),
)

_REMEDIES = {
    RefusalKind.PARTITION: "name one that `sinfo` lists, in `partition`",
    RefusalKind.ACCOUNT: "set `account` to one of yours; `sacctmgr show associations user=$USER` lists them",
    RefusalKind.QOS: "set `qos` to one that your account may use, or leave it out",
    RefusalKind.GRES: 'correct `gres`, as in "gpu:1"; `sinfo -o "%P %G"` lists what the nodes have',
    RefusalKind.TIME: "ask for less `time`, written as 24:00:00 or 1-00:00:00",
    RefusalKind.MEMORY: 'ask for less `mem`, written as "16G"',
    RefusalKind.CPUS: "ask for fewer `cpus`",
    RefusalKind.CONSTRAINT: 'correct `constraint`; `sinfo -o "%P %f"` lists the features of the nodes',
    RefusalKind.RESOURCES: "no node has that much; ask for less `gres`, `cpus` or `mem`, or name another `partition`",
    RefusalKind.LIMIT: "waits until one of your jobs has ended: Slurm accepts no more now",
    RefusalKind.POLICY: "ask for less, or for another `partition`, `account` or `qos`",
    RefusalKind.BUSY: "is submitted again later: Slurm does not accept it now",
    RefusalKind.DEPENDENCY: "is submitted again when the end of the job before it is known",
    RefusalKind.OPTION: "this version of Slurm does not know it; correct `extra`",
    RefusalKind.SCRIPT: "the job's script must be on a disk that this machine can read",
    RefusalKind.OTHER: "Slurm gives no more detail",
}


def refusal_kind(stderr: str) -> RefusalKind:
    """Return which part of a submission sbatch complains of."""
    for kind, pattern in _PATTERNS:
        if re.search(pattern, stderr, re.IGNORECASE):
            return kind
    return RefusalKind.OTHER


def refusal(stderr: str) -> SubmissionRefused:
    """Build the error for a refused submission from sbatch's error output."""
    kind = refusal_kind(stderr)
    lines = [
        re.sub(r"^(sbatch: (error: |fatal: )?|allocation failure: )", "", line).strip() for line in stderr.splitlines()
    ]
    said = list(dict.fromkeys(line for line in lines if line and not line.startswith("Try "))) or ["no reason given"]
    refused = SubmissionRefused(kind, f"Slurm refused the job: {'; '.join(said)}; {_REMEDIES[kind]}")
    return SubmissionRefused(kind, f"{_REMEDIES[kind]} ({said[0]})") if refused.passes else refused
