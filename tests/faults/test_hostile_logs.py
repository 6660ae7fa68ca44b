"""Logs that attack whoever reads them."""

import contextlib
import json
import re
import shutil
import sys
import time
from pathlib import Path

import pexpect
import pyte
import pytest
from support.cli_sandbox import COMMAND, CliSandbox
from support.process_table import LONG_S, POLITE, engine_of, exit_of, kill_engine, pid_of, shell_run, wait_until_printed
from support.waiting import wait_until

# Each attack and, in it, the word MARK that must not come out inside a sequence. What a terminal would show stays.
ATTACKS = {
    "colour": b"\x1b[31337mshown-colour\x1b[0m",
    "clear screen": b"\x1b[2J\x1b[31337Hshown-clear",
    "alternate screen": b"\x1b[?31337h\x1b[?1049lshown-alternate",
    "title": b"\x1b]0;MARK-title\x07shown-title",
    "link": b"\x1b]8;;evil://MARK\x1b\\shown-link\x1b]8;;\x1b\\",
    "clipboard": b"\x1b]52;c;TUFSSw==\x07shown-clipboard",
    "device control": b"\x1bPMARK-dcs\x1b\\shown-dcs",
    "application": b"\x1b_MARK-apc\x1b\\shown-apc",
    "privacy": b"\x1b^MARK-pm\x1b\\shown-pm",
    "C1 control sequence": b"\x9b1mshown-c1",
    "C1 in UTF-8": b"\xc2\x9b31337mshown-c1-utf8",
    "C1 string": b"\xc2\x9d0;MARK-c1-title\xc2\x9cshown-c1-string",
    "answer back": b"\x05\x1b[c\x1b[6nshown-answerback",
    "bell and backspace": b"\x07\x08\x08\x7fshown-bell",
    "carriage return": b"hidden-by-return\rshown-return",
    "right to left": "\u202e\u2066shown-rtl\u200b\u200d\ufeff".encode(),
    "markup": b"[bold red]shown-markup[/x][@click=app.quit]",
    "NUL and bad bytes": b"\x00\xff\xfe\x80shown-nul",
    "cut off": b"shown-cut\x1b]0;MARK-never-ended",
    "reset": b"\x1bc\x1b#8\x1b(0shown-reset",
}
SHOWN = sorted({match.decode() for attack in ATTACKS.values() for match in re.findall(rb"shown-[a-z0-9-]+", attack)})
# Numbers and words that no program of ours would ever send by itself.
FROM_THE_LOG = re.compile(
    rb"31337|MARK|TUFSSw|evil://|\x05|\x1b\[c|\x1b\[6n|\x1bc|\x1b#8|\x1b\(0|\xe2\x80\xae|\xe2\x80\x8b"
)
LAST = "the last line"


@pytest.fixture
def hostile(box: CliSandbox) -> CliSandbox:
    """A session whose run has written every attack and still runs."""
    (box.folder / "attacks").write_bytes(b"\n".join([*ATTACKS.values(), LAST.encode(), b""]))
    script = "cat attacks; until test -e go; do sleep 0.1; done"
    box.ok("--detach", "--plan", box.plan(shell_run("evil", script)))
    pid_of(box, "evil")
    wait_until(lambda: LAST.encode() in next(box.logs.glob("evil_*.log")).read_bytes(), LONG_S, "the attacks")
    return box


def test_the_dashboard_sends_no_sequence_of_a_logs_to_its_terminal(hostile: CliSandbox) -> None:
    env = {name: value for name, value in hostile.env.items() if name not in ("COLUMNS", "LINES")} | {
        "TERM": "xterm-256color"
    }
    screen = pyte.Screen(120, 120)  # tall enough for the whole log
    stream = pyte.ByteStream(screen)
    terminal = pexpect.spawn(str(COMMAND), ["attach", "--logs", str(hostile.logs)], env=env, dimensions=(120, 120))
    received = b""
    try:
        end = time.monotonic() + LONG_S
        while missing := [word for word in [*SHOWN, LAST] if not any(word in line for line in screen.display)]:
            if time.monotonic() > end:
                pytest.fail(f"no {missing} on the screen:\n" + "\n".join(line.rstrip() for line in screen.display))
            with contextlib.suppress(pexpect.TIMEOUT):
                data = terminal.read_nonblocking(1 << 16, timeout=0.1)
                received += data
                stream.feed(data)
        assert terminal.isalive()
        assert "hidden-by-return" not in "\n".join(screen.display)
        assert any("[bold red]shown-markup[/x][@click=app.quit]" in line for line in screen.display)
    finally:
        terminal.close(force=True)
    found = FROM_THE_LOG.findall(received)
    assert found == [], found


