"""The file of counts: each event once, whatever happens to the program, the file or the disk."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counted_events import counted_event
from vedette.contracts.event import Direction, EventType
from vedette.edge.counting import keeper as keeping
from vedette.edge.counting import store as storing
from vedette.edge.counting.errors import CountsFileError
from vedette.edge.counting.keeper import CountsKeeper
from vedette.edge.counting.store import CountsStore
from vedette.edge.counting.sums import begin_of, sum_rows
from vedette.edge.counting.tallies import add_to_ranges, tally_of

COUNTED = Path(__file__).resolve().parents[2] / "counted_events.py"


def tallies(*numbers, **about):
    return [tally_of(counted_event(number, **about)) for number in numbers]


def crossings(store):
    return sum(row.count for row in store.rows())


@given(st.lists(st.integers(0, 40), max_size=80))
@settings(max_examples=100, deadline=None)
def test_ranges_hold_exactly_the_numbers_given_and_never_touch(numbers):
    ranges, seen = [], set()
    for number in numbers:
        joined = add_to_ranges(ranges, number)
        assert (joined is None) == (number in seen)
        seen.add(number)
        ranges = ranges if joined is None else joined
    assert {n for low, high in ranges for n in range(low, high + 1)} == seen
    assert all(ranges[i][1] + 1 < ranges[i + 1][0] for i in range(len(ranges) - 1))


def test_counts_are_there_again_after_closing(tmp_path):
    path = tmp_path / "new" / "counts.sqlite"
    with CountsStore(path) as store:
        assert store.add(tallies(1, 2) + tallies(3, direction=Direction.B_TO_A, class_="nut")) == 3
        store.add(tallies(4, kind=EventType.ZONE_ENTERED, place="bay"))
        store.add(tallies(5, kind=EventType.ZONE_EXITED, place="bay", dwell_s=12.5))
    with CountsStore(path) as store:
        assert store.totals() == {
            "gate": {
                "lines": {"in": {"bolt": {"a_to_b": 2}, "nut": {"b_to_a": 1}}},
                "zones": {"bay": {"entered": 1, "exited": 1}},
            }
        }
        assert [row.seconds for row in store.rows(place="bay") if row.what == "exited"] == [12.5]
        assert store.since_unix_s == 1795341600  # 2026-11-22T10:00:00Z, the quarter of an hour


def test_the_same_events_again_in_any_order_change_nothing(tmp_path):
    numbers = list(range(1, 60))
    with CountsStore(tmp_path / "counts.sqlite") as store:
        store.add(tallies(*numbers[:20], *numbers[30:]))  # some were lost on the way
        random.Random(5).shuffle(numbers)
        for start in range(0, 59, 7):
            store.add(tallies(*numbers[start : start + 7]))
        assert store.add(tallies(*numbers)) == 0
        assert crossings(store) == 59
        assert store.add(tallies(1, run="r2-0")) == 1  # another run counts anew
        assert store.add(tallies(1, camera="yard")) == 1  # and so does another camera


def test_an_id_of_another_form_is_one_event(tmp_path):
    odd = counted_event(1).model_copy(update={"id": "3f2a"})
    with CountsStore(None) as store:
        assert [store.add([tally_of(odd)]), store.add([tally_of(odd)])] == [1, 0]


def test_a_damaged_file_is_set_aside_whole_and_said(tmp_path):
    path = tmp_path / "counts.sqlite"
    with CountsStore(path) as store:
        store.add(tallies(*range(1, 400)))
    damaged = bytearray(path.read_bytes())
    damaged[4096:12288] = b"\xa5" * 8192
    path.write_bytes(damaged)
    with pytest.raises(CountsFileError, match="is damaged"):
        CountsStore(path, make=False)
    assert path.read_bytes() == damaged
    with CountsStore(path) as store:
        assert "is damaged" in store.set_aside and "it is kept as" in store.set_aside
        assert crossings(store) == 0
    kept = [one for one in tmp_path.glob("counts.sqlite.damaged-*") if one.name[-4:] not in {"-wal", "-shm"}]
    assert [one.read_bytes() for one in kept] == [bytes(damaged)]


def test_a_file_without_even_a_head_is_set_aside_where_it_is_named_like_a_database(tmp_path):
    path = tmp_path / "counts.sqlite"
    path.write_bytes(b"\0" * 8192)
    with CountsStore(path) as store:
        assert "is damaged" in store.set_aside
    assert len(list(tmp_path.glob("counts.sqlite.damaged-*"))) == 1


def test_a_file_of_a_newer_version_is_set_aside_with_all_its_counts(tmp_path):
    path = tmp_path / "counts.sqlite"
    with CountsStore(path) as store:
        store.add(tallies(1, 2, 3))
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 9")
    newer.close()
    with CountsStore(path) as store:
        assert "newer Vedette (its version is 9)" in store.set_aside
        assert crossings(store) == 0
    kept = next(tmp_path.glob("counts.sqlite.newer-*"))
    reader = sqlite3.connect(kept)
    assert reader.execute("SELECT SUM(count) FROM counts").fetchone() == (3,)
    reader.close()


@pytest.mark.parametrize("kind", ["text", "application_id = 77", "application_id = 0", "user_version = 70"])
def test_somebody_elses_file_is_refused_and_not_touched(tmp_path, kind):
    path = tmp_path / "notes.txt"
    if kind == "text":
        path.write_text("do not lose me")
    else:
        with sqlite3.connect(path) as other:
            other.executescript(f"PRAGMA {kind}; CREATE TABLE mine (x);")
        other.close()
    before = path.read_bytes()
    with pytest.raises(CountsFileError, match="no file of counts and is left as it is"):
        CountsStore(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CountsFileError, match="name another file"):
        CountsStore(tmp_path / "file" / "counts.sqlite")


def test_a_keeper_never_makes_its_caller_wait_and_writes_when_the_disk_is_back(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(keeping, "RETRY_S", 0.01)
    monkeypatch.setattr(storing, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "counts.sqlite"
    with CountsStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # another program keeps the file
        keeper = CountsKeeper(store, commit_every_s=0.01)
        for number in range(1, 300):
            keeper.add(counted_event(number))
        assert not keeper.flush(0.05)
        until = time.monotonic() + 60
        while keeper.problem is None and time.monotonic() < until:
            time.sleep(0.02)
        assert keeper.waiting == 299 and "locked" in keeper.problem
        other.execute("ROLLBACK")
        other.close()
        assert keeper.flush(60)
        assert keeper.problem is None and crossings(store) == 299
        keeper.close()
        keeper.add(counted_event(300))
        assert keeper.uncounted == 1
    assert sum("cannot be written" in record.message for record in caplog.records) == 1


def test_more_events_than_there_is_room_for_are_counted_as_uncounted(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_WAITING", 5)
    with CountsStore(None) as store:
        keeper = CountsKeeper(store, commit_every_s=1000)
        for number in range(8):
            keeper.add(counted_event(number))
        assert keeper.uncounted == 3
        keeper.close()
        assert crossings(store) == 5


def kill_at_a_random_point(path, seed):
    """How many events were surely committed, and how many at most given, when the program was killed."""
    moment = random.Random(seed)
    program = subprocess.Popen([sys.executable, str(COUNTED), str(path)], stdout=subprocess.PIPE, text=True)
    lines = [program.stdout.readline() for _ in range(moment.randrange(2, 40))]
    program.kill()
    lines += program.stdout.readlines()
    program.wait()
    program.stdout.close()
    said = {"given": 0, "written": 0}
    for line in lines:
        if line.endswith("\n"):
            word, number = line.split()
            said[word] = int(number)
    return said["written"], said["given"]


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_no_count_that_was_committed_is_lost_or_doubled_by_a_kill(tmp_path, kills):
    for seed in range(kills):
        path = tmp_path / f"{seed}.sqlite"
        written, given_ = kill_at_a_random_point(path, seed)
        with CountsStore(path) as store:
            assert store.set_aside is None
            assert written <= crossings(store) <= given_
            store.add(tallies(*range(1, given_ + 1)))  # the events again, from a broker that kept them
            assert crossings(store) == given_


def test_hours_and_days_are_those_of_the_local_time_zone_even_half_hours(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # +05:30
    time.tzset()
    try:
        with CountsStore(None) as store:
            store.add(tallies(1, when="2026-11-22T18:20:00Z"))  # 23:50 there
            store.add(tallies(2, when="2026-11-22T18:40:00Z"))  # 00:10 of the next day
            rows = store.rows()
        assert [one.since for one in sum_rows(rows, "day")] == ["2026-11-22T00:00+05:30", "2026-11-23T00:00+05:30"]
        assert [one.since for one in sum_rows(rows, "hour")] == ["2026-11-22T23:00+05:30", "2026-11-23T00:00+05:30"]
        assert [one.count for one in sum_rows(rows, None)] == [2]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_on_which_clocks_change_begins_with_its_own_offset(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert begin_of(1792926000, "day") == "2026-10-25T00:00+02:00"  # 12:00 there, +01:00 since that night
    finally:
        monkeypatch.undo()
        time.tzset()
