"""The engine is killed at random moments, many times; the journal is compared with what really ran."""

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter

import pytest
from e2e.box import Box

LAYERS, WIDTH = 20, 2
FEWEST_KILLS = 10  # that a session of so many layers always lasts for

# Every run writes one line when it starts and one when it ends, by itself, into a file that only it appends to.
COMMAND = "echo start $$ >> {run}.ran; sleep {seconds}; echo end >> {run}.ran; exit {code}"


def _plan(rng: random.Random) -> tuple[str, dict[str, int]]:
    """A ladder of short runs, each layer waiting for the one before; and the exit code of each run."""
    lines, codes, before = [], {}, []
    for layer in range(LAYERS):
        names = [f"run{layer}_{column}" for column in range(WIDTH)]
        for name in names:
            codes[name] = 7 if layer == LAYERS - 1 and name == names[0] else 0
            command = COMMAND.format(run=name, seconds=round(rng.uniform(0, 0.3), 2), code=codes[name])
            lines += [f"[runs.{name}]", f"command = {json.dumps(['sh', '-c', command])}", 'slot = "none"']
            lines += [f"after = {json.dumps(before)}"]
        before = names
    return "\n".join(lines) + "\n", codes


def _kill_engines(box: Box) -> int:
    """How many engines were there to kill."""
    kills = 0
    for pid in box.engines():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            kills += 1
    return kills


@pytest.mark.timeout(300)
def test_an_engine_killed_at_random_moments_starts_every_run_exactly_once(box: Box) -> None:
    seed = 20_260_122
    rng = random.Random(seed)
    text, codes = _plan(rng)
    box.ok("--detach", "--plan", box.plan(text))
    end = time.monotonic() + 240
    kills = 0
    while (status := box.status())["state"] != "finished":
        assert time.monotonic() < end, status
        time.sleep(rng.uniform(0, 0.25))  # the random moment
        kills += _kill_engines(box)
    assert kills >= FEWEST_KILLS
    assert {name: run["exit_code"] for name, run in status["runs"].items()} == codes
    ran = {name: (box.folder / f"{name}.ran").read_text().split("\n") for name in codes}
    for name, lines in ran.items():
        assert [line.split()[0] for line in lines if line] == ["start", "end"], (name, lines, f"seed {seed}")
    ended = Counter(event["run"] for event in box.journal() if event["kind"] == "attempt_ended")
    assert ended == Counter(list(codes))
    assert box.living() == []
