"""Run the parts of a GPU session, what must be known first at first; started by `benchmarks/gpu_session.sh`.

Three files come of it, written anew after every part: CARD.md and CARD.json with the results, errors_CARD.log with
what the parts wrote to stderr. Time that a part does not use goes to the next one.
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
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from processes import end_processes

HERE = Path(__file__).resolve().parent.parent
LAST_LINES = 15
LEAST_SECONDS = 5.0
END_GRACE_S = 10.0
"""Between SIGTERM and SIGKILL for a part whose time is over."""
END_MARGIN_S = 30.0
"""That a part of several checks has for the last one that it begins."""
KEPT_CHARACTERS = 200_000
"""Of what a part writes to stdout, and to stderr, at most: the last ones."""
MARK = "GPU_SESSION_PART"
"""Variable in the environment of all processes of a part, of another value for each part."""
CPU_PATIENCE = 4
"""Times as long as on a GPU a part may take on a CPU."""
ABOUT_TORCH = """
import json, torch
about = {"torch": str(torch.__version__), "cuda": str(torch.version.cuda)}
if DEVICE == "cuda":
    about["card"] = torch.cuda.get_device_name()
    about["capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
print(json.dumps(about))
"""
SMI_FIELDS = "driver_version,memory.used,clocks.sm,temperature.gpu,compute_mode,mig.mode.current"


@dataclass(frozen=True)
class Part:
    """A command of the benchmarks.

    Attributes:
        seconds: Its share of the session on a GPU.
        command: FILE stands for a JSON file that it writes, SECONDS for the time it has.
    """

    name: str
    title: str
    seconds: float
    command: list[str]

    def arguments(self, file: Path, seconds: float) -> list[str]:
        """Return the command with this file and this time."""
        words = {"FILE": str(file), "SECONDS": f"{max(1.0, seconds - END_MARGIN_S):.0f}"}
        return [words.get(word, word) for word in self.command]


@dataclass
class Outcome:
    """What a part has come to."""

    name: str
    title: str
    command: str
    seconds: float = 0.0
    exit_code: int | None = None
    """None where the part did not begin, or cannot be ended."""
    note: str = ""
    output: str = ""
    last_errors: list[str] = field(default_factory=list)
    figures: Any = None
    """The content of the JSON file that the part wrote."""

    @property
    def failed(self) -> bool:
        """Whether the part began and did not end well."""
        return bool(self.exit_code) or (self.exit_code is None and self.seconds > 0)

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
        Part("correctness", "Correctness", 80, ["gpu_check.py", *on, *few]),
        Part("product", "The product on the real driver", 240,
             ["gpu/product.py", *on, "--seconds", "SECONDS", "--output", "FILE"]),
        Part("step", "Baseline and ours", 110, compare),
        Part("profile", "One step", 40, ["train_step.py", *on, "--profile", *few]),
        Part("ensembles", "Ensembles", 80, ["ensemble.py", *on, *sizes, *rounds, *few]),
        Part("sharing", "Three models in turn and at once", 60, ["sharing.py", *on, *few, *rounds]),
        Part("bf16", "Baseline and ours, bf16", 100, [*compare, "--precision", "bf16"]),
        Part("compiled", "Baseline and ours, compiled", 180, [*compare, "--compile"]),
        Part("compiled_correctness", "Correctness, compiled", 120,
             ["gpu_check.py", *on, "--models", "mlp", *(["transformer"] if gpu else []), "--compile"]),
    ]  # fmt: skip


def run_part(part: Part, seconds: float, errors: Path, folder: Path) -> Outcome:
    """Run a part for at most `seconds`; its stdout is kept, its stderr goes to the end of `errors`.

    No process of the part is left running afterwards, however it has ended.
    """
    file = folder / f"{part.name}.json"
    command = [sys.executable, *part.arguments(file, seconds)]
    outcome = Outcome(part.name, part.title, " ".join(["python", *part.command]))
    if seconds < LEAST_SECONDS:
        outcome.note = "no time left"
        return outcome
    began, mark = time.monotonic(), uuid.uuid4().hex
    with (folder / "stdout").open("wb+") as stdout, (folder / "stderr").open("wb+") as stderr:
        process = subprocess.Popen(
            command, cwd=HERE, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, MARK: mark},
        )  # fmt: skip
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            outcome.note = f"ended after its {seconds:.0f} s"
        finally:
            outcome.exit_code = end_part(process, mark)
        outcome.output, written = last_characters(stdout), last_characters(stderr)
    outcome.seconds = round(time.monotonic() - began, 1)
    if outcome.failed:
        outcome.note = outcome.note or f"exit code {outcome.exit_code}"
        outcome.last_errors = written.strip().splitlines()[-LAST_LINES:]
    with errors.open("a") as log:
        log.write(f"===== {part.title}: exit code {outcome.exit_code}, {outcome.seconds:.0f} s\n{written}\n")
    outcome.figures = read_json(file)
    return outcome


def end_part(process: subprocess.Popen[bytes], mark: str) -> int | None:
    """End what still runs of a part and return its exit code; None where it waits in the driver and cannot be ended."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=END_GRACE_S)
    end_processes(MARK, mark)
    with suppress(subprocess.TimeoutExpired):
        return process.wait(timeout=END_GRACE_S)
    return None


def last_characters(file: IO[bytes]) -> str:
    """Return the end of a file, of at most KEPT_CHARACTERS."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT_CHARACTERS))
    return file.read().decode(errors="replace")


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
    """Return what the figures are measured on; `card` is fit for a file's name.

    Other processes look: a context of this one would occupy the GPU during all parts. What cannot be had becomes the
    last line of the error, and the parts are tried all the same.
    """
    about: dict[str, Any] = {
        "card": device,
        "python": sys.version.split()[0],
        "cores": len(os.sched_getaffinity(0)),
    }
    text = output_of([sys.executable, "-c", f"DEVICE = {device!r}{ABOUT_TORCH}"], seconds=90)
    try:
        about |= json.loads(text)
    except ValueError:
        about["torch"] = text
    if device == "cuda":
        command = ["nvidia-smi", f"--query-gpu={SMI_FIELDS}", "--format=csv,noheader"]
        about[SMI_FIELDS] = output_of(command, seconds=20)
    return {**about, "card": re.sub(r"[^A-Za-z0-9._-]+", "_", about["card"])}


def output_of(command: list[str], seconds: float) -> str:
    """Return what a command prints, or the last line of why it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    return "; ".join(lines[-1:] if done.returncode else lines)


def run_parts(chosen: list[Part], options: argparse.Namespace, deadline: float) -> Iterator[Outcome]:
    """Run one part after another and write the results after each."""
    options.folder.mkdir(parents=True, exist_ok=True)
    about = machine(options.device)
    base = options.folder / about["card"]
    errors = options.folder / f"errors_{about['card']}.log"
    errors.write_text("")
    outcomes: list[Outcome] = []
    patience = 1 if options.device == "cuda" else CPU_PATIENCE
    spare = 0.0
    with tempfile.TemporaryDirectory(prefix="gpu_session-") as folder:
        for part in chosen:
            share = patience * part.seconds + spare
            outcome = run_part(part, min(share, deadline - time.monotonic()), errors, Path(folder))
            spare = max(0.0, share - outcome.seconds)
            outcomes.append(outcome)
            write_results(base, about, outcomes)
            yield outcome


def summary(outcomes: list[Outcome]) -> str:
    """Return a line for each part: the last thing on the screen is what a cut-off output still has."""
    lines = [f"{outcome.seconds:5.0f} s  {outcome.title}: {outcome.note or 'ok'}" for outcome in outcomes]
    return "\n".join(["", *lines])


def main() -> None:
    """Run what was asked for; exit with 1 where a part has failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the results")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--seconds", type=float, default=540, help="of the whole session")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in parts("cuda")], help="these parts")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no part is left running
    chosen = [part for part in parts(options.device) if options.only is None or part.name in options.only]
    outcomes = []
    for outcome in run_parts(chosen, options, deadline):
        outcomes.append(outcome)
        print(outcome.markdown(), flush=True)
    print(summary(outcomes), flush=True)
    sys.exit(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    main()
