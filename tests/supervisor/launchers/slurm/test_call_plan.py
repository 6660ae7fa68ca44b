"""Which call comes next, and how many calls a session of 500 runs makes; a fake clock, no Slurm."""

from __future__ import annotations

from dataclasses import dataclass, field

from pmssm.supervisor.launchers.slurm.call_budget import CALLS, POLL_S, WINDOW_S, CallBudget
from pmssm.supervisor.launchers.slurm.call_plan import POLL, POLL_FOR_STOP, STOP, SUBMIT, Demand, Pace, next_call

TICK_S = 1.0
RUN_S = 600.0
MAX_JOBS = 64


@dataclass
class Campaign:
    """A session of runs that take ten minutes each; the engine's tick is the only source of calls."""

    unsubmitted: int
    now: float = 1000.0
    budget: CallBudget = field(default_factory=CallBudget)
    polled_at: float | None = None
    calls: list[tuple[float, str]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def tick(self, *, has_stops: bool = False) -> None:
        self.now += TICK_S
        self.ends = [end for end in self.ends if end > self.now]
        demand = Demand(
            has_stops=has_stops,
            has_jobs=bool(self.ends),
            has_waiting=bool(self.ends),
            has_unsubmitted=self.unsubmitted > 0 and len(self.ends) < MAX_JOBS,
        )
        call = next_call(demand, self.budget, Pace(), self.now, self.polled_at)
        if call is None:
            return
        self.calls.append((self.now, call.work))
        self.budget.begin(self.now, call.kind)
        self.budget.end(self.now, took_s=0.05, answered=True)
        if call.work == "poll":
            self.polled_at = self.now
        if call.work == "submit":
            self.unsubmitted -= 1
            self.ends.append(self.now + RUN_S)

    def most_in_a_minute(self) -> int:
        times = [at for at, _ in self.calls]
        return max(sum(at <= other < at + WINDOW_S for other in times) for at in times)


def test_500_runs_cost_at_most_12_calls_in_any_minute_and_all_are_submitted() -> None:
    campaign = Campaign(unsubmitted=500)
    while campaign.unsubmitted or campaign.ends:
        campaign.tick(has_stops=int(campaign.now) % 30 == 0)
        assert campaign.now < 1000.0 + 3 * 3600.0, "the submissions do not end"
    assert campaign.most_in_a_minute() <= CALLS
    assert sum(work == "submit" for _, work in campaign.calls) == 500


def test_nothing_is_asked_once_all_jobs_have_ended() -> None:
    campaign = Campaign(unsubmitted=3)
    while campaign.unsubmitted or campaign.ends:
        campaign.tick()
    before = len(campaign.calls)
    for _ in range(600):
        campaign.tick()
    assert len(campaign.calls) == before


def test_running_jobs_cost_two_calls_a_minute() -> None:
    budget, polled_at, polls = CallBudget(), None, 0
    for second in range(600):
        now = 1000.0 + second
        if next_call(Demand(has_jobs=True), budget, Pace(), now, polled_at) is POLL:
            budget.begin(now, "poll")
            budget.end(now, took_s=0.05, answered=True)
            polled_at, polls = now, polls + 1
    assert polls == 20


def test_a_stop_comes_before_everything_else() -> None:
    everything = Demand(has_stops=True, has_urgent=True, has_jobs=True, has_unsubmitted=True)
    assert next_call(everything, CallBudget(), Pace(), 1000.0, None) is STOP


def test_a_stop_of_a_job_with_an_old_number_asks_first_and_not_too_often() -> None:
    demand = Demand(has_unconfirmed_stops=True, has_jobs=True)
    assert next_call(demand, CallBudget(), Pace(), 1000.0, 1000.0 - POLL_S) is POLL_FOR_STOP
    assert next_call(demand, CallBudget(), Pace(), 1000.0, 999.0) is None


def test_a_stop_does_not_wait_for_the_end_of_a_pause() -> None:
    budget = CallBudget()
    budget.begin(1000.0, "poll")
    budget.end(1009.0, took_s=9.0, answered=False)
    demand = Demand(has_unconfirmed_stops=True, has_jobs=True, has_unsubmitted=True)
    assert next_call(demand, budget, Pace(), 1010.0, 1000.0) is POLL_FOR_STOP
    assert next_call(Demand(has_jobs=True, has_unsubmitted=True), budget, Pace(), 1010.0, 1000.0) is None


def test_submissions_go_on_between_questions() -> None:
    demand = Demand(has_jobs=True, has_waiting=True, has_unsubmitted=True)
    assert next_call(demand, CallBudget(), Pace(), 1020.0, 1000.0) is SUBMIT
