"""`--detect-fps auto` from end to end: how often is detected, and how much of the machine that takes, beside its word.

2, 4 and 8 cameras of the busy 1080p30 clip in real time, yolov3-tiny 416x416 INT8, the gate off, on a machine left
alone; then 4 cameras beside a program of normal priority that keeps one processor busy. 15 s to settle, 60 s measured.
The policy's word (`schedule`): detection takes what keeps the processors at 0.88 with whatever else runs, but up to
0.4 of them however busy others are; never more than every frame. `others_share` must be next to nothing in the rows
alone: what others do counts as theirs unless it is nice (so do programs whose whole session was put back).

    python -m benchmarks.detect_rate [--seconds 60] [--only ROW ...]
"""

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stream_material import MIDDLE, Workload, data_folder, scene_bundle
from benchmarks.stream_measuring import weigh
from benchmarks.streams import write_pipeline

SECONDS, SETTLE_S = 60, 15
ALL_FRAMES = 0.98  # of them detected on is every one: a slot may be in flight at either end
ROWS = {"2 cameras": (2, False), "4 cameras": (4, False), "8 cameras": (8, False), "4 cameras beside a loop": (4, True)}


def measure() -> dict[str, Any]:
    """Every row."""
    return {name: measure_row(name) for name in ROWS}


def measure_row(name: str, seconds: int = SECONDS) -> dict[str, Any]:
    """One number of cameras, alone or beside a busy loop."""
    data = data_folder()
    if data is None:
        raise SystemExit(
            "the busy clip is needed: set VEDETTE_DATA to the folder that has videos/busy_1080p30_h264.mp4"
        )
    cameras, beside = ROWS[name]
    clips = (data / "videos" / "busy_1080p30_h264.mp4",) * cameras
    workload = Workload("detect-rate", clips, (MIDDLE,) * cameras, scene_bundle(), "how often is detected")
    pipeline = write_pipeline(workload, clips, "int8", rate={"fps": "auto"}, realtime=True, loop=True)
    with _busy_loop() if beside else contextlib.nullcontext():
        said = weigh(["-m", "benchmarks.detect_rate", "--child", pipeline, "--seconds", seconds], memory=False)["said"]
    return {"cameras": cameras, "beside_a_loop": beside, **judge(said)}


def judge(said: dict[str, Any]) -> dict[str, Any]:
    """What the policy promises beside so much of others' work, and how far from it the run was."""
    from vedette.edge.stream.schedule import BUSY_TARGET, LEAST_SHARE

    rates = said["detections_per_s"]
    mean = sum(rates) / len(rates)
    every_frame = sum(rates) >= ALL_FRAMES * sum(said["frames_per_s"])
    promised = max(BUSY_TARGET - said["others_share"], LEAST_SHARE)
    return {
        **said,
        "spread": round((max(rates) - min(rates)) / mean, 3) if mean else None,
        "every_frame": every_frame,
        "promised_share": round(promised, 3),
        "off_by": 0.0 if every_frame and said["our_share"] <= promised else round(said["our_share"] - promised, 3),
    }


@contextlib.contextmanager
def _busy_loop() -> Iterator[None]:
    """In a session of its own, as what somebody else starts."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) as program:
        try:
            yield
        finally:
            program.kill()


@dataclass(frozen=True)
class _Seen:
    """Everything at one moment; seconds of processors."""

    at_s: float
    ours_s: float
    busy_s: float  # whoever was; not what is nice
    all_s: float
    counts: tuple[tuple[int, int, int], ...]  # frames, detected, drops of each camera

    @classmethod
    def of(cls, cameras: Sequence[Any]) -> "_Seen":
        import psutil

        top, machine = psutil.Process(), psutil.cpu_times()
        spent = [process.cpu_times() for process in (top, *top.children(recursive=True))]
        every_s = sum(machine) - machine.guest - machine.guest_nice  # Linux counts guests in user time already
        return cls(
            at_s=time.monotonic(),
            ours_s=sum(one.user + one.system for one in spent),
            busy_s=every_s - machine.idle - machine.iowait - machine.nice,
            all_s=every_s,
            counts=tuple((one.frames + one.skipped, one.detected, one.drops) for one in cameras),
        )


def _child(pipeline: Path, seconds: float) -> dict[str, Any]:
    """A run as `vedette run` makes it, looked at when it has settled and at its end."""
    from vedette.apps import run
    from vedette.apps.pipeline_file import read_pipeline

    settings = read_pipeline(pipeline)
    seen: list[_Seen] = []
    over = threading.Event()

    def look_twice() -> None:
        for wait_s in (SETTLE_S, seconds):
            over.wait(wait_s)
            seen.append(_Seen.of(watch.statistics()))
        watch.stop()

    with run.start_spawner(settings) as spawner:
        opened, detector = run.open_pipeline_detector(settings)
        watch = run.build_watch(settings, opened, detector, None, spawner=spawner)
        looker = threading.Thread(target=look_twice)
        looker.start()
        summary = watch.run()
        over.set()
        looker.join()
    if errors := summary.to_json()["errors"]:
        raise SystemExit(f"the run did not go well: {errors}")
    return _between(*seen)


def _between(first: _Seen, last: _Seen) -> dict[str, Any]:
    spent_s, all_s = last.at_s - first.at_s, last.all_s - first.all_s
    ours, busy = (last.ours_s - first.ours_s) / all_s, (last.busy_s - first.busy_s) / all_s
    steps = [
        [now - then for now, then in zip(*both, strict=True)] for both in zip(last.counts, first.counts, strict=True)
    ]
    return {
        "seconds": round(spent_s, 1),
        "frames_per_s": [round(frames / spent_s, 2) for frames, _, _ in steps],
        "detections_per_s": [round(detected / spent_s, 2) for _, detected, _ in steps],
        "drops": sum(drops for _, _, drops in steps),
        "our_share": round(ours, 3),
        "others_share": round(max(busy - ours, 0.0), 3),
    }


def main() -> None:
    """Some rows without recording them, or the program under measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW")
    wish = parser.parse_args()
    if wish.child:
        print(json.dumps(_child(wish.child, wish.seconds)))
        return
    for name in wish.only or ROWS:
        print(json.dumps({name: measure_row(name, wish.seconds)}, indent=2), flush=True)


if __name__ == "__main__":
    main()
