"""Benchmarks are run by hand, so what they import could be renamed without anybody noticing."""

import ast
import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("path", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_what_a_benchmark_imports_of_the_package_exists(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    for found in imports:
        if found.module is not None and found.module.startswith("pmssm."):
            module = importlib.import_module(found.module)
            for name in found.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{found.module}.{name.name}")
