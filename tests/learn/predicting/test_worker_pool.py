"""Several processes give what one gives, bit for bit, whoever is killed; a deadly picture is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deadly_predictors import GreyOpener, RefusingOpener, same, write_greys
from ended_processes import is_running, wait_until_ended
from vedette.contracts.errors import InputError
from vedette.learn.predicting.errors import WorkersError
from vedette.learn.predicting.outcomes import Failed, Found, Outcome, outcomes_here
from vedette.learn.predicting.processes import MOST_DEATHS, WorkerPool


@pytest.fixture
def words(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    folder.mkdir()
    return folder


def by_number(pool: WorkerPool, pictures: list[Path]) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    for number, outcome in pool.outcomes(pictures):
        assert number not in found
        found[number] = outcome
    return found


def workers_met(words: Path) -> list[int]:
    return [int(path.name.removeprefix("worker-")) for path in words.glob("worker-*")]


def test_three_processes_give_what_this_one_gives(tmp_path: Path, words: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 40)
    pictures[7].write_bytes(b"no picture")
    opener = GreyOpener(words)
    here = dict(outcomes_here(opener.predict, pictures))
    with WorkerPool(opener, 3) as pool:
        there = by_number(pool, pictures)
    assert sorted(there) == list(range(40))
    assert all(same(here[number], there[number]) for number in here)
    assert isinstance(there[7], Failed)
    assert 1 <= len(workers_met(words)) <= 3
    assert not any(is_running(pid) for pid in workers_met(words))


def test_what_killed_workers_had_before_them_is_done_by_others(tmp_path: Path, words: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 20)
    with WorkerPool(GreyOpener(words, deadly_once=(0, 5, 19)), 2) as pool:
        found = by_number(pool, pictures)
    assert [int(o.detections.boxes_xyxy_px[0, 2]) for _, o in sorted(found.items()) if isinstance(o, Found)] == [
        *range(20)
    ]
    assert len(workers_met(words)) >= 4  # two, and one for each death


def test_a_picture_that_kills_its_workers_is_named_and_the_others_are_done(tmp_path: Path, words: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 12)
    with WorkerPool(GreyOpener(words, deadly=(4,)), 2) as pool:
        found = by_number(pool, pictures)
    failed = {number: outcome.reason for number, outcome in found.items() if isinstance(outcome, Failed)}
    assert list(failed) == [4]
    assert failed[4] == f"{pictures[4]}: {MOST_DEATHS} worker processes died at it; the last was killed by SIGKILL"
    assert len(found) == 12


def test_workers_that_a_stranger_kills_are_replaced(tmp_path: Path, words: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 30)
    found: dict[int, Outcome] = {}
    with WorkerPool(GreyOpener(words), 2) as pool:
        for number, outcome in pool.outcomes(pictures):
            if len(found) in {3, 11}:
                os.kill(pool.process_ids[0], signal.SIGKILL)
            found[number] = outcome
    assert sorted(found) == list(range(30))
    assert all(isinstance(outcome, Found) for outcome in found.values())


def test_an_error_that_is_no_pictures_fault_is_raised_here(tmp_path: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 3)
    with (
        WorkerPool(RefusingOpener("there is no such bundle"), 2) as pool,
        pytest.raises(InputError, match="no such bundle"),
    ):
        by_number(pool, pictures)


def test_workers_that_never_begin_are_given_up(tmp_path: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 3)
    with WorkerPool(RefusingOpener(), 1) as pool, pytest.raises(WorkersError, match="3 worker processes in a row"):
        by_number(pool, pictures)


def test_a_pool_goes_on_with_other_pictures_after_it_was_left(tmp_path: Path, words: Path) -> None:
    pictures = write_greys(tmp_path / "greys", 10)
    with WorkerPool(GreyOpener(words), 2) as pool:
        left = pool.outcomes(pictures)
        next(left)
        left.close()
        found = by_number(pool, pictures[5:8])
        workers = pool.process_ids
        assert by_number(pool, pictures[5:8]).keys() == found.keys()
        assert pool.process_ids == workers  # they stay open
    values = [int(o.detections.boxes_xyxy_px[0, 2]) for _, o in sorted(found.items()) if isinstance(o, Found)]
    assert values == [5, 6, 7]


def test_workers_end_when_their_caller_is_killed(tmp_path: Path, words: Path) -> None:
    write_greys(tmp_path / "greys", 4)
    program = f"""
import sys; sys.path[:] = {sys.path!r}
import time
from pathlib import Path
from deadly_predictors import GreyOpener
from vedette.learn.predicting.processes import WorkerPool
pool = WorkerPool(GreyOpener(Path({str(words)!r})), 2)
for _ in pool.outcomes(sorted(Path({str(tmp_path / "greys")!r}).iterdir())): pass
print("done", flush=True)
time.sleep(600)
"""
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"done\n"
        workers = workers_met(words)
        assert workers
        assert all(is_running(pid) for pid in workers)
        caller.kill()
    wait_until_ended(workers)
