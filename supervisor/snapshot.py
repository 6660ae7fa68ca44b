"""What a client sees of a session: one immutable picture, built from the state. Pure."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from .gpus import Gpu, GpuReading
from .plan import Plan
from .slots import environment_of
from .state import Attempt, Exit, Mode, RunState, SessionState, blockers

if TYPE_CHECKING:
    from .usage import Usage  # it imports psutil, which clients have no use for


class _Picture(BaseModel):
    model_config = ConfigDict(frozen=True)


class AttemptView(_Picture):
    """One past or present attempt of a run. Times are unix seconds."""

    number: int
    started: float
    ended: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    gpu: int | None = None
    fresh: bool = False


class RunView(_Picture):
    """One run. Times are unix seconds, memory MiB; None where not known or not applicable."""

    state: RunState
    attempt: int = 0  # number of the latest attempt; 0 before the first
    pid: int | None = None  # of the command itself; None unless alive
    gpu: int | None = None  # NVML index
    cuda_visible_devices: str | None = None  # as given to the latest attempt
    exit_code: int | None = None
    signal: int | None = None
    started: float | None = None
    ended: float | None = None
    log: str = ""  # absolute path
    log_offset: int = 0  # where the latest attempt begins in the log
    progress: dict[str, int | float] = {}
    eta_s: float | None = None
    blocked_by: tuple[str, ...] = ()
    reason: str = ""  # in words: what it waits for, why it is blocked, how it ended
    cpu_percent: float | None = None  # of one core, whole process tree
    memory_mib: float | None = None  # resident, whole process tree
    gpu_memory_mib: int | None = None  # used on the GPU by the run's processes, from NVML
    gpu_memory_expected_mib: int | None = None
    gpu_actual: tuple[int, ...] | None = None  # GPUs on which NVML sees the run's processes; None: not known
    stalled: bool = False
    attempts: tuple[AttemptView, ...] = ()


class Snapshot(_Picture):
    """The whole session at one moment."""

    session: str  # the stamp
    name: str
    state: str  # running, finished
    mode: Mode | None  # None until the slots are chosen
    logs: str  # the logs folder, absolute
    folder: str  # the session folder, absolute
    engine_pid: int | None  # None: read from the files, no engine lives
    taken_at: float
    started: float | None = None
    ended: float | None = None
    notes: tuple[str, ...] = ()
    runs: dict[str, RunView]
    gpus: tuple[Gpu, ...] = ()
    gpu_error: str | None = None  # why there are no GPU figures
    gpu_taken_at: float | None = None  # when the figures were read; old ones are stale


@dataclass(frozen=True)
class Observation:
    """What is measured of one run, beside what the journal knows."""

    progress: Mapping[str, int | float] = field(default_factory=dict)
    eta_s: float | None = None
    stalled: bool = False
    usage: Usage | None = None


def run_view(
    name: str,
    plan: Plan,
    state: SessionState,
    states: Mapping[str, RunState],
    *,
    log: Path,
    seen: Observation,
    reading: GpuReading | None,
) -> RunView:
    """The picture of one run."""
    run = state.runs[name]
    last = run.last
    common: dict[str, Any] = {
        "state": states[name],
        "log": str(log),
        "gpu_memory_expected_mib": plan.runs[name].gpu_memory_mib,
        "blocked_by": blockers(plan, states, name) if states[name] is RunState.BLOCKED else (),
        "reason": reason(name, plan, state, states),
        "attempts": tuple(_attempt_view(attempt) for attempt in run.attempts),
    }
    if last is None:
        return RunView(**common)
    ended = last.exit or Exit(ended=0.0)
    alive = last.exit is None
    used, on = _on_gpus(seen.usage, reading) if alive else (None, None)
    return RunView(
        **common,
        attempt=last.number,
        pid=last.pid if alive else None,
        gpu=last.slot.gpu_index if last.slot else None,
        cuda_visible_devices=environment_of(last.slot)["CUDA_VISIBLE_DEVICES"],
        exit_code=ended.exit_code,
        signal=ended.signal,
        started=last.started,
        ended=last.exit.ended if last.exit else None,
        log_offset=last.log_offset,
        progress=dict(seen.progress),
        eta_s=seen.eta_s if alive else None,
        stalled=seen.stalled and alive,
        cpu_percent=seen.usage.cpu_percent if seen.usage else None,
        memory_mib=seen.usage.memory_mib if seen.usage else None,
        gpu_memory_mib=used,
        gpu_actual=on,
    )


def _attempt_view(attempt: Attempt) -> AttemptView:
    ended = attempt.exit
    return AttemptView(
        number=attempt.number,
        started=attempt.started,
        ended=ended.ended if ended else None,
        exit_code=ended.exit_code if ended else None,
        signal=ended.signal if ended else None,
        error=ended.error if ended else None,
        gpu=attempt.slot.gpu_index if attempt.slot else None,
        fresh=attempt.fresh,
    )


def _on_gpus(usage: Usage | None, reading: GpuReading | None) -> tuple[int | None, tuple[int, ...] | None]:
    """MiB that the run's processes hold on all GPUs, and on which; (None, None) where NVML shows none of them."""
    if usage is None or reading is None:
        return None, None
    mine = [(gpu.index, p.memory_mib) for gpu in reading.gpus for p in gpu.processes or () if p.pid in usage.pids]
    if not mine:
        return None, None
    memories = [memory for _, memory in mine if memory is not None]
    return sum(memories) if memories else None, tuple(sorted({index for index, _ in mine}))


def reason(name: str, plan: Plan, state: SessionState, states: Mapping[str, RunState]) -> str:
    """Why the run is in its state, in words; "" where the state says it all."""
    run = state.runs[name]
    match states[name]:
        case RunState.WAITING:
            left = [before for before in plan.runs[name].after if states[before] is not RunState.SUCCEEDED]
            return f"waits for {', '.join(left)}"
        case RunState.BLOCKED:
            roots = blockers(plan, states, name)
            return "blocked by " + ", ".join(f"{root} ({_how_ended(root, state, states)})" for root in roots)
        case RunState.QUEUED:
            if run.retry is not None:
                due = time.strftime("%H:%M:%S", time.localtime(run.retry.at + run.retry.delay_s))
                return f"{_how_ended(name, state, states)}; retry {run.retries} of {plan.runs[name].retries} at {due}"
            takes_slot = plan.runs[name].takes_slot
            return "waits for a free slot" if state.slots else "waits for NVML" if takes_slot else ""
        case RunState.STOPPING:
            return "stopping; starts again afterwards" if run.pending else "stopping"
        case RunState.FAILED | RunState.LOST | RunState.STOPPED:
            return _how_ended(name, state, states)
        case _:
            return ""


def _how_ended(name: str, state: SessionState, states: Mapping[str, RunState]) -> str:
    last = state.runs[name].last
    if last is None or last.exit is None:
        return "stopped before it started"
    if last.exit.error is not None:
        return last.exit.error
    if last.exit.exit_code is not None:
        ending = f"exit code {last.exit.exit_code}"
    elif last.exit.signal is not None:
        ending = signal_name(last.exit.signal)
    else:
        return "its shim was killed, so nobody knows how it ended"
    return f"stopped, {ending}" if states[name] is RunState.STOPPED else ending


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `signal 77` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
