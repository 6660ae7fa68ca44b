"""Train pMSSM surrogates and use them; this package does not depend on the supervisor.

`load_surrogate` reads a trained model and returns a function of physical parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inference import load_surrogate

__all__ = ["load_surrogate"]


def __getattr__(name: str) -> object:
    """Import `load_surrogate` at its first use, because torch takes two seconds to import."""
    if name == "load_surrogate":
        from .inference import load_surrogate  # noqa: PLC0415

        return load_surrogate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
