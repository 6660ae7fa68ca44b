"""Sessions on disk: created completely or not at all, listed, read back."""

import os
import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pmssm.supervisor.plan.errors import PlanError
from pmssm.supervisor.plan.loader import builtin_plan, parse_plan
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.create import next_session, resolve_plan, write_session
from pmssm.supervisor.session.folder import SessionError, SessionFolder, SessionSettings, latest_session, list_sessions
from pmssm.supervisor.session.session_log import SessionLog

ROOT = os.getuid() == 0
SETTINGS = SessionSettings(parallel=True, gpus="1,2", threads=3, environment={"A": "b c", "NOT_UTF8": "\udcff\n"})
PLAN = parse_plan('[runs.a]\ncommand = ["{python}", "{output}", "{session}", "{stamp}", "{logs}"]\n', "plan.toml")


def create(logs: Path, plan: Plan = PLAN) -> SessionFolder:
    logs.mkdir(exist_ok=True)
    folder = next_session(logs)
    write_session(folder, resolve_plan(folder, plan, {}, source="plan.toml"), SETTINGS)
    return folder


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


# Creating


def test_a_session_reads_back_as_it_was_created(logs: Path) -> None:
    folder = create(logs)
    command = folder.load_plan().runs["a"].command
    assert command[1:] == (str(folder.run_folder("a")), str(folder.path), folder.stamp, str(logs))
    assert folder.load_settings() == SETTINGS


def test_the_files_lie_where_the_documentation_puts_them(logs: Path) -> None:
    folder = SessionFolder(logs, "20260122_153100")
    assert folder.log == logs / "training_20260122_153100.log"
    assert folder.run_log("mlp") == logs / "mlp_20260122_153100.log"
    assert folder.plan == logs / "session_20260122_153100" / "plan.toml"
    assert folder.journal == logs / "session_20260122_153100" / "journal.jsonl"
    assert folder.summary == logs / "session_20260122_153100" / "summary.json"
    assert folder.run_folder("mlp") == logs / "session_20260122_153100" / "mlp"


def test_everything_of_a_session_is_private(logs: Path) -> None:
    mask = os.umask(0)
    try:
        folder = create(logs)
        SessionLog(folder.log).write("a line")
    finally:
        os.umask(mask)
    for path in (folder.path, *folder.path.rglob("*"), folder.log):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_nothing_else_is_left_in_the_logs_folder(logs: Path) -> None:
    folder = create(logs)
    assert list(logs.iterdir()) == [folder.path]
    assert {path.name for path in folder.path.iterdir()} == {"a", "plan.toml", "settings.json"}


def test_a_session_can_be_created_with_the_built_in_plan(logs: Path) -> None:
    logs.mkdir()
    folder = next_session(logs)
    options = {"prepare_options": ["--seed", "1"], "training_options": []}
    write_session(folder, resolve_plan(folder, builtin_plan(), options, source="built-in"), SETTINGS)
    runs = folder.load_plan().runs
    assert runs["prepare"].command[-2:] == ("--seed", "1")
    assert str(folder.run_folder("mlp")) in runs["mlp"].command


def test_an_unknown_placeholder_is_found_before_anything_is_written(logs: Path) -> None:
    plan = parse_plan('[runs.a]\ncommand = ["{sesion}"]\n', "my.toml")
    with pytest.raises(PlanError, match=r"^my\.toml: runs\.a\.command: unknown placeholder '\{sesion\}'"):
        resolve_plan(next_session(logs), plan, {}, source="my.toml")
    assert not logs.exists()


def test_a_session_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.touch()
    folder = SessionFolder(logs, "20260122_153100")
    with pytest.raises(SessionError, match=r"cannot write there: Not a directory; choose another folder with --logs$"):
        write_session(folder, PLAN, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_session_that_exists_already_is_not_touched(logs: Path) -> None:
    folder = create(logs)
    folder.journal.write_text("precious")
    with pytest.raises(SessionError):
        write_session(folder, PLAN, SETTINGS)
    assert folder.journal.read_text() == "precious"
    assert list(logs.iterdir()) == [folder.path]


def test_a_session_half_created_by_a_dead_process_is_replaced(logs: Path) -> None:
    logs.mkdir()
    folder = next_session(logs)
    (logs / f".{folder.path.name}.new" / "a").mkdir(parents=True)
    write_session(folder, resolve_plan(folder, PLAN, {}, source=""), SETTINGS)
    assert list(logs.iterdir()) == [folder.path]


def test_a_path_that_is_not_utf8_is_rejected_with_a_message(tmp_path: Path) -> None:
    logs = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    with pytest.raises(SessionError, match="this path is not UTF-8") as caught:
        create(logs)
    assert str(caught.value).isascii()
    assert list(logs.iterdir()) == []


# Stamps


def test_a_stamp_is_the_time_of_creation(logs: Path) -> None:
    before = datetime.now().replace(microsecond=0)
    created = datetime.strptime(next_session(logs).stamp, "%Y%m%d_%H%M%S")
    assert before <= created <= datetime.now()


def test_sessions_within_a_second_have_stamps_of_their_own_in_order(logs: Path) -> None:
    stamps = [create(logs).stamp for _ in range(3)]
    assert stamps == sorted(set(stamps))
    assert [folder.stamp for folder in list_sessions(logs)] == stamps


def test_after_a_step_back_of_the_clock_the_newest_session_is_still_the_last(logs: Path) -> None:
    future = (datetime.now() + timedelta(hours=1)).strftime("%Y%m%d_%H%M%S")
    (logs / f"session_{future}").mkdir(parents=True)
    folder = create(logs)
    assert folder.stamp > future
    assert latest_session(logs) == folder


def test_only_folders_with_a_date_are_sessions(logs: Path) -> None:
    names = [
        "session_",
        "session_2026",
        "session_99999999_999999",
        "session_20260122_153100.bak",
        ".session_20260122_153100.new",
    ]
    for name in [*names, "session_20260122_153100", "other", "session_٢٠٢٦٠١٢٢_153100"]:
        (logs / name).mkdir(parents=True)
    assert [folder.stamp for folder in list_sessions(logs)] == ["20260122_153100"]
    assert create(logs).stamp > "20260122_153100"


def test_a_logs_folder_that_is_not_there_has_no_sessions(logs: Path) -> None:
    assert list_sessions(logs) == []
    assert latest_session(logs) is None


# Damage


def test_a_lost_plan_is_named(logs: Path) -> None:
    folder = create(logs)
    folder.plan.unlink()
    with pytest.raises(SessionError, match=r"plan\.toml: cannot read the plan: No such file or directory"):
        folder.load_plan()


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"parallel": "perhaps"}', "\xff"])
def test_damaged_settings_are_named(logs: Path, text: str) -> None:
    folder = create(logs)
    folder.settings.write_bytes(text.encode("latin-1"))
    with pytest.raises(SessionError, match=r"settings\.json: damaged: "):
        folder.load_settings()


def test_lost_settings_are_named(logs: Path) -> None:
    folder = create(logs)
    folder.settings.unlink()
    with pytest.raises(SessionError, match=r"settings\.json: cannot read the session's settings: No such file"):
        folder.load_settings()
