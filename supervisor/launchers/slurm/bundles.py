"""Bundles: several attempts of equal settings in one job. Pure.

Settings describe one run. A job of n runs asks for n times the generic resources, memory and tasks, on one node. Its
batch process starts one shim for each run, see bundle_runner.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from .batch_script import JobRequest
from .settings import SlurmSettings

_MEMORY = re.compile(r"(\d+)(.*)", re.DOTALL)
_COUNT = re.compile(r"(.*[:=])(\d+)([kKmMgGtTpP]?)")
_WHOLE_GPU_ONLY = re.compile(r"(?:gres[:/])?(mps|shard)\b")  # parts of one GPU, which no list of GPUs can divide
# Options of sbatch that ask for a job's resources, not for those of a task, core or GPU.
_PER_JOB = ("--cpus-per-task", "--gpus", "--gpus-per-node", "--gpus-per-socket", "--gres", "--mem", "-G", "-c")


class NoBundle(ValueError):
    """Runs with these settings cannot share a job; the message names the setting and the remedy."""


def take_bundle(waiting: Sequence[JobRequest]) -> list[JobRequest]:
    """Return the requests to submit next: the first, with those that are like it, as many as its bundle takes."""
    first = waiting[0]
    alike = (request for request in waiting if _is_alike(first, request))
    return list(islice(alike, first.settings.bundle or 1))


def bundled(requests: Sequence[JobRequest]) -> JobRequest:
    """Return one job for the attempts of all requests, which differ in their attempts alone.

    Raises:
        NoBundle: The settings cannot be multiplied.
    """
    first, *others = requests
    if not others:
        return first
    settings = multiplied(first.settings, len(requests), takes_gpu=first.takes_gpu)
    return replace(first, settings=settings, others=tuple(request.folder for request in others))


def multiplied(settings: SlurmSettings, runs: int, *, takes_gpu: bool) -> SlurmSettings:
    """Return the settings of a job of several runs; cores are asked for by task, and one run is one task.

    Args:
        settings: Those of one run.
        runs: How many runs share the job.
        takes_gpu: Whether a run uses one GPU where the settings name no `gres`.

    Raises:
        NoBundle: A setting cannot be multiplied.
    """
    if runs == 1:
        return settings
    for option in settings.extra:
        name = option.partition("=")[0]
        if name in _PER_JOB or (not option.startswith("--") and option[:2] in _PER_JOB):
            raise NoBundle(f"extra {option}: a bundle cannot multiply it; use `gres`, `cpus` or `mem` instead")
    gres = settings.gres or ("gpu:1" if takes_gpu else None)
    more = {
        "gres": gres if gres in (None, "none") else ",".join(_times(one, runs) for one in gres.split(",")),
        "mem": None if settings.mem is None else _memory_times(settings.mem, runs),
    }
    return settings.model_copy(update=more)


def _times(gres: str, runs: int) -> str:
    """Return one generic resource `runs` times: gpu:a100 is one, gpu:2 are two, and tmp:10G are 10 × 2³⁰."""
    if _WHOLE_GPU_ONLY.match(gres):
        raise NoBundle(f"gres {gres}: a bundle gives each run whole GPUs; leave out `bundle`, or ask for gpu:1")
    match = _COUNT.fullmatch(gres)
    return f"{gres}:{runs}" if match is None else f"{match[1]}{int(match[2]) * runs}{match[3]}"


def _memory_times(memory: str, runs: int) -> str:
    match = _MEMORY.fullmatch(memory)
    assert match is not None  # settings has checked it
    return f"{int(match[1]) * runs}{match[2]}"


def _is_alike(first: JobRequest, other: JobRequest) -> bool:
    return replace(other, token=first.token, folder=first.folder) == first
