"""Builder of snapshots from state and observations. Pure, except for a cache of ended runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..gpus.models import Gpu, GpuReading
from ..gpus.slots import Slot, cuda_environment
from ..plan.schema import LOCAL, Plan
from .events import Exit
from .explain import explain_queue, explain_state
from .folder import SessionFolder
from .observation import Observation, ResourceUsage
from .run_states import blockers, run_states
from .snapshot import AllocationView, AttemptView, RunView, Snapshot
from .state import ENDED, Attempt, Run, RunState, SessionState


class SnapshotBuilder:
    """Builder of the snapshots of one session; the view of a run that is not alive is built when that changes."""

    def __init__(self, plan: Plan, folder: SessionFolder) -> None:
        self._plan = plan
        self._folder = folder
        self._takes_slots = any(run.takes_slot for run in plan.runs.values())
        self._final: dict[str, tuple[Run, RunView]] = {}  # of runs that have ended: the run and its view
        self._unstarted: dict[str, RunView] = {}  # of runs that were never started

    def snapshot(
        self,
        state: SessionState,
        observe: Callable[[str], Observation],
        *,
        now: float,
        reading: GpuReading | None,
        engine_pid: int | None,
        problems: Iterable[str] = (),
        states: Mapping[str, RunState] | None = None,
        allocation: AllocationView | None = None,
    ) -> Snapshot:
        """Build a snapshot.

        Args:
            state: State of the session.
            observe: Returns the measurements of a run.
            now: Unix time, s.
            reading: The newest reading of the GPUs, if any.
            engine_pid: None without an engine.
            problems: What keeps the engine from working, shown before the other notes.
            states: The state of each run; by default it is computed.
            allocation: The allocation of Slurm in which the engine runs, if any.
        """
        states = states or run_states(self._plan, state)
        return Snapshot(
            session=self._folder.stamp,
            name=self._plan.session.name,
            state="finished" if state.finished else "running",
            mode=state.mode,
            logs=str(self._folder.logs),
            folder=str(self._folder.path),
            engine_pid=engine_pid,
            taken_at=now,
            started=state.started,
            ended=state.ended,
            notes=(*problems, *state.notes),
            runs={name: self._run_view(name, state, states, observe, reading) for name in self._plan.runs},
            gpus=(*(_with_runs(reading.gpus, state, observe) if reading else ()), *_gpus_of_jobs(state, observe)),
            gpu_error=_gpu_error(reading, engine_pid) if self._takes_slots else None,
            gpu_taken_at=reading.taken_at if reading else None,
            allocation=allocation,
        )

    def _run_view(
        self,
        name: str,
        state: SessionState,
        states: Mapping[str, RunState],
        observe: Callable[[str], Observation],
        reading: GpuReading | None,
    ) -> RunView:
        run = state.runs[name]
        known, view = self._final.get(name, (None, None))
        if known is run and view is not None and view.state is states[name]:
            return view
        view = self._build_run_view(name, state, states, observe(name), reading)
        if states[name] in ENDED:
            self._final[name] = (run, view)
        return view

    def _build_run_view(
        self,
        name: str,
        state: SessionState,
        states: Mapping[str, RunState],
        observation: Observation,
        reading: GpuReading | None,
    ) -> RunView:
        run, plan = state.runs[name], self._plan
        last = run.last
        reason = explain_state(name, plan, state, states)
        if last is None:
            view = self._unstarted.get(name)
            if view is not None and view.state is states[name] is not RunState.BLOCKED and view.reason == reason:
                return view
        is_pending = states[name] is RunState.PENDING
        common: dict[str, Any] = {
            "state": states[name],
            "log": str(self._folder.run_log(name)),
            "gpu_memory_expected_mib": plan.runs[name].gpu_memory_mib,
            "blocked_by": blockers(plan, states, name) if states[name] is RunState.BLOCKED else (),
            "reason": explain_queue(observation, reason) if is_pending else reason,
            "attempts": tuple(_attempt_view(attempt) for attempt in run.attempts),
            "launcher": plan.runs[name].launcher or LOCAL,
            "continuations": run.continuations,
        }
        if last is not None:
            return RunView(**common, **_attempt_fields(last, observation, reading))
        self._unstarted[name] = RunView(**common)
        return self._unstarted[name]


def _gpu_error(reading: GpuReading | None, engine_pid: int | None) -> str | None:
    """Return why the GPUs are unknown; None if they are known."""
    if reading is not None:
        return reading.error
    return "NVML is read only while an engine runs" if engine_pid is None else "NVML has not answered yet"


def _attempt_fields(last: Attempt, observation: Observation, reading: GpuReading | None) -> dict[str, Any]:
    """Return the fields of a view that concern the latest attempt."""
    alive = last.exit is None
    pending = last.is_pending
    ended = last.exit or Exit(ended=0.0)
    usage = observation.usage
    used, on = _gpu_usage(usage, reading) if alive else (None, None)
    return {
        "attempt": last.number,
        "pid": last.pid if alive else None,
        "gpu": _gpu_index(last.slot, reading) if last.slot else None,
        "cuda_visible_devices": cuda_environment(last.slot).get("CUDA_VISIBLE_DEVICES") if last.is_local else None,
        "job_id": last.job_id,
        "node": last.node or observation.node or (last.slot.node if last.slot else "") or None,
        "pending_reason": observation.waits_because if pending else "",
        "expected_start": observation.expected_start if pending else None,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "started": None if not last.is_local and last.pid is None else last.started,
        "ended": last.exit.ended if last.exit else None,
        "log_offset": last.log_offset,
        "progress": dict(observation.progress),
        "eta_s": observation.eta_s if alive and not pending else None,
        "stalled": observation.stalled and alive and not pending,
        "cpu_percent": usage.cpu_percent if usage else None,
        "memory_mib": usage.memory_mib if usage else None,
        "gpu_memory_mib": used,
        "gpu_actual": on,
        "gpu_error": observation.gpus.error if alive and observation.gpus is not None else None,
    }


def _with_runs(gpus: tuple[Gpu, ...], state: SessionState, observe: Callable[[str], Observation]) -> tuple[Gpu, ...]:
    """Return the GPUs, with the name of its run at each process of this session."""
    if not any(gpu.processes for gpu in gpus):
        return gpus
    usages = {name: observe(name).usage for name, run in state.runs.items() if run.alive}
    owners = {pid: name for name, usage in usages.items() if usage is not None for pid in usage.pids}
    return tuple(
        gpu.model_copy(
            update={
                "processes": tuple(p.model_copy(update={"run": owners.get(p.pid, "")}) for p in gpu.processes or ())
            }
        )
        if gpu.processes
        else gpu
        for gpu in gpus
    )


def _gpus_of_jobs(state: SessionState, observe: Callable[[str], Observation]) -> Iterator[Gpu]:
    """Yield the GPUs of all jobs that run, each with its machine, its run, and the time of its reading."""
    jobs = (name for name, run in state.runs.items() if run.alive and run.last is not None and run.last.node)
    for name in jobs:
        seen = observe(name)
        for gpu in seen.gpus.gpus if seen.gpus is not None else ():
            yield gpu.model_copy(update={"node": seen.node, "run": name, "read_at": seen.gpus and seen.gpus.taken_at})


def _gpu_index(slot: Slot, reading: GpuReading | None) -> int | None:
    """Return the present index of a slot's GPU: a driver that was reloaded may count in another order."""
    known = {gpu.uuid: gpu.index for gpu in reading.gpus} if reading else {}
    return known.get(slot.gpu_uuid or "", slot.gpu_index) if slot.gpu_uuid else slot.gpu_index


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
        interrupted=ended.interrupted if ended else False,
        job_id=attempt.job_id,
        node=attempt.node,
    )


def _gpu_usage(usage: ResourceUsage | None, reading: GpuReading | None) -> tuple[int | None, tuple[int, ...] | None]:
    """Return the memory of a run's processes on all GPUs (MiB) and their indices; None if NVML lists none of them."""
    if usage is None or reading is None:
        return None, None
    found = [(gpu.index, p.memory_mib) for gpu in reading.gpus for p in gpu.processes or () if p.pid in usage.pids]
    if not found:
        return None, None
    memories = [memory for _, memory in found if memory is not None]
    return sum(memories) if memories else None, tuple(sorted({index for index, _ in found}))
