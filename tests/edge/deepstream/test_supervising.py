"""deepstream-app kept going: a stand-in hangs, crashes, fails, talks garbage and ends as the real one does."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ended_processes import wait_until_ended
from simulators.deepstream_app import UNKNOWN_KEY, install
from vedette.contracts.errors import UnavailableError
from vedette.edge.deepstream.perf_lines import AppLine
from vedette.edge.deepstream.program import Program
from vedette.edge.deepstream.supervising import Outcome, Patience, Supervisor

QUICK = Patience(start_s=60, hang_s=60, stop_s=30, attempts=3, first_pause_s=0.01, longest_pause_s=0.02)
FIRST = ["perf", [0.0, 0.0]]
GOING = ["perf", [30.0, 29.5]]


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.rates: list[tuple[float, ...]] = []
        self.lines: list[str] = []
        self.starts = 0
        self.falls: list[tuple[str, float | None]] = []
        self.going = threading.Event()

    def on_start(self) -> None:
        self.starts += 1

    def on_rates(self, rates_fps: tuple[float, ...], spent_s: float) -> None:
        assert spent_s >= 0
        self.rates.append(rates_fps)
        if any(rates_fps):
            self.going.set()

    def on_line(self, line: AppLine) -> None:
        self.lines.append(line.text)

    def on_fall(self, reason: str, pause_s: float | None) -> None:
        self.falls.append((reason, pause_s))


Make = Callable[..., tuple[Supervisor, Heard]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A supervisor of a stand-in with two sources that plays `runs`."""

    def made(*runs: list[Any], patience: Patience = QUICK, is_endless: bool = True) -> tuple[Supervisor, Heard]:
        environment = install(tmp_path / "ds", list(runs))
        (tmp_path / "app.txt").write_text("[application]\n")
        command = [environment["DEEPSTREAM_APP"], "-c", "app.txt"]
        heard = Heard()
        start = lambda on_line: Program(command, tmp_path, on_line)  # noqa: E731 - read best on one line
        return Supervisor(start, patience, heard, sources=2, is_endless=is_endless), heard

    return made


def test_films_that_are_over_end_the_run(make: Make) -> None:
    supervisor, heard = make([FIRST, *[GOING] * 45], is_endless=False)

    assert supervisor.run() is Outcome.ENDED
    assert heard.rates == [(0.0, 0.0), *[(30.0, 29.5)] * 45]  # the headings between them are none
    assert (heard.falls, supervisor.starts, supervisor.broken_lines) == ([], 1, 0)


def test_awkward_lines_are_neither_rates_nor_the_end(make: Make) -> None:
    half = [["raw", "**PERF:  30.0"], ["raw", "0 (30.00)\t29.50 (29.50)\t\n"], ["raw", "**PERF:  30.00 (30"]]
    steps = [
        ["raw", UNKNOWN_KEY],
        ["raw", "\x00\x1b[31m\udcff garbage".encode("utf-8", "replace").decode() + "x" * 40_000 + "\n"],
        *half[:2],
        ["raw", "**PERF:  1.00 (1.00)\t\n"],  # of another number of sources
        ["raw", "PERF(0): 12.00 (12.00)\t13.00 (13.00)\t\n"],
        half[2],
    ]
    supervisor, heard = make(steps, is_endless=False)

    assert supervisor.run() is Outcome.ENDED
    assert heard.rates == [(30.0, 29.5), (12.0, 13.0)]
    assert heard.lines == [UNKNOWN_KEY.strip()]
    assert supervisor.broken_lines == 2


def test_a_crash_is_started_again(make: Make) -> None:
    supervisor, heard = make([FIRST, GOING, ["crash"]], [["raw", "oh\n"], ["exit", 255]], [FIRST, ["go_on", [30, 30]]])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    deadline = time.monotonic() + 60
    while supervisor.starts < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    heard.going.clear()
    assert heard.going.wait(60)
    supervisor.stop()
    thread.join(60)

    (crash, first), (failure, second) = heard.falls
    assert crash == "deepstream-app was killed by signal 11 (Segmentation fault)"
    assert failure == "deepstream-app failed (exit code 255); it said last: oh / App run failed"
    assert (first, second) == (0.01, 0.02)  # each pause twice as long as the one before


def test_films_are_not_started_again(make: Make) -> None:
    supervisor, heard = make([FIRST, GOING, ["exit", 255]], is_endless=False)

    assert supervisor.run() is Outcome.FAILED
    assert heard.falls == [("deepstream-app failed (exit code 255); it said last: App run failed", None)]


def test_it_gives_up_after_so_many_starts_without_a_picture(make: Make) -> None:
    supervisor, heard = make([FIRST, ["exit", 255]])

    assert supervisor.run() is Outcome.FAILED
    assert supervisor.starts == 3
    assert heard.starts == 3
    assert [pause is None for _, pause in heard.falls] == [False, False, True]


def test_cameras_that_end_although_they_are_live_are_a_fault(make: Make) -> None:
    supervisor, heard = make([FIRST], [["exit", 127]])

    assert supervisor.run() is Outcome.FAILED
    assert heard.falls[0][0].startswith("deepstream-app ended, though its cameras have no end")
    assert (supervisor.starts, heard.falls[1][1]) == (2, None)  # 127: there is no such program


@pytest.mark.parametrize(
    ("steps", "patience", "words"),
    [
        ([FIRST, GOING, ["hang"]], {"hang_s": 0.3}, "no **PERF line for 0.3 s"),
        ([FIRST, GOING, ["go_on", [0, 0]]], {"hang_s": 1.5}, "no picture of any camera for 1.5 s"),
        ([["go_on", [0, 0]]], {"hang_s": 1.5}, "no picture of any camera for 1.5 s"),
        ([["raw", "building the engine\n"], ["hang"]], {"start_s": 0.3, "hang_s": 0.1}, "did not begin within 0.3 s"),
    ],
)
def test_a_hang_is_ended(make: Make, steps: list[Any], patience: dict[str, float], words: str) -> None:
    supervisor, heard = make(steps, patience=replace(QUICK, stop_s=0.2, **patience), is_endless=False)

    assert supervisor.run() is Outcome.FAILED
    assert words in heard.falls[0][0]


def test_a_stop_is_clean_and_leaves_nothing(make: Make, tmp_path: Path) -> None:
    supervisor, heard = make([FIRST, ["go_on", [30, 30]]])
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(supervisor.run()))
    thread.start()
    assert heard.going.wait(60)
    supervisor.stop()
    thread.join(60)

    assert outcomes == [Outcome.STOPPED]
    assert heard.falls == []


def test_what_the_program_left_behind_is_ended_too(tmp_path: Path) -> None:
    lines: list[bytes] = []
    program = Program(["/bin/sh", "-c", "sleep 600 & echo $!; exit 3"], tmp_path, lines.append)
    deadline = time.monotonic() + 60
    while not program.has_ended() and time.monotonic() < deadline:
        time.sleep(0.01)

    assert program.close() == 3
    wait_until_ended([int(lines[0])])


def test_a_program_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be started"):
        Program([str(tmp_path / "run.sh")], tmp_path, lambda _: None)