def test_what_logs_prints_is_clean_whether_followed_or_not(hostile: CliSandbox) -> None:
    follower = hostile.start("logs", "evil", "-f")
    assert follower.stdout is not None
    followed = ""
    while LAST not in followed:
        followed += follower.stdout.readline()
    follower.kill()
    for text in (hostile.ok("logs", "evil"), hostile.ok("logs", "evil", "-n", "30"), followed):
        assert all(char.isprintable() or char == "\n" for char in text)
        assert [word for word in SHOWN if word not in text] == []
        assert FROM_THE_LOG.findall(text.encode()) == []


def test_a_hostile_result_and_a_hostile_error_reach_no_screen(box: CliSandbox) -> None:
    result = {"model": "\x1b]0;MARK\x07shown", "\x1b[31337mkey": 1.0, "[/x]": "\u202ex"}
    script = f"echo '{json.dumps(result)}' > {{output}}/result.json".replace("{", "{{").replace("}", "}}")
    script = script.replace("{{output}}", "{output}")
    plan = shell_run("a", script) + '[runs.b]\ncommand = ["./no\\u001b[31337msuch"]\n'
    done = box.run("--headless", "--plan", box.plan(plan))
    assert done.returncode == 1 and "shown" in done.stdout
    for text in (done.stdout, box.ok("status"), box.ok("logs"), box.ok("logs", "b")):
        assert all(char.isprintable() or char == "\n" for char in text), text
        assert "MARK" not in text


def peak_mib(pid: int) -> float:
    """The most memory that a process ever held."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def test_a_line_of_100_mb_costs_no_memory_and_what_follows_it_is_seen(box: CliSandbox) -> None:
    script = "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo Epoch 7/9; until test -e go; do sleep 0.1; done"
    box.ok("--detach", "--plan", box.plan(shell_run("a", script, progress=r"Epoch (?P<epoch>\d+)/")))
    try:
        status = box.wait(lambda status: status["runs"]["a"]["progress"].get("epoch") == 7)
        assert peak_mib(status["engine_pid"]) < 150
        shown = box.ok("logs", "a").splitlines()
        assert shown[-1] == "Epoch 7/9" and max(map(len, shown)) <= 4096 and shown[-2].startswith("xxx")
        (box.folder / "go").touch()
        assert exit_of(box, "a")["exit_code"] == 0
    finally:
        box.close()
        shutil.rmtree(box.logs)


FLOOD = """
import os, sys, time
line = b"2026-01-22 15:31:00 [info] transformer | Epoch %04d | Train MSE = 0.123456 | Val MSE = 0.129876 | LR = 1e-4\\n"
number = 0
while not os.path.exists("enough"):
    number += 1
    os.write(1, (line % (number % 9999)) * 9000)  # 1 MB
    time.sleep(0.01 if number < 1000 else 1)  # a disk is not endless
os.write(1, line % 9999)
while not os.path.exists("go"):
    time.sleep(0.02)
"""


def test_a_pattern_that_would_search_a_line_for_years_is_given_up_with_a_note(box: CliSandbox) -> None:
    plan = shell_run("slow", f"echo {'a' * 60}!; {POLITE}", progress="(?P<epoch>(a|aa)+)$")
    plan += shell_run("other", f"echo Epoch 3; {POLITE}", progress=r"Epoch (?P<epoch>\d+)")
    box.ok("--detach", "--plan", box.plan(plan))
    for run in ("slow", "other"):
        wait_until_printed(box, run, "ready")
    status = box.wait(lambda status: status["runs"]["other"]["progress"].get("epoch") == 3)
    assert any("slow: progress unknown, because its `progress` pattern is too slow" in note for note in status["notes"])
    assert status["runs"]["slow"]["state"] == "running"
    kill_engine(box)
    assert box.states() == {"slow": "running", "other": "running"}
    box.ok("down")
    assert exit_of(box, "slow")["exit_code"] == 143
    assert box.states() == {"slow": "stopped", "other": "stopped"}


def test_a_flood_of_100_mb_a_second_keeps_nobody_from_an_answer(box: CliSandbox) -> None:
    (box.folder / "flood.py").write_text(FLOOD)
    progress = r"Epoch (?P<epoch>\d+) \| Train MSE = (?P<train_loss>\S+) \| Val MSE = (?P<val_loss>\S+)"
    run = {"command": [sys.executable, "flood.py"], "slot": "none", "progress": progress}
    lines = [f"{key} = {json.dumps(value)}" for key, value in run.items()]
    box.ok("--detach", "--plan", box.plan("\n".join(["[runs.a]", *lines, ""])))
    try:
        engine = engine_of(box)
        seen: list[int | None] = []
        while len(set(seen)) < 4:  # answered in the middle of it, and with news
            seen.append(box.status()["runs"]["a"]["progress"].get("epoch"))
        assert peak_mib(engine) < 150
        (box.folder / "enough").touch()
        box.wait(lambda status: status["runs"]["a"]["progress"].get("epoch") == 9999)
        assert box.ok("logs", "a", "-n", "1").strip().endswith("LR = 1e-4")
        (box.folder / "go").touch()
        assert exit_of(box, "a")["exit_code"] == 0
    finally:
        box.close()
        shutil.rmtree(box.logs)
