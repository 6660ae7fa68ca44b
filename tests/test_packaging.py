"""The package as users get it: as a wheel, and beside the well-known package that is called `supervisor`."""

import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path

import pexpect
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


def _environment(python: Path) -> dict[str, str]:
    """The variables with which that interpreter finds our dependencies, behind its own packages.

    It does not find our editable install: `.pth` files count in an environment's own folder only.
    """
    (own,) = (python.parent.parent / "lib").glob("python*/site-packages")
    ours = [entry for entry in sys.path if entry.endswith("site-packages")]
    return {"PYTHONPATH": os.pathsep.join([str(own), *ours])}


def _say(python: Path, program: str) -> str:
    """What a program prints there."""
    command = [python, "-c", program]
    done = subprocess.run(command, env=_environment(python), capture_output=True, text=True, timeout=60, check=False)
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


def test_every_folder_with_modules_is_a_package_of_the_wheel() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {module.parent for half in options["package-dir"].values() for module in (ROOT / half).rglob("*.py")}
    assert sorted(options["packages"]) == sorted(f"pmssm.{'.'.join(path.relative_to(ROOT).parts)}" for path in folders)


@pytest.fixture
def installed(
    python_with_wheel: Path, env_without_nvml: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, str]]:
    """The command that the wheel installs, and an environment for it on a machine without GPUs."""
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("r")), "TERM": "xterm-256color"}
    return str(python_with_wheel.with_name("pmssm-supervise")), {
        **env_without_nvml,
        **_environment(python_with_wheel),
        **runtime,
    }


def test_the_installed_command_knows_its_version_and_checks_the_machine(
    installed: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    command, env = installed

    def output(*arguments: str) -> str:
        return subprocess.run(
            [command, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] in output("--version")
    assert "transformer_tabular" in output("check")


def test_the_installed_command_shows_the_dashboard(installed: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    command, env = installed
    (tmp_path / "plan.toml").write_text('[runs.sleeper]\ncommand = ["sleep", "600"]\n')
    arguments = ["--plan", "plan.toml"]
    screen = pexpect.spawn(command, arguments, cwd=str(tmp_path), env=env, dimensions=(24, 80), timeout=60)
    try:
        screen.expect("sleeper")
        screen.expect("running")
        screen.send("q")
        screen.expect(pexpect.EOF)
        screen.close()
        assert screen.exitstatus == 0
    finally:
        screen.close(force=True)
        subprocess.run([command, "down"], env=env, cwd=tmp_path, check=True, timeout=60)
