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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from processes import end_processes
from product_checks import check_verb, dashboard, down, engine_killed, gpus_option, sharing, testing, usage
from product_session import Context, Skipped
from product_training_checks import out_of_memory, predictions, stop_and_resume

CHECKS: tuple[Callable[[Context], str], ...] = (
    check_verb, testing, gpus_option, sharing, usage, dashboard, engine_killed, down, predictions, stop_and_resume,
    out_of_memory,
)  # fmt: skip
"""In the order of the questions that must be answered first."""
LAST_LINES = 12
RUNTIME_FOLDER = "XDG_RUNTIME_DIR"
"""Variable that all processes of the checks inherit, with the folder of the checks as value."""


@dataclass(frozen=True)
class Result:
    """How a check went."""

    check: str
    outcome: str
    """ok, FAILED, or skipped."""
    seconds: float
    detail: str


def run_check(check: Callable[[Context], str], context: Context) -> Result:
    """Run a check; whatever it raises is its result, with the traceback and the ends of all logs on stderr."""
    began, name = time.time(), check.__name__.removesuffix("_verb")
    try:
        outcome, detail = "ok", check(context)
    except Skipped as reason:
        outcome, detail = "skipped", str(reason)
    except Exception as error:  # the next check is to be tried in any case
        print(f"----- {name}", file=sys.stderr)
        traceback.print_exc()
        print_ends_of_logs(context.folder, began)
        outcome, detail = "FAILED", f"{type(error).__name__}: {error}"
        if not context.is_training:  # what it has left would disturb the next check
            end_processes(RUNTIME_FOLDER, str(context.folder))
    return Result(name, outcome, round(time.time() - began, 1), " ".join(detail.split()))


def print_ends_of_logs(folder: Path, since: float) -> None:
    """Print the last lines of all logs below `folder` that were written `since`, to stderr."""
    for path in sorted(folder.rglob("*.log")):
        if path.stat().st_mtime >= since:
            lines = path.read_text(errors="replace").splitlines()[-LAST_LINES:]
            print(f"--- {path.relative_to(folder)}", *lines, sep="\n", file=sys.stderr)


def run_checks(context: Context, seconds: float) -> Iterator[Result]:
    """Run all checks, none after `seconds`, and print a table."""
    deadline = time.monotonic() + seconds
    print("| check | | s | detail |\n| --- | --- | --- | --- |")
    for check in CHECKS:
        late = time.monotonic() > deadline
        result = Result(check.__name__, "skipped", 0.0, "no time left") if late else run_check(check, context)
        print(f"| {result.check} | {result.outcome} | {result.seconds} | {result.detail} |", flush=True)
        yield result


def main() -> None:
    """Check, print, write after every check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--seconds", type=float, default=240, help="no check is begun after so many")
    parser.add_argument("--output", type=Path, help="writes this JSON file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="product-", ignore_cleanup_errors=True) as folder:
        os.environ[RUNTIME_FOLDER] = folder
        context = Context(Path(folder), on_gpu=options.device == "cuda")
        try:
            for result in run_checks(context, options.seconds):
                results.append(result)
                write_results(options.output, results, context.screen)
        finally:
            end_processes(RUNTIME_FOLDER, folder)
    if context.screen:
        print(f"\nThe dashboard:\n\n```text\n{context.screen}\n```")
    sys.exit(any(result.outcome == "FAILED" for result in results))


def write_results(path: Path | None, results: list[Result], screen: str) -> None:
    """Write what is known so far, in one go: the script may be killed at any time."""
    if path is not None:
        content = {"checks": [asdict(result) for result in results], "screen": screen}
        side_file = path.with_suffix(".part")
        side_file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        side_file.replace(path)


if __name__ == "__main__":
    main()
