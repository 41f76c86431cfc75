"""What is done to a camera, how soon that is noticed, when it gives pictures again, what the other cameras lose by it.

Eight live cameras on loopback (`tests/simulators`, in a process of their own, 25 frames a second, 160x96), watched by a
`StreamPipeline` with a decoder process each and a detector that costs nothing. One is failed in every way; the others'
loss is the share of the frames sent meanwhile that were not counted. What is odd but no failure (a clock that is set
back, sound first, uneven rates) is told as the share of its own frames that were not counted. Then one camera is killed
and started again 200 times: threads, open files and memory of the run, of the program that decoders are forked from, of
a decoder.

    python -m benchmarks camera_failures
    python -m benchmarks.camera_failures [--cycles 200] [--rounds 3] [--only NAME ...] [--table]

`--only` measures some rows and records nothing; `--table` prints what is recorded as the table of the documentation.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.recording import identify_code, record

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "camera_failures.json"
PLOT = ROOT / "docs" / "images" / "camera-leaks.png"
OTHERS, ROUNDS, CYCLES = 7, 3, 200
AWAY_S = 6.0  # from when it was noticed to when the camera is well again: pauses have grown by then
STEADY_S = 11.0  # between two failures: the next begins with the shortest pause again
WINDOW_S = 15.0  # at least, in which frames of the others are counted: counts arrive a fifth of a second late
SHORT_PAUSE_S = 0.3  # before another try, while leaks are looked for: else 200 of them would take ten minutes
OWN_WINDOW_S = 12.0  # the same for the odd camera's own frames
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """What is done to a camera, in words; `mood` is a simulator's, None where it is killed."""

    name: str
    words: str
    protocol: str = "rtsp"
    mood: str | None = None
    hangs_up: bool = True  # who was connected before is hung up on; else it changes under way
    codec: str = "h264"  # with which it comes back
    size: tuple[int, int] = (160, 96)
    is_short: bool = False  # comes back at once
    oddity: str | None = None  # of `ODDITIES`, with which it comes back
    is_harmless: bool = False  # it begins the oddity under way, and nothing is to be noticed
    signal: str | None = None  # the camera is well: its decoder gets this


