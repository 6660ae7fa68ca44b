"""Names by which a job is found again, whatever its number.

Job numbers do not identify a job: a controller that was killed hands the newest numbers out again. So each job carries
a token of session, run and attempt, once as its name and once as its comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

PREFIX = "pmssm"
_TOKEN = re.compile(r"pmssm\.([0-9a-f]{12})\.([1-9][0-9]{0,8})\.([A-Za-z0-9][A-Za-z0-9_.-]{0,63})", re.ASCII)


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
        return f"{PREFIX}.{self.session}.{self.attempt}.{self.run}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token in a job's name or comment, or None if it is not one of ours."""
        match = _TOKEN.fullmatch(text)
        return cls(session=match[1], run=match[3], attempt=int(match[2])) if match else None
