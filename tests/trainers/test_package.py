"""`import pmssm.trainers` is light, and one line loads a model."""

from __future__ import annotations

import subprocess
import sys

import pmssm.trainers
from pmssm.trainers.inference.model_file import load_surrogate

SLOW = "{'torch', 'numpy', 'pandas', 'uproot', 'matplotlib'}"


def output_of(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    return done.stdout.strip()


def test_importing_the_package_imports_none_of_the_slow_libraries() -> None:
    assert output_of(f"import sys, pmssm.trainers; print({SLOW} & set(sys.modules) or 'none')") == "none"


def test_load_surrogate_is_imported_from_the_package() -> None:
    assert pmssm.trainers.load_surrogate is load_surrogate


def test_an_unknown_name_is_an_attribute_error() -> None:
    code = "import pmssm.trainers\ntry:\n    pmssm.trainers.nothing\nexcept AttributeError as error:\n    print(error)"
    assert output_of(code) == "module 'pmssm.trainers' has no attribute 'nothing'"
