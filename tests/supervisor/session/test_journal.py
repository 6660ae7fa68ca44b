"""The journal: what was appended is read, whatever tore its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.session.events import (
    ClockStepped,
    EngineStarted,
    Event,
    RetryScheduled,
    SessionFinished,
    SlotsChosen,
)
from pmssm.supervisor.session.journal import Journal, JournalError, read_journal
from support.events import GPU, ended, restart_requested, started, starting, stop_requested, voided

EVERY_KIND: list[Event] = [
    EngineStarted(at=1.0, pid=1, boot_id="b", clock_offset_s=-3.5),
    SlotsChosen(at=1.1, slots=(GPU,), mode="sequential", notes=('a note with "quotes", ümlauts\u2028and\r\nlines',)),
    starting(),
    started(),
    stop_requested(how="kill"),
    restart_requested(fresh=True),
    ended(signal=9, leftovers=2, max_rss_mib=12.5),
    starting(number=2, slot=None, fresh=True, log_offset=123),
    voided(number=2),
    RetryScheduled(at=41.0, run="a", delay_s=10.0),
    SessionFinished(at=60.0),
    ClockStepped(at=99.0, by_s=-2.0),
]


def write(path: Path, events: list[Event]) -> None:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_every_kind_of_event_reads_back_equal(path: Path) -> None:
    write(path, EVERY_KIND)
    assert read_journal(path) == EVERY_KIND
    assert path.read_bytes().count(b"\n") == len(EVERY_KIND)


def test_no_journal_is_no_events(path: Path) -> None:
    assert read_journal(path) == []


def test_the_journal_is_private(path: Path) -> None:
    write(path, EVERY_KIND)
    assert path.stat().st_mode & 0o777 == 0o600


def test_wherever_the_last_line_is_torn_it_never_happened(path: Path) -> None:
    write(path, EVERY_KIND)
    whole = path.read_bytes()
    start_of_last = whole[:-1].rindex(b"\n") + 1
    for end in range(start_of_last, len(whole)):
        path.write_bytes(whole[:end])
        assert read_journal(path) == EVERY_KIND[:-1], f"torn at byte {end}"


def test_wherever_the_last_line_is_torn_the_next_engine_goes_on_after_what_is_whole(path: Path) -> None:
    write(path, EVERY_KIND[:3])
    whole = path.read_bytes()
    start_of_last = whole[:-1].rindex(b"\n") + 1
    for end in range(start_of_last, len(whole)):
        path.write_bytes(whole[:end])
        write(path, [EngineStarted(at=9, pid=9)])
        assert read_journal(path) == [*EVERY_KIND[:2], EngineStarted(at=9, pid=9)], f"torn at byte {end}"


@given(tail=st.binary(max_size=50).filter(lambda data: b"\n" not in data))
def test_any_bytes_after_the_last_line_are_ignored_and_removed(
    tail: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    write(path, EVERY_KIND[:2])
    with path.open("ab") as file:
        file.write(tail)
    assert read_journal(path) == EVERY_KIND[:2]
    write(path, EVERY_KIND[2:3])
    assert read_journal(path) == EVERY_KIND[:3]


@pytest.mark.parametrize("damage", [b"garbage", b"", b"\0" * 40, b'{"kind": "unknown", "at": 1}', b"[1]", b"\xff\r\r"])
def test_a_damaged_line_in_the_middle_is_named(path: Path, damage: bytes) -> None:
    write(path, EVERY_KIND)
    lines = path.read_bytes().split(b"\n")
    lines[3] = damage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(
        JournalError, match=r"journal\.jsonl: line 4 is damaged \(.+\); the session cannot be resumed; to go on"
    ):
        read_journal(path)


def test_opening_a_journal_with_a_damaged_line_cuts_nothing_off(path: Path) -> None:
    write(path, EVERY_KIND)
    damaged = path.read_bytes().replace(b'"kind"', b"\r\n\r", 1)
    path.write_bytes(damaged)
    Journal(path).close()
    assert path.read_bytes() == damaged


FULL_DISKS = """
import resource, signal, sys
from pathlib import Path
from pmssm.supervisor.session.journal import Journal, read_journal
from pmssm.supervisor.session.events import EngineStarted
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
for limit in range(200, 270):
    path.unlink(missing_ok=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    journal, written = Journal(path), 0
    try:
        while True:
            journal.append(EngineStarted(at=written, pid=written))
            written += 1
    except OSError:
        print(limit, written, len(read_journal(path)), path.read_bytes()[-1])
    journal.close()
"""


def test_an_event_for_which_the_disk_has_no_room_leaves_no_trace(path: Path) -> None:
    """A limit on the file's size cuts a write short as a full disk does: here at every byte of an event."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISKS, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    outcomes = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    assert [limit for limit, *_ in outcomes] == list(range(200, 270))
    for limit, written, read, last_byte in outcomes:
        assert written == read > 0, f"with {limit} bytes"
        assert last_byte == ord("\n")


def test_once_there_is_room_again_the_journal_goes_on(path: Path) -> None:
    journal = Journal(path)
    journal.append(EVERY_KIND[0])
    full = os.open("/dev/full", os.O_WRONLY)
    real = os.dup(journal._descriptor)
    os.dup2(full, journal._descriptor)
    with pytest.raises(OSError):
        journal.append(EVERY_KIND[1])
    os.dup2(real, journal._descriptor)
    journal.append(EVERY_KIND[2])
    journal.close()
    os.close(full)
    os.close(real)
    assert read_journal(path) == [EVERY_KIND[0], EVERY_KIND[2]]


def test_all_events_since_the_last_sync_go_to_the_disk_with_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, synced = Journal(tmp_path / "journal.jsonl"), []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for event in EVERY_KIND[:3]:
        journal.append(event)
    assert not synced
    journal.sync()
    journal.sync()
    assert len(synced) == 1
    journal.close()
