"""Plan files: what is read, the error of each bad file, and how placeholders are filled."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.plan.errors import PlanError
from pmssm.supervisor.plan.loader import builtin_plan, dump_plan, load_plan, parse_plan
from pmssm.supervisor.plan.resolve import fill_placeholders
from pmssm.supervisor.plan.schema import RESERVED_NAMES, Plan, RunPlan, SessionPlan

BAD_PLANS = Path(__file__).parent / "bad_plans"

# The error after `FILE: `, for each file of bad_plans.
REFUSALS = {
    "after_is_text": 'runs.b.after: must be a list of strings, as in ["one", "two"]',
    "bad_regex": "runs.a.progress: not a regular expression: missing ), unterminated subpattern at position 0",
    "command_has_a_number": "runs.a.command.1: must be a string, in quotes",
    "command_has_nul": "runs.a.command.1: has a NUL character, which no argument can contain",
    "command_is_empty": "runs.a.command: must not be empty",
    "command_is_text": 'runs.a.command: must be a list of strings, as in ["one", "two"]',
    "continuations_are_negative": "session.continuations: must be at least 0",
    "cycle": "runs wait for each other in a circle: a → c → b → a; remove one 'after'",
    "cycle_through_after_end": "runs wait for each other in a circle: a → b → a; remove one 'after'",
    "empty": "runs: is required",
    "env_is_a_list": 'runs.a.env: must be a table, as in { name = "value" }',
    "env_name_has_an_equals_sign": "runs.a.env.A=B: not a name for an environment variable",
    "env_value_is_a_number": "runs.a.env.OMP_NUM_THREADS: must be a string, in quotes",
    "grace_is_endless": "runs.a.stop_grace_s: must be at most 86400",
    "grace_is_no_number": "runs.a.stop_grace_s: must be at most 86400",
    "launcher_of_a_run_is_unknown": "runs.a.launcher: must be 'local' or 'slurm'",
    "launcher_of_the_session_is_unknown": "session.launcher: must be 'local' or 'slurm'",
    "list_inside_text": "runs.a.command: '{training_options}' stands for several arguments; "
    "make it an argument of its own",
    "memory_is_negative": "runs.a.gpu_memory_mib: must be at least 0",
    "memory_is_text": "runs.a.gpu_memory_mib: must be a whole number",
    "misspelt_command": "runs.a.comand: unknown key (did you mean 'command'?)",
    "no_command": "runs.a.command: is required",
    "not_toml": "not valid TOML: ",
    "not_utf8": "not UTF-8 text; a plan is a TOML file",
    "rerun_is_a_number": "runs.b.rerun: must be true or false",
    "rerun_without_after_end": "runs.b.rerun: needs after_end, the runs after which it starts again",
    "regex_without_groups": "runs.a.progress: has no named group such as (?P<epoch>\\d+)",
    "run_is_a_number": 'runs.a: must be a table, as in { name = "value" }',
    "run_name_is_a_file_of_ours": "runs.plan.toml: not a usable run name; use letters, digits",
    "run_name_is_reserved": "runs.training: not a usable run name; use letters, digits",
    "run_name_too_long": f"runs.{'a' * 65}: not a usable run name; use letters, digits, '_', '-' and '.', at most 64",
    "run_name_with_a_slash": "runs.a/b: not a usable run name; use letters, digits",
    "run_name_with_dots": "runs...: not a usable run name; use letters, digits",
    "run_name_with_a_line_break": "runs.a\\nb\\u001b[2J: not a usable run name; use letters, digits",
    "runs_is_empty": "runs: must not be empty",
    "same_run_twice": "not valid TOML: Cannot declare ('runs', 'a') twice",
    "session_is_text": 'session: must be a table, as in { name = "value" }',
    "session_name_is_empty": "session.name: ",
    "single_brace": "runs.a.command: single '{' in '{print'; write '{{' for a brace",
    "single_closing_brace": "runs.a.command: single '}' in '}'; write '}}' for a brace",
    "slot_is_a_bool": 'runs.a.slot: must be 0, 1, … or "none"; leave it out for any slot',
    "slot_is_a_word": 'runs.a.slot: must be 0, 1, … or "none"; leave it out for any slot',
    "slot_is_negative": 'runs.a.slot: must be 0, 1, … or "none"; leave it out for any slot',
    "slurm_is_a_list": 'slurm: must be a table of settings, as in { partition = "gpu", time = "24:00:00" }',
    "slurm_of_a_run_is_text": "runs.a.slurm: must be a table of settings, as in { partition = ",
    "unknown_key_of_a_run": "runs.a.stop_grace: unknown key (did you mean 'stop_grace_s'?)",
    "unknown_key_of_the_plan": "sesion: unknown key (did you mean 'session'?)",
    "unknown_key_of_the_session": "session.nmae: unknown key (did you mean 'name'?)",
    "unknown_key_unlike_any": "runs.a.colour: unknown key; known are after, after_end, chain, command, ",
    "unknown_placeholder": "runs.a.command: unknown placeholder '{pyton}' (did you mean 'python'?)",
    "unknown_placeholder_in_cwd": "runs.a.cwd: unknown placeholder '{nowhere_at_all}'; known are no_options, output, ",
    "unknown_placeholder_in_env": "runs.a.env.OUT: unknown placeholder '{outputs}' (did you mean 'output'?)",
    "unknown_run": "runs.mlp.after: no run named 'transfomer' (did you mean 'transformer'?)",
    "unknown_run_in_after_end": "runs.report.after_end: no run named 'aa' (did you mean 'a'?)",
    "unknown_run_unlike_any": "runs.a.after: no run named 'zzz'; known are a",
    "waits_for_itself": "runs wait for each other in a circle: a → a; remove one 'after'",
    "after_one_run_of_a_matrix": "runs.b.after: no run named 'a-seed1'",
    "group_with_a_space": "runs.a.group: not a usable name; use letters, digits",
    "matrix_is_a_list": "runs.a.matrix: must be a table of lists, as in matrix.seed = [1, 2, 3]",
    "matrix_is_empty": "runs.a.matrix: seed is empty, so there would be no run; give a value, or remove it",
    "matrix_is_too_large": "runs.a.matrix: has 343 combinations, more than 256; give fewer values",
    "matrix_key_has_a_dash": "runs.a.matrix: 'learning-rate' can't be a placeholder; use letters, digits and '_'",
    "matrix_key_is_a_placeholder": "runs.a.matrix: 'output' is a placeholder with a meaning of its own",
    "matrix_key_is_unused": "runs.a.matrix.seed: no argument uses it, so all its runs would be identical",
    "matrix_name_too_long": "runs.a.matrix: 'a-the_name_of_a_very_long_parameter_that_goes_on_and_on",
    "matrix_names_clash_with_a_run": "runs.a.matrix: there is another run named 'a-seed2'; rename one, or its values",
    "matrix_value_is_a_date": "runs.a.matrix: day: datetime.date(2026, 1, 22) is not a text, a finite number, true or",
    "matrix_value_is_no_number": "runs.a.matrix: rate: inf is not a text, a finite number, true or false",
    "matrix_values_are_no_list": "runs.a.matrix: seed must be a list, as in matrix.seed = [1, 2, 3]",
    "matrix_values_twice": "runs.a.matrix: two runs would be called 'a-seed1'; give values that differ",
    "each_round_without_rounds": "runs.a.each_round: needs the number of rounds; add rounds = 10 to [session]",
    "rounds_without_each_round": "session.rounds: no run has each_round = true, so there would be no rounds; add it",
    "rounds_is_zero": "session.rounds: must be at least 1",
    "rounds_previous_of_a_run_that_runs_once": "runs.b.after: 'a@previous': 'a' runs once; give it each_round = true, "
    "or leave out '@previous'",
    "rounds_previous_in_the_first_round": "runs.a: '{previous}': the first round has no round before it; put the "
    "arguments that use it into later_args",
    "rounds_previous_without_each_round": "runs.b.after: 'a@previous' needs each_round = true in this run",
    "rounds_placeholder_without_each_round": "runs.a.command: '{round}' needs each_round = true in this run",
    "rounds_reference_without_each_round": "runs.b.command: '{a@rounds}' needs each_round = true in this run",
    "rounds_misspelt_reference": "runs.a: '{a@runds}': nothing is called '@runds' (did you mean 'rounds'?)",
    "rounds_reference_to_no_run": "runs.train: '{trian@rounds}': no run named 'trian' (did you mean 'train'?)",
    "rounds_misspelt_dependency": "runs.a.after: 'a@before': nothing is called '@before'; known are previous, round",
    "rounds_dependency_on_all_rounds": "runs.a.after: 'a@rounds': only '@previous' is possible here",
    "rounds_later_args_without_each_round": "runs.a.later_args: needs each_round = true, because it is for later",
    "rounds_too_many_runs": "session.rounds: 999 rounds of 11 runs are more than 10,000 runs; use fewer",
    "rounds_name_too_long": "runs.a_name_of_sixty_two_characters_to_which_no_round_can_be_appended: '",
    "rounds_names_clash": "runs.a: there is another run named 'a-r02'; rename one",
    "rounds_wait_in_a_circle": "runs wait for each other in a circle: a-r01 → b-r01 → a-r01; remove one 'after'",
    "rounds_matrices_that_differ": "runs.b.after: no run of 'a' has seed 2; give both the same values",
    "stop_when_without_each_round": "runs.a.stop_when: needs each_round = true, because it ends a chain of rounds",
    "stop_when_is_also_a_crash": "runs.a.stop_when: 3 is also in retry_exit_codes; remove one of them",
    "keep_is_a_number": 'runs.a.keep: must be "last N" with N of at least 1, as in keep = "last 3"',
    "keep_without_each_round": "runs.a.keep: needs each_round = true, because it is about rounds",
    "stop_when_is_zero": "runs.a.stop_when.0: must be at least 1",
    "rounds_reference_to_several_runs": "runs.b: '{a@round}' could be any of a-seed1, a-seed2; give this run the "
    "matrix of 'a'",
}

COMMON = {
    "python": "/venv/bin/python",
    "session": "/logs/session_1",
    "training_options": ["--epochs", "3"],
    "no_options": [],
}


def filled(plan: Plan, source: str = "plan.toml") -> Plan:
    """The plan with placeholders as a session fills them in."""
    per_run = {name: {"run": name, "output": f"/logs/session_1/{name}"} for name in plan.runs}
    return fill_placeholders(plan, COMMON, per_run, cwd=Path("/work/here"), source=source)


def one_run(**fields: object) -> Plan:
    return Plan(runs={"a": RunPlan.model_validate({"command": ["true"], **fields})})


# Refusals


def test_every_bad_plan_has_its_refusal() -> None:
    assert {path.stem for path in BAD_PLANS.glob("*.toml")} == set(REFUSALS)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_bad_plan_is_refused_in_one_line_that_names_file_field_and_remedy(name: str) -> None:
    path = BAD_PLANS / f"{name}.toml"
    with pytest.raises(PlanError) as caught:
        filled(load_plan(path), str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: {REFUSALS[name]}")
    assert message.isprintable()


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"/nowhere\.toml: cannot read the plan: No such file or directory$"):
        load_plan(tmp_path / "nowhere.toml")


def test_a_folder_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read the plan: Is a directory$"):
        load_plan(tmp_path)


@given(st.text(max_size=80))
def test_any_text_is_a_plan_or_refused_in_one_line(text: str) -> None:
    try:
        parse_plan(text, "plan.toml")
    except PlanError as error:
        assert str(error).startswith("plan.toml: ")
        assert str(error).isprintable()


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_no_run_takes_the_name_of_a_file_beside_the_runs(name: str) -> None:
    with pytest.raises(PlanError, match="not a usable run name"):
        parse_plan(f'[runs."{name}"]\ncommand = ["true"]\n', "plan.toml")


# What is read


def test_defaults_are_those_of_the_documentation() -> None:
    plan = parse_plan('[runs.a]\ncommand = ["true"]\n', "plan.toml")
    assert plan.session.name == "session"
    assert plan.runs["a"] == RunPlan(
        command=("true",), after=(), slot=None, gpu_memory_mib=None, stop_grace_s=30.0, env={}, cwd=None, progress=None
    )


def test_runs_keep_the_order_of_the_file() -> None:
    text = "".join(f'[runs.{name}]\ncommand = ["true"]\n' for name in "zbya")
    assert list(parse_plan(text, "plan.toml").runs) == list("zbya")


def test_only_a_run_with_slot_none_takes_no_slot() -> None:
    assert [one_run(slot=slot).runs["a"].takes_slot for slot in ("none", 0, 3, None)] == [False, True, True, True]


def test_a_chain_of_two_thousand_runs_is_read() -> None:
    runs = "".join(f'[runs.r{n}]\ncommand = ["true"]\nafter = ["r{n + 1}"]\n' for n in range(2000))
    assert len(parse_plan(runs + '[runs.r2000]\ncommand = ["true"]\n', "plan.toml").runs) == 2001


# The built-in plan


def test_the_built_in_plan_trains_both_transformers_side_by_side_and_the_mlp_after_them() -> None:
    runs = builtin_plan().runs
    assert {name: run.after for name, run in runs.items()} == {
        "prepare": (),
        "transformer": ("prepare",),
        "transformer_tabular": ("prepare",),
        "mlp": ("transformer", "transformer_tabular"),
        "report": ("prepare",),
    }
    assert {name: run.slot for name, run in runs.items()} == {
        "prepare": "none",
        "transformer": 0,
        "transformer_tabular": 1,
        "mlp": 1,
        "report": "none",
    }


def test_the_built_in_plan_reports_on_all_trainings_however_they_ended() -> None:
    assert builtin_plan().runs["report"].after_end == ("transformer", "transformer_tabular", "mlp")


def test_the_built_in_plan_expects_the_gpu_memory_of_the_documentation() -> None:
    memory = {name: run.gpu_memory_mib for name, run in builtin_plan().runs.items()}
    assert memory == {"prepare": None, "transformer": 800, "transformer_tabular": 800, "mlp": 1500, "report": None}


def test_every_trainer_of_the_built_in_plan_can_start_over_and_shows_progress() -> None:
    documented = "Epoch 0100 | Train MSE = 0.123456 | Val MSE = 0.129876 | LR = 2.987654e-04"
    for name in ("transformer", "transformer_tabular", "mlp"):
        run = builtin_plan().runs[name]
        assert run.fresh_args == ("--fresh",)
        assert run.progress is not None
        match = re.search(run.progress, documented)
        assert match is not None
        found = {group: text for group, text in match.groupdict().items() if text is not None}
        assert found == {"epoch": "0100", "train_loss": "0.123456", "val_loss": "0.129876"}


# Placeholders


def test_placeholders_become_their_values() -> None:
    plan = one_run(
        command=["{python}", "-o", "{output}/x", "{{literal}}", "{run}{run}"],
        env={"DATA": "{session}/data"},
        fresh_args=["--fresh={run}"],
        cwd="sub/{run}",
    )
    run = filled(plan).runs["a"]
    assert run.command == ("/venv/bin/python", "-o", "/logs/session_1/a/x", "{literal}", "aa")
    assert run.env == {"DATA": "/logs/session_1/data"}
    assert run.fresh_args == ("--fresh=a",)
    assert run.cwd == "/work/here/sub/a"


def test_a_list_becomes_as_many_arguments_as_it_has() -> None:
    plan = one_run(command=["train", "{training_options}", "{no_options}", "end"])
    assert filled(plan).runs["a"].command == ("train", "--epochs", "3", "end")


def test_cwd_defaults_to_where_the_session_starts_and_may_be_absolute() -> None:
    assert filled(one_run()).runs["a"].cwd == "/work/here"
    assert filled(one_run(cwd="/elsewhere")).runs["a"].cwd == "/elsewhere"


def test_the_progress_pattern_keeps_its_braces() -> None:
    pattern = r"(?P<epoch>\d{1,4})"
    assert filled(one_run(progress=pattern)).runs["a"].progress == pattern


def test_values_are_not_expanded_again() -> None:
    per_run = {"a": {"run": "{python}", "output": "{{"}}
    run = fill_placeholders(one_run(command=["{run}", "{output}"]), COMMON, per_run, cwd=Path("/"), source="p").runs[
        "a"
    ]
    assert run.command == ("{python}", "{{")


# Writing and reading back

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAME = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,10}\Z").filter(lambda name: name not in RESERVED_NAMES)
VARIABLE = st.text(string.printable.replace("=", ""), min_size=1, max_size=8)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    runs: dict[str, RunPlan] = {}
    for name in draw(st.lists(NAME, min_size=1, max_size=5, unique=True)):
        runs[name] = RunPlan(
            command=tuple(draw(st.lists(TEXT, min_size=1, max_size=4))),
            after=tuple(draw(st.lists(st.sampled_from(sorted(runs)), unique=True))) if runs else (),
            slot=draw(st.none() | st.just("none") | st.integers(0, 9)),  # type: ignore[arg-type]
            gpu_memory_mib=draw(st.none() | st.integers(0, 10**6)),
            stop_grace_s=draw(st.floats(0, 86_400)),
            env=draw(st.dictionaries(VARIABLE, TEXT, max_size=3)),
            cwd=draw(st.none() | TEXT),
            progress=draw(st.none() | st.sampled_from([r"(?P<epoch>\d+)", '(?P<a>\'""")\\n', "'''(?P<b>x)"])),
            fresh_args=tuple(draw(st.lists(TEXT, max_size=2))),
        )
    return Plan(session=SessionPlan(name=draw(TEXT.filter(bool))), runs=runs)


@given(plans())
def test_a_written_plan_reads_back_equal_and_in_the_same_order(plan: Plan) -> None:
    read = parse_plan(dump_plan(plan), "plan.toml")
    assert read == plan
    assert list(read.runs) == list(plan.runs)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_doubled_braces_stand_for_themselves_whatever_is_around_them(words: list[str]) -> None:
    doubled = [word.replace("{", "{{").replace("}", "}}") for word in words]
    assert filled(one_run(command=doubled)).runs["a"].command == tuple(words)


def test_what_a_session_leaves_out_of_its_plan_is_empty_by_default() -> None:
    defaults = {name: field.get_default(call_default_factory=True) for name, field in RunPlan.model_fields.items()}
    assert all(default is not True for default in defaults.values())
    assert not [name for name, default in defaults.items() if isinstance(default, tuple | dict) and default]
