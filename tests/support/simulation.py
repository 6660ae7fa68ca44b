"""A simulated session for the scheduler: it executes what `decide` returns, and nothing else.

Every event goes through a journal of events; an engine's death is a replay of it, as in the real engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pmssm.supervisor.engine.command_handler import handle_command
from pmssm.supervisor.engine.run_index import RunIndex
from pmssm.supervisor.engine.scheduler import (
    Action,
    Continue,
    FinishSession,
    RestartStalled,
    Retry,
    SendSignal,
    StartAttempt,
    Withdraw,
    decide,
)
from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.ipc.messages import Command, Reply
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptSubmitted,
    AttemptVoided,
    ContinuationScheduled,
    EngineStarted,
    Event,
    Exit,
    RestartRequested,
    RetryScheduled,
    SessionFinished,
    SlotsChosen,
)
from pmssm.supervisor.session.native_dependencies import AttemptNumbers
from pmssm.supervisor.session.reducer import initial_state, reduce, replay
from pmssm.supervisor.session.run_states import run_states
from pmssm.supervisor.session.state import RunState, SessionState

Outcome = Literal["succeeds", "fails", "crashes", "is_lost", "cannot_start", "is_interrupted"]


def plan_of(**runs: tuple[Sequence[str], object]) -> Plan:
    """Return a plan from `name=(after, slot)`."""
    return Plan(
        runs={
            name: RunPlan.model_validate({"command": ["true"], "after": after, "slot": slot, "fresh_args": ["--fresh"]})
            for name, (after, slot) in runs.items()
        }
    )


PMSSM = plan_of(
    prepare=((), "none"),
    transformer=(("prepare",), 0),
    transformer_tabular=(("prepare",), 1),
    mlp=(("transformer", "transformer_tabular"), 1),
)


def gpu_slots(count: int) -> tuple[Slot, ...]:
    return tuple(Slot(index=n, gpu_index=n + 1, gpu_uuid=f"GPU-{n + 1}", name=f"GPU {n + 1}") for n in range(count))


CPU = (Slot(index=0, name="CPU"),)


@dataclass
class Simulation:
    """A session and the processes that it has started; time is a counter."""

    plan: Plan
    slots: tuple[Slot, ...] | None
    events: list[Event] = field(default_factory=list)
    living: dict[str, int] = field(default_factory=dict)  # run → attempt that really lives
    signalled: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(
        default_factory=list
    )  # every process ever made: "run@slot", "+fresh" if from the beginning
    in_queue: dict[str, AttemptNumbers] = field(default_factory=dict)  # jobs of Slurm that wait for others
    withdrawn: set[str] = field(default_factory=set)
    stalled: set[str] = field(default_factory=set)
    stall_restarts: int = 0  # allowed for each run
    max_jobs: int = 64
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.state: SessionState = initial_state(self.plan)
        self.index = RunIndex(self.plan, self.state)
        self.record(EngineStarted(at=self.now(), pid=1))
        if self.slots is not None:
            self.choose_slots(self.slots)

    def now(self) -> float:
        self.clock += 1.0
        return self.clock

    def record(self, event: Event) -> None:
        self.events.append(event)
        self.state = reduce(self.state, event)
        assert replay(self.plan, self.events) == self.state
        run = getattr(event, "run", None)
        if run is not None:
            self.index.update(self.state, run)
        anew = RunIndex(self.plan, self.state)
        assert self.index.states == anew.states == self.states()
        assert (self.index.queued, self.index.alive()) == (anew.queued, anew.alive())
        assert (self.index.wanting, self.index.retriable) == (anew.wanting, anew.retriable)
        assert (self.index.continued, self.index.following) == (anew.continued, anew.following)

    def choose_slots(self, slots: tuple[Slot, ...]) -> None:
        self.record(SlotsChosen(at=self.now(), slots=slots, mode="parallel" if len(slots) > 1 else "sequential"))

    def states(self) -> dict[str, RunState]:
        return run_states(self.plan, self.state)

    # Actions of an engine

    def settle(self) -> None:
        """Execute all actions until nothing more is due."""
        for _ in range(10 * len(self.plan.runs) + 10):
            stalled = [run for run in self.stalled if run in self.living]
            decided = decide(
                self.plan,
                self.state,
                self.clock,
                stalled=stalled,
                stall_restarts=self.stall_restarts,
                max_jobs=self.max_jobs,
                index=self.index,
            )
            actions = [action for action in decided if not self._is_old(action)]
            if not actions:
                return
            for action in actions:
                self.execute(action)
        raise AssertionError("the scheduler never comes to rest")

    def _is_old(self, action: Action) -> bool:
        if isinstance(action, Withdraw):
            return action.run in self.withdrawn
        return isinstance(action, SendSignal) and self.signalled.get(action.run) in (action.how, "kill")

    def execute(self, action: Action) -> None:
        match action:
            case StartAttempt():
                self.note_start(action)
                self.spawn(action)
            case SendSignal():
                assert action.run in self.living, f"signal for {action.run}, which is not running"
                self.signalled[action.run] = action.how
            case Withdraw():
                assert action.run in self.in_queue, f"{action.run} withdrawn, which runs"
                self.withdrawn.add(action.run)
            case Retry():
                self.record(RetryScheduled(at=self.now(), run=action.run, delay_s=action.delay_s))
            case Continue():
                self.record(ContinuationScheduled(at=self.now(), run=action.run, delay_s=action.delay_s))
            case RestartStalled():
                self.record(RestartRequested(at=self.now(), run=action.run, fresh=False, cause="stall"))
            case FinishSession():
                assert not self.living, f"finished while {self.living} live"
                self.record(SessionFinished(at=self.now()))

    def note_start(self, action: StartAttempt) -> None:
        """Record the decision, before the process exists."""
        self.check_start(action)
        number = len(self.state.runs[action.run].attempts) + 1
        self.record(
            AttemptStarting(
                at=self.now(),
                run=action.run,
                attempt=number,
                slot=action.slot,
                fresh=action.fresh,
                log_offset=0,
                launcher=self.plan.runs[action.run].launcher or "local",
                follows=action.follows,
            )
        )

    def spawn(self, action: StartAttempt) -> None:
        last = self.state.runs[action.run].last
        assert last is not None
        self.living[action.run] = last.number
        self.signalled.pop(action.run, None)
        self.withdrawn.discard(action.run)
        self.stalled.discard(action.run)
        where = action.slot.name if action.slot else "none"
        self.started.append(f"{action.run}@{where}" + ("+fresh" if action.fresh else ""))
        if not last.is_local:
            job_id = f"{action.run}{last.number}"
            self.record(AttemptSubmitted(at=self.now(), run=action.run, attempt=last.number, job_id=job_id))
        if action.follows:
            self.in_queue[action.run] = action.follows
        else:
            self.note_running(action.run)

    def note_running(self, run: str) -> None:
        """Record that the command of an attempt runs."""
        number = self.living[run]
        self.record(AttemptStarted(at=self.now(), run=run, attempt=number, pid=4242, started=self.clock))

    def advance_queue(self) -> None:
        """Do what Slurm does with jobs that wait for others: start them, or drop them."""
        for run, follows in list(self.in_queue.items()):
            others = [self.state.runs[name].attempts[number - 1] for name, number in follows]
            if run in self.signalled:
                continue
            if all(other.has_exited_cleanly for other in others) and run not in self.withdrawn:
                del self.in_queue[run]
                self.note_running(run)
            elif run in self.withdrawn or any(other.exit and not other.has_exited_cleanly for other in others):
                del self.in_queue[run]
                self.record(AttemptVoided(at=self.now(), run=run, attempt=self.living.pop(run), reason="no success"))

    def check_start(self, action: StartAttempt) -> None:
        """Check what must hold whenever a run is started."""
        run, plan = self.state.runs[action.run], self.plan.runs[action.run]
        if run.retry is not None:
            assert self.clock >= run.retry.at + run.retry.delay_s, f"{action.run} retried too early"
        assert action.run not in self.living, f"{action.run} started while its attempt {run.last} lives"
        for dependency, number in action.follows:
            job = self.state.runs[dependency].attempts[number - 1]
            assert dependency in self.living and job.job_id is not None, f"{action.run} follows no job"
        for dependency in set(plan.after).difference(name for name, _ in action.follows):
            last = self.state.runs[dependency].last
            ended = last.exit if last else None
            assert ended is not None and ended.exit_code == 0, f"{action.run} started before {dependency} succeeded"
        if plan.launcher == "slurm":
            jobs = [name for name in self.living if self.plan.runs[name].launcher == "slurm" and plan.bundle == 1]
            assert len(jobs) < self.max_jobs, f"{action.run} submitted beside {jobs}"
        if not plan.takes_slot:
            assert action.slot is None
            return
        assert action.slot is not None
        assert self.state.slots is not None and action.slot in self.state.slots
        attempts = {name: self.state.runs[name].last for name in self.living}
        taken = {attempt.slot.index for attempt in attempts.values() if attempt and attempt.slot}
        shared = action.slot.shared_mib is not None
        assert shared or action.slot.index not in taken, f"{action.run} started on {action.slot.name}, which is taken"

    def die_and_recover(self, *, before_spawn: bool = False) -> None:
        """Kill the engine, if possible between a decision to start and the start, and start another one."""
        due = decide(self.plan, self.state, now=self.clock, max_jobs=self.max_jobs)
        starts = [action for action in due if isinstance(action, StartAttempt)]
        if before_spawn and starts:
            self.note_start(starts[0])
        self.state = replay(self.plan, self.events)
        self.signalled.clear()
        self.withdrawn.clear()
        self.record(EngineStarted(at=self.now(), pid=2))
        for name, run in list(self.state.runs.items()):
            if run.alive and name not in self.living:
                assert run.last is not None
                self.record(AttemptVoided(at=self.now(), run=name, attempt=run.last.number))

    # Events from outside

    def end(self, run: str, outcome: Outcome = "succeeds") -> None:
        """End the process of `run`, with that outcome or as requested."""
        attempt = self.living.pop(run)
        assert self.in_queue.pop(run, None) is None or run in self.signalled, f"{run} ends before it starts"
        requested = self.signalled.pop(run, None)
        exits = {
            "succeeds": Exit(ended=self.now(), exit_code=0),
            "fails": Exit(ended=self.now(), exit_code=1),
            "crashes": Exit(ended=self.now(), signal=11),
            "is_lost": Exit(ended=self.now()),
            "is_interrupted": Exit(ended=self.now(), exit_code=143, stop="stop", interrupted=True, error="time limit"),
            "cannot_start": Exit(ended=self.now(), exit_code=127, error="cannot start it"),
        }
        stopped = Exit(ended=self.now(), exit_code=143) if requested == "stop" else Exit(ended=self.now(), signal=9)
        self.record(
            AttemptEnded(at=self.now(), run=run, attempt=attempt, exit=stopped if requested else exits[outcome])
        )

    def send(self, command: Command) -> Reply:
        """Send a client's command."""
        result = handle_command(self.plan, self.state, command, self.now())
        assert result.reply.message.strip()
        assert result.reply.message.isprintable()
        assert result.reply.ok or not result.events, "a rejected command must change nothing"
        for event in result.events:
            self.record(event)
        return result.reply

    def run_to_the_end(self, **outcomes: Outcome) -> None:
        """End everything that runs, again and again, until the session is at rest."""
        for _ in range(60 * len(self.plan.runs) + 20):
            self.settle()
            if not self.living:
                due = [run.retry.at + run.retry.delay_s for run in self.state.runs.values() if run.retry is not None]
                if self.state.finished or not due:
                    return
                self.clock = max(self.clock, min(due))
                continue
            first = next(iter(self.living))
            self.end(first, outcomes.get(first, "succeeds"))
        raise AssertionError("the session never comes to rest")
