"""Whether the product works on a real driver: `python benchmarks/gpu/product.py`. Exits with 1 where it does not.

Each check has a deadline of its own; one that fails does not keep the next from being tried. With `--device cpu`
everything runs that needs no GPU, so that the script itself can be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from product_checks import CHECKS, Context, NeedsGpu
from product_session import end_processes


@dataclass(frozen=True)
class Result:
    """How a check went."""

    check: str
    outcome: str
    """ok, FAILED, or skipped."""
    seconds: float
    detail: str


def run_check(check: Callable[[Context], str], context: Context) -> Result:
    """Run a check; whatever it raises is its result, with the traceback on stderr."""
    began, name = time.monotonic(), check.__name__.removesuffix("_verb")
    try:
        outcome, detail = "ok", check(context)
    except NeedsGpu:
        outcome, detail = "skipped", "needs a GPU"
    except Exception as error:  # the next check is to be tried in any case
        traceback.print_exc()
        outcome, detail = "FAILED", f"{type(error).__name__}: {error}"
    return Result(name, outcome, round(time.monotonic() - began, 1), " ".join(detail.split()))


def run_checks(context: Context, seconds: float) -> list[Result]:
    """Run all checks, none after `seconds`, and print a table."""
    deadline = time.monotonic() + seconds
    print("| check | | s | detail |\n| --- | --- | --- | --- |")
    results = []
    for check in CHECKS:
        late = time.monotonic() > deadline
        result = Result(check.__name__, "skipped", 0.0, "no time left") if late else run_check(check, context)
        print(f"| {result.check} | {result.outcome} | {result.seconds} | {result.detail} |", flush=True)
        results.append(result)
    return results


def main() -> None:
    """Check, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--seconds", type=float, default=240, help="no check is begun after so many")
    parser.add_argument("--output", type=Path, help="writes this JSON file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    with tempfile.TemporaryDirectory(prefix="product-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        context = Context(Path(folder), on_gpu=options.device == "cuda")
        try:
            results = run_checks(context, options.seconds)
        finally:
            end_processes(context.folder)
    if context.screen:
        print(f"\nThe dashboard:\n\n```text\n{context.screen}\n```")
    if options.output:
        content = {"checks": [asdict(result) for result in results], "screen": context.screen}
        options.output.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    sys.exit(any(result.outcome == "FAILED" for result in results))


if __name__ == "__main__":
    main()
