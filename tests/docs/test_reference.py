"""Generated pages say what the code says, and the hand-written lists of the documentation are complete."""

import re
import runpy
from pathlib import Path
from typing import get_args

import pytest
from pmssm.supervisor.dashboard.bindings import all_keys
from pmssm.supervisor.gpus.models import Gpu
from pmssm.supervisor.launchers.slurm.settings import SlurmSettings
from pmssm.supervisor.plan.placeholders import OWN_PLACEHOLDERS
from pmssm.supervisor.session.events import Event, Exit
from pmssm.supervisor.session.snapshot import AttemptView, RunView, Snapshot
from pmssm.supervisor.session.state import RunState

DOCS = Path(__file__).parents[2] / "docs"
GENERATOR = DOCS / "generate_reference.py"
PAGES = runpy.run_path(str(GENERATOR))["PAGES"]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert page(f"reference/{name}") == PAGES[name](), "run `python docs/generate_reference.py` and commit the pages"


def test_every_key_of_the_plan_file_has_a_meaning() -> None:
    rows = [line for line in page("reference/plan-file.md").splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    assert all(row.split("|")[4].strip().endswith(".") for row in rows)


def test_the_help_names_every_setting_of_a_job() -> None:
    named = re.search(r"Keys: ([\w, ]+)\.", " ".join(page("reference/cli.md").split()))
    assert named is not None
    assert set(named[1].split(", ")) == set(SlurmSettings.model_fields), "correct the help of --slurm"


def test_every_event_of_the_journal_is_described() -> None:
    kinds = [event.model_fields["kind"].default for event in get_args(Event)]
    assert len(kinds) == 13, "describe the new event in docs/reference/session-files.md, then correct this number"
    text = page("reference/session-files.md")
    assert [kind for kind in kinds if f"| `{kind}` |" not in text] == [], "docs/reference/session-files.md"


@pytest.mark.parametrize("model", [Exit, Snapshot, RunView, AttemptView, Gpu])
def test_every_field_of_a_file_or_of_status_json_is_described(model: type) -> None:
    text = page("reference/session-files.md")
    assert [field for field in model.model_fields if f"`{field}`" not in text] == [], (  # type: ignore[attr-defined]
        "describe them in docs/reference/session-files.md"
    )


def test_every_state_of_a_run_is_described() -> None:
    text = page("explanation/architecture.md")
    assert [state for state in RunState if f"| `{state}` |" not in text] == [], "docs/explanation/architecture.md"


def test_every_placeholder_of_a_plan_is_described() -> None:
    text = page("guide/plans.md")
    assert [name for name in OWN_PLACEHOLDERS if f"| `{{{name}}}` |" not in text] == [], "docs/guide/plans.md"


def test_every_key_of_the_dashboard_is_described() -> None:
    keys = page("guide/dashboard.md").partition("## Keys")[2].partition("## Notifications")[0]
    cells = re.findall(r"^\| (.+?) \|", keys, re.MULTILINE)
    names = {word.strip("`,") for cell in cells for word in cell.split()}
    missing = [key.shown for key in all_keys() if key.shown.split()[0] not in names]
    assert missing == [], "describe these keys in the table of docs/guide/dashboard.md"