# By frame: when it is sent, what its time stamp says; whether there is sound ahead of the video
ODDITIES: dict[str, dict[str, Any]] = {
    "backward": {"stamp_s": lambda index: index / 25 - 5.0 * (index // 30) - 0.04 * (index % 7 == 0) + 100.0},
    "sound-first": {"audio_first": True},
    "half-rate": {"due_s": lambda index: index / 12.5, "stamp_s": lambda index: index / 12.5},
    "jerky": {
        "due_s": lambda index: index / 25 + 0.1 * (index // 10),
        "stamp_s": lambda index: index / 25 + 0.1 * (index // 10),
    },
}
FAILURES = (
    Failure("killed", "killed: connection closed, then refused"),
    Failure("killed-http", "killed: connection closed, then refused (HTTP)", "http"),
    Failure("hung-up", "hangs up once", is_short=True),
    Failure("silent", "paused: holds the connection, sends nothing", mood="SILENT", hangs_up=False),
    Failure("silent-http", "paused: holds the connection, sends nothing (HTTP)", "http", "SILENT", hangs_up=False),
    Failure("black-hole", "hangs up, then accepts and never answers", mood="BLACK_HOLE"),
    Failure("black-hole-http", "hangs up, then accepts and never answers (HTTP)", "http", "BLACK_HOLE"),
    Failure("endless-header", "hangs up, then an answer whose header never ends", mood="ENDLESS_HEADER"),
    Failure("endless-header-http", "hangs up, then an answer whose header never ends (HTTP)", "http", "ENDLESS_HEADER"),
    Failure("locked", "hangs up, then 401 to every password", mood="LOCKED"),
    Failure("missing", "hangs up, then 404 under every path", mood="MISSING"),
    Failure("truncated", "sends units cut short, two a second", mood="TRUNCATED", hangs_up=False),
    Failure("truncated-http", "sends packets cut short, two a second (HTTP)", "http", "TRUNCATED", hangs_up=False),
    Failure("other-codec", "killed, comes back with H.265", codec="hevc"),
    Failure("other-size", "killed, comes back with 320x240", size=(320, 240)),
    Failure("sound-first", "killed, comes back with sound ahead of the video", oddity="sound-first"),
    Failure("half-rate", "killed, comes back with 12.5 frames a second", oddity="half-rate"),
    Failure("jerky", "killed, comes back with a variable rate: ten frames, a pause of 0.1 s", oddity="jerky"),
    Failure("backward", "sets its clock back by 5 s every 1.2 s", oddity="backward", is_harmless=True),
    Failure("decoder-killed", "its decoder is killed (SIGKILL)", signal="SIGKILL"),
    Failure("decoder-stopped", "its decoder hangs (SIGSTOP)", signal="SIGSTOP"),
)


def measure(rounds: int = ROUNDS, cycles: int = CYCLES, plot: Path = PLOT) -> dict[str, Any]:
    """The failure table and the leak test; draws the plot."""
    rows = [fail(failure, rounds) for failure in FAILURES]
    leaks = count_leaks(cycles)
    draw(leaks, plot)
    return {
        "cameras": OTHERS + 1,
        "failures": rows,
        "noticed_within_5_s": all(row["noticed_s"]["most"] <= 5.0 for row in rows if row["noticed_s"]),
        "back_within_10_s": all(row["back_s"]["most"] <= 10.0 for row in rows if row["back_s"]),
        "others_lose_at_most_2_percent": all(row["others_lost_percent"]["most"] <= 2.0 for row in rows),
        "leaks": leaks,
    }


# -- the cameras, in a process of their own ----------------------------------------------------------------------------


def serve_cameras(link: Connection, protocol: str, others: int) -> None:
    """Do what the link says to the first camera, and say how many frames the others were sent."""
    sys.path.insert(0, str(ROOT / "tests"))
    from contextlib import ExitStack

    from simulators.http_camera import HttpCamera
    from simulators.moods import Mood
    from simulators.rtp_units import encode_units
    from simulators.rtsp_camera import RtspCamera

    with ExitStack() as open_cameras:
        victim: Any = open_cameras.enter_context(RtspCamera() if protocol == "rtsp" else HttpCamera())
        rest = [open_cameras.enter_context(RtspCamera()) for _ in range(others)]
        first = victim.url if protocol == "rtsp" else victim.url("live.ts")
        link.send([first, *(camera.url for camera in rest)])
        for order, *values in iter(link.recv, ("end",)):
            if order == "mood":
                victim.mood = Mood[values[0]]
            elif order == "come-back-as":
                codec, size = values
                victim.codec, victim.frames = codec, encode_units(codec=codec, size=size)
            elif order == "be-odd":
                vars(victim).update(ODDITIES[values[0]])
            elif order != "sent":
                getattr(victim, order)()
            link.send([getattr(camera, "frames_sent", 0) for camera in (victim, *rest)])


class Cameras:
    """The other end of `serve_cameras`."""

    def __init__(self, protocol: str = "rtsp", others: int = OTHERS) -> None:
        context = get_context("spawn")
        self._link, theirs = context.Pipe()
        self._process = context.Process(target=serve_cameras, args=(theirs, protocol, others), daemon=True)
        self._process.start()
        self.urls: list[str] = self._link.recv()

    def tell(self, order: str, *values: Any) -> tuple[int, int]:
        """Do something to the first camera; how many frames it and the others, together, have sent so far."""
        self._link.send((order, *values))
        own, *others = self._link.recv()
        return own, sum(others)

    def close(self) -> None:
        self._link.send(("end",))
        self._process.join(10.0)
        self._process.kill()


# -- the run -----------------------------------------------------------------------------------------------------------


class Watching:
    """A pipeline over cameras, in a thread."""

    def __init__(self, urls: list[str]) -> None:
        sys.path.insert(0, str(ROOT / "tests"))
        from simulators.blob_detector import BlobDetector
        from vedette.edge.stream.camera_spec import CameraSpec
        from vedette.edge.stream.pipeline import StreamPipeline
        from vedette.edge.stream.spawner import Spawner

        self.spawner = Spawner().start()
        specs = [CameraSpec(f"camera-{number}", url) for number, url in enumerate(urls)]
        self.pipeline = StreamPipeline(specs, BlobDetector(), Nobody(), spawner=self.spawner)
        self._thread = threading.Thread(target=self.pipeline.run)
        self._thread.start()

    def frames(self) -> tuple[int, int]:
        """Of the first camera, and of the others together."""
        own, *others = (camera.frames + camera.skipped for camera in self.pipeline.snapshot())
        return own, sum(others)

    def wait(self, condition: Callable[[Any], bool], camera: int = 0) -> float:
        """Until a camera is so; seconds from now."""
        began = time.monotonic()
        while not condition(self.pipeline.snapshot()[camera]):
            if time.monotonic() - began > PATIENCE_S:
                raise TimeoutError(f"not within {PATIENCE_S:g} s: {self.pipeline.snapshot()[camera]}")
            time.sleep(0.005)
        return time.monotonic() - began

    def wait_for_frames(self, count: int = 1, camera: int = 0) -> float:
        frames = self.pipeline.snapshot()[camera].frames
        return self.wait(lambda one: one.state.value == "running" and one.frames >= frames + count, camera)

    def close(self) -> None:
        self.pipeline.stop()
        self._thread.join()
        self.spawner.close()


class Nobody:
    """A result handler that nothing is done with."""

    def on_result(self, frame: Any, picture: Any, detections: Any) -> None: ...

    def on_camera_end(self, camera: str, error: str | None) -> None: ...


@contextmanager
def watching(protocol: str, others: int) -> Iterator[tuple[Cameras, Watching]]:
    cameras = Cameras(protocol, others)
    run = Watching(cameras.urls)
    try:
        for number in range(others + 1):
            run.wait_for_frames(10, number)
        yield cameras, run
    finally:
        run.close()
        cameras.close()


def fail(failure: Failure, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    noticed_s, back_s, lost, own_lost = [], [], [], []
    with watching(failure.protocol, OTHERS) as (cameras, run):
        for _ in range(rounds):
            time.sleep(STEADY_S)
            began, sent, counted = time.monotonic(), cameras.tell("sent")[1], run.frames()[1]
            if failure.is_harmless:
                cameras.tell("be-odd", failure.oddity)
            else:
                noticed_s.append(_do(failure, cameras, run))
                back_s.append(_undo(failure, cameras, run))
            if failure.oddity is not None:
                own_lost.append(_own_loss(cameras, run))
            time.sleep(max(began + WINDOW_S - time.monotonic(), 0.0))
            sent, counted = cameras.tell("sent")[1] - sent, run.frames()[1] - counted
            lost.append(100 * max(1 - counted / sent, 0.0))
        snapshot = run.pipeline.snapshot()
        if failure.is_harmless and snapshot[0].reconnects:
            raise RuntimeError(f"'{failure.words}' took the camera away: {snapshot[0]}")
    row = {"name": failure.name, "what": failure.words, "rounds": rounds}
    row |= {"restarts": sum(camera.restarts for camera in snapshot)}
    row |= {"noticed_s": _range(noticed_s), "back_s": _range(back_s), "others_lost_percent": _range(lost)}
    row |= {"own_lost_percent": _range(own_lost)}
    print(json.dumps(row), file=sys.stderr)
    return row


def _do(failure: Failure, cameras: Cameras, run: Watching) -> float:
    """Fail; how long it took to be noticed."""
    if failure.signal is not None:
        restarts = run.pipeline.snapshot()[0].restarts
        os.kill(run.pipeline._workers[0].decoder_pid, signal.Signals[failure.signal])
        return run.wait(lambda one: one.restarts > restarts)
    if failure.is_short or failure.mood is None:
        cameras.tell("hang_up" if failure.is_short else "kill")
    else:
        cameras.tell("mood", failure.mood)
        if failure.hangs_up:
            cameras.tell("hang_up")
    return run.wait(lambda one: one.state.value == "offline")


def _undo(failure: Failure, cameras: Cameras, run: Watching) -> float:
    """Be well again after a while; how long it took to give pictures."""
    if not failure.is_short and failure.signal is None:
        time.sleep(AWAY_S)
        if failure.protocol == "rtsp":
            cameras.tell("come-back-as", failure.codec, failure.size)
        if failure.oddity is not None:
            cameras.tell("be-odd", failure.oddity)
        cameras.tell(*(("start",) if failure.mood is None else ("mood", "WELL")))
    return run.wait_for_frames()


def _own_loss(cameras: Cameras, run: Watching) -> float:
    """The share of the odd camera's frames that are not counted, of those sent over a while."""
    time.sleep(1.0)
    sent, counted = cameras.tell("sent")[0], run.frames()[0]
    time.sleep(OWN_WINDOW_S)
    sent, counted = cameras.tell("sent")[0] - sent, run.frames()[0] - counted
    return 100 * max(1 - counted / sent, 0.0)


def _range(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(statistics.median(values), 2), "most": round(max(values), 2)}


# -- leaks -------------------------------------------------------------------------------------------------------------


def count_leaks(cycles: int) -> dict[str, Any]:
    """A camera killed and started again so many times; what is held each time when it gives pictures again."""
    from vedette.edge.stream import reconnect

    reconnect.MOST_PAUSE_S = SHORT_PAUSE_S
    samples: list[dict[str, Any]] = []
    with watching("rtsp", 1) as (cameras, run):
        for cycle in range(cycles):
            cameras.tell("kill")
            run.wait(lambda one: one.state.value == "offline")
            cameras.tell("start")
            run.wait_for_frames(3)
            samples.append({"cycle": cycle + 1, **_held(run)})
        reconnects = run.pipeline.snapshot()[0].reconnects
    tenth = max(cycles // 10, 1)
    ends = {
        key: [round(statistics.mean(sample[key] for sample in part), 1) for part in (samples[:tenth], samples[-tenth:])]
        for key in samples[0]
        if key != "cycle"
    }
    return {"cycles": cycles, "reconnects": reconnects, "first_and_last_tenth": ends, "samples": samples}


def _held(run: Watching) -> dict[str, Any]:
    own, program = psutil.Process(), psutil.Process(run.spawner.pid)
    decoder = psutil.Process(run.pipeline._workers[0].decoder_pid)
    return {
        "threads": own.num_threads(),
        "files": own.num_fds(),
        "own_mib": round(own.memory_full_info().uss / 2**20, 2),
        "program_files": program.num_fds(),
        "program_mib": round(program.memory_full_info().uss / 2**20, 2),
        "decoders": len(program.children()),
        "decoder_mib": round(decoder.memory_full_info().uss / 2**20, 2),
    }


def draw(leaks: dict[str, Any], plot: Path) -> None:
    """Threads and files, and memory, over the cycles."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    at = [sample["cycle"] for sample in leaks["samples"]]
    counts = {"files": "files of the run", "threads": "threads of the run",
              "program_files": "files of the forking program", "decoders": "decoder processes"}  # fmt: skip
    memory = {"own_mib": "the run", "program_mib": "the forking program", "decoder_mib": "the camera's decoder"}
    for axes, names, unit in ((left, counts, "number"), (right, memory, "own memory, MiB")):
        for key, words in names.items():
            dashes = {"linestyle": (0, (4, 3))} if key == "program_files" else {}  # as many as threads
            axes.plot(at, [sample[key] for sample in leaks["samples"]], label=words, linewidth=1.3, **dashes)
        axes.set_xlabel("times that the camera was killed and came back")
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    plot.parent.mkdir(exist_ok=True)
    figure.savefig(plot, dpi=110)


def table(figures: dict[str, Any]) -> str:
    """The rows as Markdown, the larger values."""
    lines = [
        "| what was done to the camera | noticed after | pictures again after it was well | the other seven lost |",
        "|---|---:|---:|---:|",
    ]
    for row in figures["failures"]:
        seconds = [f"{row[key]['most']:.1f} s" if row[key] else "no harm" for key in ("noticed_s", "back_s")]
        lines.append(f"| {row['what']} | {' | '.join(seconds)} | {row['others_lost_percent']['most']:.1f} % |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--only", nargs="+", choices=[failure.name for failure in FAILURES], metavar="NAME")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.table:
        print(table(json.loads(RESULT.read_text(encoding="utf-8"))["figures"]))
        return
    if asked.only:
        for failure in FAILURES:
            if failure.name in asked.only:
                fail(failure, asked.rounds)
        return
    code = identify_code()
    document = record("camera_failures", code, measure(asked.rounds, asked.cycles))
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
