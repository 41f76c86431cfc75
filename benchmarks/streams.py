"""Eight 1080p30 streams, detection on every 5th frame, as fast as possible, beside the floor of the same run.

Three workloads (`stream_material`): scenes (tracks and crossings are asserted), busy (real footage, a real detector)
and raw (the rate alone). The floor is bare decoding and bare inference of the same frames (`stream_measuring`), one
after the other with every core free. Ours is `vedette run` as a user starts it: decodes each camera in a process of its
own, fits, detects, tracks, counts, writes events. `ratio` = floor seconds / our seconds from the first camera's opening
to the last one's end; like the floor's, without starting Python and loading the engine, whose figures stand beside it.
`ratio_needed` is beside a floor whose decoding is cut by what needs none (of these clips frames 57 to 60 of each
group). `ratio_cpu` is of processor time, likewise without what a run over ten frames takes; the whole command's stands
beside it. Memory is that of one more run, since looking at it takes time. On a machine with other work the ratio of
seconds says little; processor time says most of it.

    python -m benchmarks.streams [--workload NAME ...] [--precision int8] [--isolation processes|threads] [--repeats 3]
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.stream_material import Workload, cache_folder, short_clip, workloads
from benchmarks.stream_measuring import EVERY, floor, weigh

REPEATS = 3
PRECISION = {"scenes": "int8", "busy": "fp32", "raw": "int8"}
LIMITS = {"ratio": 0.92, "memory_mib": 600, "first_detection_s": 3.0}
FIRST_DETECTION = """
import sys, time
from vedette.apps import run
from vedette.apps.pipeline_file import read_pipeline
from pathlib import Path
settings = read_pipeline(Path(sys.argv[1]))
with run.start_spawner(settings) as spawner:
    opened, detector = run.open_pipeline_detector(settings)
    watch = run.build_watch(settings, opened, detector, None, spawner=spawner)
    def tell(results):
        global first
        first = first or time.time()
    first = 0.0
    watch.on_results = tell
    watch.run()
