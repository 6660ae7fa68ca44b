"""Fixtures of the fault tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox

NOBODY = 65534
# It may read everything, as an interpreter below /root makes necessary, and do nothing else to what is others'.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
)


@pytest.fixture(scope="session")
def as_nobody() -> tuple[str, ...]:
    """What makes a command that of a user without any privilege, if that user can run ours."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, can become somebody else")
    importing = [*AS_NOBODY, "sh", "-c", '"$0" -c "import pmssm.supervisor.engine.engine"', sys.executable]
    if subprocess.run(importing, check=False, capture_output=True, cwd="/").returncode != 0:
        pytest.skip("the installed package cannot be read by others")
    return AS_NOBODY


@pytest.fixture
def nobodys_box(box: CliSandbox, as_nobody: tuple[str, ...]) -> Iterator[CliSandbox]:
    """A box of a user without any privilege, as users are; the tests themselves run as root."""
    with tempfile.TemporaryDirectory(prefix="pmssm-") as folder:  # pytest's own folder is closed to others
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        box.folder = Path(folder) / "work"
        box.folder.mkdir()
        box.logs = box.folder / "logs"
        box.env = {**box.env, "XDG_RUNTIME_DIR": str(runtime), "HOME": folder, "TMPDIR": folder}
        box.prefix = as_nobody
        for path in (Path(folder), runtime, box.folder):
            os.chown(path, NOBODY, NOBODY)
        yield box
        box.close()


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a program, or with `-shared` a library, of a C source."""

    def build(name: str, source: str, *flags: str) -> Path:
        folder = tmp_path_factory.mktemp("c")
        (folder / "source.c").write_text(source)
        words = ["cc", "-O1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *flags]
        subprocess.run([*words, "-o", str(folder / name), str(folder / "source.c"), "-ldl"], check=True)
        return folder / name

    return build
