"""A summary as tables for people."""

from pmssm.supervisor.session.summary_tables import results_table, runs_table


def run(state: str = "succeeded", **fields: object) -> dict[str, object]:
    """Return what a summary says of a run."""
    blank = {"exit_code": 0, "signal": None, "attempts": 1, "gpu": None, "wall_time_s": 1.0, "peak_rss_mib": None}
    return {"state": state, "group": None, "line": None, "result": {}, **blank, **fields}


def summary(groups: dict[str, object] | None = None, **runs: dict[str, object]) -> dict[str, object]:
    return {"runs": runs, "groups": groups or {}}


def results(**runs: dict[str, object]) -> list[str]:
    """Return the table of results of runs that left these."""
    return results_table(summary(**{name: run(result=result) for name, result in runs.items()}))


def test_the_table_of_runs() -> None:
    first = run(attempts=2, gpu=2, wall_time_s=3730, peak_rss_mib=700)
    second = run("queued", exit_code=None, attempts=0, wall_time_s=0)
    assert runs_table(summary(a=first, b=second)) == [
        "run  state      exit  attempts  gpu  wall time  peak memory",
        "───  ─────────  ────  ────────  ───  ─────────  ───────────",
        "a    succeeded  0     2         2    1:02:10    700 MiB",
        "b    queued           0              0.0 s",
    ]


def test_the_table_of_runs_has_no_column_that_no_run_fills() -> None:
    assert runs_table(summary(a=run()))[0].split() == ["run", "state", "exit", "attempts", "wall", "time"]


def test_a_signal_is_named_in_the_table() -> None:
    assert "signal 9" in runs_table(summary(a=run("failed", exit_code=None, signal=9)))[2]


def test_the_rounds_of_a_run_are_one_row_and_those_that_failed_have_their_own() -> None:
    rounds = {
        "t-r01": run(line="t", wall_time_s=10, peak_rss_mib=90),
        "t-r02": run(line="t", wall_time_s=20, peak_rss_mib=80, attempts=2),
        "t-r03": run("failed", line="t", exit_code=1),
        "t-r04": run("blocked", line="t", exit_code=None, attempts=0, wall_time_s=0),
    }
    assert runs_table(summary(first=run(), **rounds))[2:] == [
        "first         succeeded                         0     1         1.0 s",
        "t (4 rounds)  2 succeeded, 1 failed, 1 blocked        4         31.0 s     90 MiB",
        "t-r03         failed                            1     1         1.0 s",
    ]


def test_results_and_groups_are_those_of_the_newest_round_that_left_any() -> None:
    rounds = {
        f"t-s{seed}-r{number}": run(line=f"t-s{seed}", group=f"t-r{number}", result={"x": number} if number < 3 else {})
        for seed in (1, 2)
        for number in (1, 2, 3)
    }
    groups = {f"t-r{number}": {"x": {"mean": number, "deviation": 0.5, "count": 2}} for number in (1, 2)}
    assert results_table(summary(groups, **rounds)) == [
        "   t-s1-r2  t-s2-r2",
        "─  ───────  ───────",
        "x  2        2",
        "",
        "mean ± deviation  t-r2",
        "────────────────  ───────────",
        "x                 2 ± 0.5 (2)",
    ]


def test_the_table_of_results_sets_runs_side_by_side() -> None:
    first = {"model": "T", "parameters": 795777, "val mse": 0.000123456, "time": 12345.678, "early": True}
    assert results(a=first, b={"model": "M", "extra": "only here"}) == [
        "            a          b",
        "──────────  ─────────  ─────────",
        "model       T          M",
        "parameters  795,777",
        "val mse     0.0001235",
        "time        12,345.7",
        "early       True",
        "extra                  only here",
    ]


def test_a_table_that_is_a_little_too_wide_for_a_terminal_is_set_closer() -> None:
    assert results(a={"model": "T" * 40}, b={"model": "M" * 32})[2] == f"model {'T' * 40} {'M' * 32}"
    assert results(a={"model": "T" * 39}, b={"model": "M" * 32})[2] == f"model  {'T' * 39}  {'M' * 32}"


def test_results_that_do_not_fit_side_by_side_are_set_below_each_other() -> None:
    lines = results(a={"model": "T" * 50}, b={"model": "M" * 50})
    assert [line for line in lines if "model" in line] == [f"model  {'T' * 50}", f"model  {'M' * 50}"]


def test_many_results_are_set_below_each_other() -> None:
    lines = results(**{f"r{number}": {"x": 1} for number in range(6)})
    assert [line.split() for line in lines if "r" in line] == [["r0", "r1", "r2", "r3"], ["r4", "r5"]]


def test_without_results_there_is_no_table() -> None:
    assert results(a={}) == []
