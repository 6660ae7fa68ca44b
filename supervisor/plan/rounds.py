"""Expansion of runs with `each_round` into one run for each round. Pure.

Matrices are expanded before: a run of this module is one line of a chain, such as `train-seed1`. Its rounds are
called `train-seed1-r01`, `train-seed1-r02` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..errors import UserError
from .errors import did_you_mean
from .placeholders import PLACEHOLDER
from .references import (
    PREVIOUS,
    ROUND,
    ROUNDS,
    SUFFIXES,
    Reference,
    map_texts,
    references,
    replace_references,
    split_dependency,
    texts_of,
)
from .schema import Plan, RunPlan

MAX_RUNS = 10_000
MAX_NAME = 64


class RoundsError(UserError):
    """Rounds that cannot be expanded; the message names the field and the remedy."""


def check_rounds(plan: Plan) -> None:
    """Check the use of rounds in a plan as it was written, with its matrices.

    Raises:
        RoundsError: `rounds` without a run for them or the reverse, or a reference to a run without rounds.
    """
    names = [name for name, run in plan.runs.items() if run.each_round]
    if names and plan.session.rounds is None:
        raise RoundsError(f"runs.{names[0]}.each_round: needs the number of rounds; add rounds = 10 to [session]")
    if plan.session.rounds is not None and not names and all(run.round is None for run in plan.runs.values()):
        raise RoundsError("session.rounds: no run has each_round = true, so there would be no rounds; add it to the "
                          "runs of a round, or remove rounds")  # fmt: skip
    for name, run in plan.runs.items():
        _check_run(name, run, plan)


def _check_run(name: str, run: RunPlan, plan: Plan) -> None:
    if run.stop_when and not run.each_round and run.round is None:
        raise RoundsError(f"runs.{name}.stop_when: needs each_round = true, because it ends a chain of rounds")
    if run.keep and not run.each_round and run.round is None:
        raise RoundsError(f"runs.{name}.keep: needs each_round = true, because it is about rounds")
    if both := set(run.stop_when) & set(run.retry_exit_codes):
        raise RoundsError(f"runs.{name}.stop_when: {min(both)} is also in retry_exit_codes; remove one of them")
    for field in ("after", "after_end"):
        for text in getattr(run, field):
            if "@" in text:
                _check_reference(f"runs.{name}.{field}", f"'{text}'", split_dependency(text), run, plan)
                if not text.endswith(f"@{PREVIOUS}"):
                    raise RoundsError(f"runs.{name}.{field}: '{text}': only '@{PREVIOUS}' is possible here")
    if not run.each_round:  # its arguments are checked when they are filled; in a session's plan they have been
        if run.later_args:
            raise RoundsError(f"runs.{name}.later_args: needs each_round = true, because it is for later rounds")
        return
    for reference in references(texts_of(run)):
        _check_reference(f"runs.{name}", f"'{reference}'", reference, run, plan)
    early = (*run.command, *run.fresh_args, *run.env.values(), run.cwd or "")
    for reference in references(early):
        if reference.when == PREVIOUS:
            raise RoundsError(f"runs.{name}: '{reference}': the first round has no round before it; put the arguments "
                              "that use it into later_args")  # fmt: skip


def _check_reference(field: str, shown: str, reference: Reference, run: RunPlan, plan: Plan) -> None:
    if not run.each_round:
        raise RoundsError(f"{field}: {shown} needs each_round = true in this run")
    if reference.when not in SUFFIXES:
        raise RoundsError(f"{field}: {shown}: nothing is called '@{reference.when}'"
                          f"{did_you_mean(reference.when, SUFFIXES)}")  # fmt: skip
    if reference.run and reference.run not in plan.runs:
        raise RoundsError(f"{field}: {shown}: no run named '{reference.run}'{did_you_mean(reference.run, plan.runs)}")
    if reference.run and not plan.runs[reference.run].each_round:
        raise RoundsError(f"{field}: {shown}: '{reference.run}' runs once; give it each_round = true, or leave out "
                          f"'@{reference.when}'")  # fmt: skip


def expand_rounds(plan: Plan) -> Plan:
    """Replace the runs with `each_round` by one run for each round.

    They stand where the first of them stood, round by round. A run without `each_round` that waits for one of them
    waits for all its rounds.

    Args:
        plan: Plan that `check_rounds` accepted, without matrices.

    Raises:
        RoundsError: Names clash or are too long, or there are too many runs.
    """
    lines = {name: run for name, run in plan.runs.items() if run.each_round}
    rounds = plan.session.rounds
    if not lines or rounds is None:
        return plan
    if len(lines) * rounds > MAX_RUNS:
        raise RoundsError(f"session.rounds: {rounds} rounds of {len(lines)} runs are more than {MAX_RUNS:,} runs; "
                          "use fewer")  # fmt: skip
    names = {line: [round_name(line, number, rounds) for number in range(1, rounds + 1)] for line in lines}
    _check_names(names, plan)
    runs: dict[str, RunPlan] = {}
    for name, run in plan.runs.items():
        if name not in lines:
            runs[name] = run.model_copy(update=_all_rounds(run, names))
        elif name == next(iter(lines)):
            runs |= _all_runs_of_rounds(lines, names, rounds)
    return plan.model_copy(update={"runs": runs})


def round_name(line: str, number: int, rounds: int) -> str:
    """Return the name of a round of a run, such as `train-r07`."""
    return f"{line}-r{number:0{_width(rounds)}d}"


def _width(rounds: int) -> int:
    return max(2, len(str(rounds)))


def _check_names(names: Mapping[str, Sequence[str]], plan: Plan) -> None:
    seen: set[str] = set()
    for line, expanded in names.items():
        for name in expanded:
            if len(name) > MAX_NAME:
                raise RoundsError(f"runs.{line}: '{name}' is longer than {MAX_NAME} characters; shorten the name")
            if name in plan.runs or name in seen:
                raise RoundsError(f"runs.{line}: there is another run named '{name}'; rename one")
        seen.update(expanded)


def _all_runs_of_rounds(
    lines: Mapping[str, RunPlan], names: Mapping[str, Sequence[str]], rounds: int
) -> dict[str, RunPlan]:
    return {
        names[line][number - 1]: _run_of_round(line, run, number, names, rounds)
        for number in range(1, rounds + 1)
        for line, run in lines.items()
    }


def _run_of_round(line: str, run: RunPlan, number: int, names: Mapping[str, Sequence[str]], rounds: int) -> RunPlan:
    """Return the run of one round of a line."""

    def folder(reference: Reference) -> str:
        target = reference.run or line
        if reference.when == ROUNDS:
            return f"{{session}}/{target}-r{'[0-9]' * _width(rounds)}"
        return f"{{session}}/{names[target][number - (2 if reference.when == PREVIOUS else 1)]}"

    def fill(texts: Sequence[str]) -> tuple[str, ...]:
        filled = replace_references(texts, folder)
        return tuple(PLACEHOLDER.sub(lambda match: str(number) if match[1] == ROUND else match[0], text)
                     for text in filled)  # fmt: skip

    later = run if number > 1 else run.model_copy(update={"later_args": ()})
    changed = map_texts(later, fill)
    return run.model_copy(
        update={
            **changed,
            "command": (*changed["command"], *changed["later_args"]),
            "later_args": (),
            "after": tuple(_dependencies(run.after, number, names)),
            "after_end": tuple(_dependencies(run.after_end, number, names)),
            "each_round": False,
            "round": number,
            "line": line,
            "chain": run.chain or "",
            "group": run.group and round_name(run.group, number, rounds),
        }
    )


def _dependencies(texts: Sequence[str], number: int, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the runs that a run of round `number` waits for; the first round waits for no round before it."""
    for text in texts:
        name, when = split_dependency(text)
        if name not in names:
            yield name
        elif when == ROUND:
            yield names[name][number - 1]
        elif number > 1:
            yield names[name][number - 2]


def _all_rounds(run: RunPlan, names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the dependencies of a run without rounds: all rounds of each."""
    return {
        field: tuple(one for name in getattr(run, field) for one in names.get(name, (name,)))
        for field in ("after", "after_end")
    }
