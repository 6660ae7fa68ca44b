"""Run the parts of a GPU session, what must be known first at first; started by `benchmarks/gpu_session.sh`.

Three files come of it, written anew after every part: CARD.md and CARD.json with the results, errors_CARD.log with
everything that the parts wrote to stderr. Time that a part does not use goes to the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
LAST_LINES = 15
LEAST_SECONDS = 5.0
END_GRACE_S = 10.0
"""Between SIGTERM and SIGKILL for a part whose time is over."""


@dataclass(frozen=True)
class Part:
    """A command of this folder; `seconds` is its share of the session, and FILE in `command` a JSON file it writes."""

    name: str
    title: str
    seconds: float
    command: list[str]
    needs_gpu: bool = False


@dataclass
class Outcome:
    """What a part has come to."""

    name: str
    title: str
    command: str
    seconds: float = 0.0
    exit_code: int | None = None
    """None where the part did not begin."""
    note: str = ""
    output: str = ""
    last_errors: list[str] = field(default_factory=list)
    figures: Any = None
    """The content of the JSON file that the part wrote."""

    def markdown(self) -> str:
        """Return the section of the report."""
        lines = [f"## {self.title}", "", f"    {self.command}", "", self.output.strip()]
        if self.note:
            lines += ["", f"**{self.note}** ({self.seconds:.0f} s)"]
        if self.last_errors:
            lines += ["", "```text", *self.last_errors, "```"]
        return "\n".join(lines) + "\n"


def parts(device: str) -> list[Part]:
    """Return the parts for this device; on a CPU each does as little as it can."""
    on, gpu = ["--device", device], device == "cuda"
    few = [] if gpu else ["--models", "mlp"]
    steps = [] if gpu else ["--steps", "1"]
    rounds = ["--rounds", "3" if gpu else "1"]
    sizes = ["--sizes", *("1 4 16" if gpu else "1 2").split()]
    compare = ["train_step.py", *on, *rounds, *steps, *few, "--output", "FILE"]
    return [
        Part("correctness", "Correctness", 80 if gpu else 300, ["gpu_check.py", *on, *few]),
        Part("product", "The product on the real driver", 220 if gpu else 600,
             ["gpu/product.py", *on, "--seconds", "190" if gpu else "560", "--output", "FILE"]),
        Part("step", "Baseline and ours", 80, compare),
        Part("profile", "One step", 30, ["train_step.py", *on, "--profile", *few]),
        Part("ensembles", "Ensembles", 50, ["ensemble.py", *on, *sizes, *rounds, *few]),
        Part("sharing", "Three models in turn and at once", 50, ["sharing.py", *on, *few, *rounds]),
        Part("bf16", "Baseline and ours, bf16", 70, [*compare, "--precision", "bf16"], needs_gpu=True),
        Part("compiled", "Baseline and ours, compiled", 180, [*compare, "--compile"], needs_gpu=True),
        Part("compiled_correctness", "Correctness, compiled", 90, ["gpu_check.py", *on, "--models", "mlp", "--compile"],
             needs_gpu=True),
    ]  # fmt: skip


def run_part(part: Part, seconds: float, errors: Path, folder: Path) -> Outcome:
    """Run a part for at most `seconds`; its stdout is shown and kept, its stderr goes to the end of `errors`."""
    file = folder / f"{part.name}.json"
    command = [sys.executable, *(str(file) if word == "FILE" else word for word in part.command)]
    outcome = Outcome(part.name, part.title, " ".join(["python", *part.command]))
    if seconds < LEAST_SECONDS:
        outcome.note = "no time left"
        return outcome
    began = time.monotonic()
    with (folder / "stdout").open("w+") as stdout, (folder / "stderr").open("w+") as stderr:
        process = subprocess.Popen(
            command, cwd=HERE, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            outcome.exit_code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            outcome.exit_code = end_group(process)
            outcome.note = f"ended after its {seconds:.0f} s"
        stdout.seek(0)
        stderr.seek(0)
        outcome.output, written = stdout.read(), stderr.read()
    outcome.seconds = round(time.monotonic() - began, 1)
    if outcome.exit_code:
        outcome.note = outcome.note or f"exit code {outcome.exit_code}"
        outcome.last_errors = written.strip().splitlines()[-LAST_LINES:]
    with errors.open("a") as log:
        log.write(f"===== {part.title}: exit code {outcome.exit_code}, {outcome.seconds:.0f} s\n{written}\n")
    outcome.figures = read_json(file)
    return outcome


def end_group(process: subprocess.Popen[bytes]) -> int:
    """End a part and the processes it started, and return its exit code."""
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=END_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait(timeout=END_GRACE_S)


def read_json(file: Path) -> Any:  # noqa: ANN401 (whatever the part has to tell)
    """Return what a part wrote, None where it wrote nothing or not all of it."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def write_results(base: Path, about: dict[str, Any], outcomes: list[Outcome]) -> None:
    """Write the report and the figures as they stand."""
    head = [f"# {about['card']}", "", *(f"{key}: {value}  " for key, value in about.items()), ""]
    base.with_name(f"{base.name}.md").write_text("\n".join(head + [outcome.markdown() for outcome in outcomes]))
    content = {**about, "parts": [asdict(outcome) for outcome in outcomes]}
    base.with_name(f"{base.name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def machine(device: str) -> dict[str, Any]:
    """Return what the figures are measured on; `card` is fit for a file's name."""
    import torch  # noqa: PLC0415

    card = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    driver = ""
    if device == "cuda":
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
    return {
        "card": re.sub(r"[^A-Za-z0-9._-]+", "_", card),
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda),
        "driver": driver,
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    """Run what was asked for; exit with 1 where a part has failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the results")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--seconds", type=float, default=540, help="of the whole session")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in parts("cuda")], help="these parts")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    options.folder.mkdir(parents=True, exist_ok=True)
    about = machine(options.device)
    base = options.folder / about["card"]
    errors = options.folder / f"errors_{about['card']}.log"
    errors.write_text("")
    chosen = [part for part in parts(options.device) if options.only is None or part.name in options.only]
    outcomes: list[Outcome] = []
    spare = 0.0
    with tempfile.TemporaryDirectory(prefix="gpu_session-") as folder:
        for part in chosen:
            if part.needs_gpu and options.device == "cpu":
                continue
            limit = min(part.seconds + spare, deadline - time.monotonic())
            outcomes.append(run_part(part, limit, errors, Path(folder)))
            spare = max(0.0, part.seconds + spare - outcomes[-1].seconds)
            print(outcomes[-1].markdown(), flush=True)
            write_results(base, about, outcomes)
    print(summary(outcomes))
    sys.exit(any(outcome.exit_code for outcome in outcomes))


def summary(outcomes: list[Outcome]) -> str:
    """Return a line for each part: the last thing on the screen is what a cut-off output still has."""
    lines = [f"{outcome.seconds:5.0f} s  {outcome.title}: {outcome.note or 'ok'}" for outcome in outcomes]
    return "\n".join(["", *lines])


if __name__ == "__main__":
    main()
