"""The package as users get it: as a wheel, and beside the well-known package that is called `supervisor`."""

import os
import subprocess
import sys
import tomllib
import venv
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
    """Return an environment in which the wheel finds our dependencies, but not our editable install."""
    (own,) = (python.parents[1] / "lib").glob("python*/site-packages")  # first, for the version of the wheel
    sites = [entry for entry in sys.path if entry.endswith("site-packages")]  # here, .pth files have no effect
    return {"PYTHONPATH": os.pathsep.join([str(own), *sites]), "PATH": os.environ["PATH"]}


def _output(python: Path, *command: str | Path, cwd: Path | None = None) -> str:
    """Return what a command that must succeed prints in the environment of that interpreter."""
    done = subprocess.run(
        command, cwd=cwd, env=_environment(python), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


BOTH = "import supervisor, pmssm.supervisor as ours; print(ours.__file__, supervisor.__path__[0], sep='\\n')"


def test_the_wheel_lives_beside_the_package_supervisor(python_with_wheel: Path) -> None:
    ours, theirs = _output(python_with_wheel, python_with_wheel, "-c", BOTH).splitlines()
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
    lines = _output(python_with_wheel, python_with_wheel, "-c", program).splitlines()
    assert lines == ["prepare transformer transformer_tabular mlp report", "3", "1", "3"]


def test_the_list_of_packages_is_that_of_the_folders() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        ".".join((name, *path.parent.relative_to(ROOT / top).parts))
        for name, top in tool["package-dir"].items()
        for path in (ROOT / top).rglob("*.py")
    }
    assert sorted(tool["packages"]) == sorted(folders)


def test_the_wheel_has_the_command_and_the_module(python_with_wheel: Path) -> None:
    command = python_with_wheel.with_name("pmssm-supervise")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert _output(python_with_wheel, command, "--version") == f"pmssm-supervise, version {project['version']}"
    surrogate = python_with_wheel.with_name("pmssm-surrogate")
    assert _output(python_with_wheel, surrogate, "--version") == f"pmssm-surrogate, version {project['version']}"
    usage = "Train the pMSSM surrogates in parallel"
    assert usage in _output(python_with_wheel, command, "--help")
    assert usage in _output(python_with_wheel, python_with_wheel, "-m", "pmssm.supervisor", "--help")
    assert "transformer_tabular" in _output(python_with_wheel, command, "check")


def test_the_wheel_has_a_command_for_trained_models(python_with_wheel: Path) -> None:
    command = python_with_wheel.with_name("pmssm-surrogate")
    for verb in ([], ["predict"]):
        text = _output(python_with_wheel, command, *verb, "--help")
        assert text.startswith(" ".join(["Usage: pmssm-surrogate", *verb]))
        assert text == _output(python_with_wheel, python_with_wheel, "-m", "pmssm.trainers", *verb, "--help")


def test_the_wheel_runs_a_session_and_shows_it_in_the_dashboard(python_with_wheel: Path, tmp_path: Path) -> None:
    command = python_with_wheel.with_name("pmssm-supervise")
    (tmp_path / "plan.toml").write_text('[runs.alpha]\ncommand = ["true"]\n')
    assert "1 succeeded" in _output(python_with_wheel, command, "--headless", "--plan", "plan.toml", cwd=tmp_path)
    env = {**_environment(python_with_wheel), "TERM": "xterm-256color"}
    terminal = pexpect.spawn(
        str(command), ["attach"], cwd=str(tmp_path), env=env, dimensions=(24, 100), encoding="utf-8", timeout=60
    )
    try:
        terminal.expect_exact("alpha")
        terminal.expect_exact("succeeded")
        terminal.send("q")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 0
    finally:
        terminal.close(force=True)
