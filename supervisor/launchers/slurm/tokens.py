"""Names by which a job is found again, whatever its number.

Job numbers do not identify a job: a controller that was killed hands the newest numbers out again. So each job carries
a token of run, session and attempt, once as its name and once as its comment. It begins with the run, the only part
that squeue's narrow column of names shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

PREFIX = "pmssm"
_RUN = r"(?P<run>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})"
_ATTEMPT = rf"{PREFIX}\.(?P<session>[0-9a-f]{{12}})\.(?P<attempt>[1-9][0-9]{{0,8}})"
_TOKEN = re.compile(rf"{_RUN}\.{_ATTEMPT}", re.ASCII)
_OLD_TOKEN = re.compile(rf"{_ATTEMPT}\.{_RUN}", re.ASCII)  # of jobs submitted before the run came first


@dataclass(frozen=True)
class JobToken:
    """The attempt that a job carries out.

    Attributes:
        session: 12 hexadecimal digits that stand for the session's folder.
        run: Name of the run.
        attempt: Number of the attempt, from 1.
    """

    session: str
    run: str
    attempt: int

    def __post_init__(self) -> None:
        """Check that the token can be read back.

        Raises:
            ValueError: A part is malformed.
        """
        if _TOKEN.fullmatch(str(self)) is None:
            raise ValueError(f"not a job token: {str(self)!r}")

    def __str__(self) -> str:
        return f"{self.run}.{PREFIX}.{self.session}.{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token in a job's name or comment, or None if it is not one of ours."""
        match = _TOKEN.fullmatch(text) or _OLD_TOKEN.fullmatch(text)
        return cls(match["session"], match["run"], int(match["attempt"])) if match else None
