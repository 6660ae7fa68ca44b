"""A clock of the day that a test sets, for programs that it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class FakeClock:
    """A clock that is wrong by as many seconds as the test sets.

    Attributes:
        env: Environment of the programs that use it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        library = folder / "libclock.so"
        source = Path(__file__).with_name("clock.c")
        flags = ["-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["cc", *flags, "-o", str(library), str(source), "-ldl"], check=True)
        self.env = {"LD_PRELOAD": str(library), "FAKE_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """Let the clock tell `seconds` more than the machine's own."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(str(seconds))
        os.replace(temporary, self._file)  # noqa: PTH105
