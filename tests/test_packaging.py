"""The package as users get it: as a wheel, and beside the well-known package that is called `supervisor`."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def python_with_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds our wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel_command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(wheel_command, check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip[:3], "--python", python, "install", "--quiet", "--no-deps", wheel], check=True, timeout=120)
    return python


def _say(python: Path, program: str) -> str:
    """What a program prints there; it finds our dependencies, but not our editable install, in this environment."""
    (site,) = {str(Path(entry)) for entry in sys.path if entry.endswith("site-packages")}
    done = subprocess.run(
        [python, "-c", program], env={"PYTHONPATH": site}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


BOTH = "import supervisor, pmssm.supervisor as ours; print(ours.__file__, supervisor.__path__[0], sep='\\n')"


def test_the_wheel_lives_beside_the_package_supervisor(python_with_wheel: Path) -> None:
    ours, theirs = _say(python_with_wheel, BOTH).splitlines()
    assert Path(ours).is_relative_to(python_with_wheel.parent.parent)
    assert "pmssm" not in theirs


def test_the_editable_install_lives_beside_the_package_supervisor() -> None:
    done = subprocess.run([sys.executable, "-c", BOTH], cwd="/", capture_output=True, text=True, check=True, timeout=60)
    ours, theirs = done.stdout.splitlines()
    assert Path(ours).is_relative_to(ROOT)
    assert Path(theirs) != ROOT / "supervisor"


def test_the_wheel_holds_plan_sample_styles_and_page(python_with_wheel: Path) -> None:
    program = """
from importlib.resources import files
from pmssm.supervisor.plan import builtin_plan
print(*builtin_plan().runs)
print(sum(entry.name.endswith(".root") for entry in (files("pmssm.trainers.data") / "sample").iterdir()))
print(sum(entry.name.endswith(".tcss") for entry in files("pmssm.supervisor.dashboard").iterdir()))
print(sum(entry.name.startswith("page.") for entry in (files("pmssm.supervisor.web") / "static").iterdir()))
"""
    told = _say(python_with_wheel, program).splitlines()
    assert told == ["prepare transformer transformer_tabular mlp report", "3", "1", "3"]