print('{"first_unix_s": %r}' % first)
"""


def measure() -> dict[str, Any]:
    """Every workload with its usual precision, in processes; raw also in threads."""
    found = {name: measure_workload(one, PRECISION[name]) for name, one in workloads().items()}
    for one in (workload for name, workload in workloads().items() if name == "raw"):
        found["raw in threads"] = measure_workload(one, PRECISION["raw"], isolation="threads")
    return found


def measure_workload(
    workload: Workload, precision: str, repeats: int = REPEATS, isolation: str = "processes"
) -> dict[str, Any]:
    """Medians over interleaved runs of the floor and of ours."""
    pipeline = write_pipeline(workload, workload.clips, precision, isolation)
    rounds = []
    for _ in range(repeats):
        bare = floor(workload.bundle, precision, workload.clips)
        ours = weigh(["-m", "vedette", "run", pipeline, "--json"], memory=False)
        _check(workload, ours["said"])
        rounds.append((bare, ours))
    heavy = weigh(["-m", "vedette", "run", pipeline, "--json"])  # for its memory only
    short = write_pipeline(workload, (short_clip(),) * len(workload.clips), precision, isolation)
    starts = [weigh(["-m", "vedette", "run", short, "--json"])["cpu_s"] for _ in range(repeats)]
    return {
        "note": workload.note,
        "precision": precision,
        "isolation": isolation,
        "cameras": len(workload.clips),
        "every": EVERY,
        **_medians(rounds, statistics.median(starts)),
        "memory_mib": round(heavy["pss_mib"], 3),
        "start_cpu_s": round(statistics.median(starts), 2),
        "first_detection_s": round(statistics.median(_first_detections(short, repeats)), 2),
        "limits": LIMITS,
    }


def _medians(rounds: list[tuple[dict[str, Any], dict[str, Any]]], start_cpu_s: float) -> dict[str, Any]:
    def middle(pick: Callable[[dict[str, Any], dict[str, Any]], float]) -> float:
        return round(statistics.median(pick(bare, ours) for bare, ours in rounds), 3)

    return {
        "frames": rounds[0][0]["frames"],
        "frames_per_s": middle(lambda f, o: f["frames"] / o["said"]["seconds"]),
        "floor_frames_per_s": middle(lambda f, o: f["frames"] / f["wall_s"]),
        "ratio": middle(lambda f, o: f["wall_s"] / o["said"]["seconds"]),
        "ratio_needed": middle(
            lambda f, o: (f["wall_s"] - (1 - f["needed_share"]) * f["decode_wall_s"]) / o["said"]["seconds"]
        ),
        "ratio_each": [round(f["wall_s"] / o["said"]["seconds"], 3) for f, o in rounds],
        "whole_command_s": middle(lambda f, o: o["wall_s"]),
        "cpu_s_per_1000_frames": middle(lambda f, o: 1e3 * o["cpu_s"] / f["frames"]),
        "floor_cpu_s_per_1000_frames": middle(lambda f, o: 1e3 * f["cpu_s"] / f["frames"]),
        "ratio_cpu": middle(lambda f, o: f["cpu_s"] / (o["cpu_s"] - start_cpu_s)),
        "ratio_cpu_whole_command": middle(lambda f, o: f["cpu_s"] / o["cpu_s"]),
        "needed_share": rounds[0][0]["needed_share"],
        "floor_decode_cpu_ms": middle(lambda f, o: f["decode_cpu_ms"]),
        "floor_infer_cpu_ms": middle(lambda f, o: f["infer_cpu_ms"]),
        "detections": sum(camera["detections"] for camera in rounds[0][1]["said"]["cameras"]),
        "events": sum(camera["events"] for camera in rounds[0][1]["said"]["cameras"]),
        "rounds": len(rounds),
    }


def write_pipeline(
    workload: Workload,
    clips: tuple[Path, ...],
    precision: str,
    isolation: str = "processes",
    *,
    rate: dict[str, object] | None = None,
    **camera: object,
) -> Path:
    """A pipeline file: a line a camera, no gate, events to a file; `rate` instead of every 5th frame."""
    cameras = [
        {
            "name": f"camera-{number}",
            "url": str(clip),
            "lines": [{"name": "count", "start": list(line[0]), "end": list(line[1])}],
            **camera,
        }
        for number, (clip, line) in enumerate(zip(clips, itertools.cycle(workload.lines), strict=False), start=1)
    ]
    document = {
        "bundle": str(workload.bundle),
        "cameras": cameras,
        "detect": {**(rate or {"every": EVERY}), "precision": precision, "gate": "off"},
        "isolation": isolation,
        "events": [{"kind": "file", "path": str(cache_folder() / "events.jsonl")}],
    }
    path = cache_folder() / f"{workload.name}-{clips[0].stem}-{len(clips)}-{precision}-{isolation}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def _check(workload: Workload, said: dict[str, Any]) -> None:
    (cache_folder() / "events.jsonl").unlink()
    if said["errors"] or any(camera["drops"] for camera in said["cameras"]):
        raise SystemExit(f"the run did not go well: {said['errors']}")
    if workload.name == "scenes":
        for camera in said["cameras"]:
            crossings = said["counts"][camera["name"]]["lines"]["count"]
            if not camera["detections"] or not crossings:
                raise SystemExit(f"{camera['name']} has {camera['detections']} detections, crossings {crossings}")


def _first_detections(pipeline: Path, repeats: int) -> Iterator[float]:
    """From exec to the first detection; nothing of an engine is kept between runs, so each is a cold one."""
    import subprocess
    import time

    for _ in range(repeats):
        began = time.time()
        command = [sys.executable, "-c", FIRST_DETECTION, str(pipeline)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        yield json.loads(result.stdout.splitlines()[-1])["first_unix_s"] - began


def main() -> None:
    """Some of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", nargs="*")
    parser.add_argument("--precision")
    parser.add_argument("--isolation", default="processes")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    wish = parser.parse_args()
    found = {}
    for name, one in workloads().items():
        if not wish.workload or name in wish.workload:
            found[name] = measure_workload(one, wish.precision or PRECISION[name], wish.repeats, wish.isolation)
            print(json.dumps({name: found[name]}, indent=2), flush=True)


if __name__ == "__main__":
    main()
