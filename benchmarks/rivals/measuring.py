"""The same work by every contestant, in turns, and what it took: rounds of all of them, medians over the rounds.

Eight copies of a busy 1080p clip, detection on every 5th frame, tracking, as fast as possible, one program. Ours also
counts at a line, watches a zone and writes its events to a file. Compared at equal network input, CPU second for CPU
second: ratio = rival / ours, ceiling = rival / floor. Every contestant runs once in each round, so that whatever else
the machine does meets all alike.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.compiled import compile_sources
from benchmarks.rivals.environments import python_of, versions
from benchmarks.rivals.network import OBJECTS as OBJECTS_WANTED
from benchmarks.rivals.network import MadeDetector, make_detector, quantise, write_pictures
from benchmarks.rivals.processes import Cost, run_measured

STREAMS, EVERY, BATCH = 8, 5, 4
SIZES = {"416x416": (416, 416), "416x256": (416, 256)}
# name: (what it is, the input that it is compared at, the ratio of CPU seconds that ours is to reach)
RIVALS = {
    "opencv": ("OpenCV grab + OpenCV DNN FP32 + trackers' ByteTrack", "416x416", 2.0),
    "ultralytics": ("Ultralytics track, PyTorch FP32 (its default)", "416x256", 2.2),
    "ultralytics_int8": ("Ultralytics track, OpenVINO INT8", "416x256", 1.3),
    "handwritten": ("OpenCV grab + OpenVINO async INT8 + trackers' ByteTrack, by hand", "416x256", 1.15),
}
MEMORY_SHARE = 1 / 3  # of Ultralytics', at most
QUIET_RATIO = 8.0
KNOWING = "floor_that_knows"
PICTURES_OF_EACH = 4  # quiet clip
PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True)
class Workplace:
    """A folder with the environments and everything that was prepared in it."""

    folder: Path
    precision: str = "int8"
    material: str = ""  # the networks' heads are set by what they will see: "" by the busy clip, "quiet" by quiet ones

    @property
    def made(self) -> Path:
        return self.folder / f"made-{self.precision}" / self.material

    @property
    def environment(self) -> dict[str, str]:
        """Ultralytics keeps its settings here and looks for nothing on the network."""
        config = self.made / "ultralytics-settings"
        return {"YOLO_CONFIG_DIR": str(config), "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}

    def detector(self, size: str) -> MadeDetector:
        folder = self.made / size
        return MadeDetector(folder / "model.cfg", folder / "model.weights", folder / "bundle", folder / "anchors.json")


@dataclass(slots=True)
class Runs:
    """Every run of one contestant."""

    costs: list[Cost] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Medians, and how far CPU seconds were apart."""
        middle = statistics.median
        cpu = [1000 * cost.cpu_s / cost.said["frames"] for cost in self.costs]
        firsts = [cost.first_result_s for cost in self.costs if cost.first_result_s is not None]
        objects = [cost.said["objects"] / cost.said["slots"] for cost in self.costs if "objects" in cost.said]
        tracked = [cost.said["tracked"] / cost.said["slots"] for cost in self.costs if "tracked" in cost.said]
        last = self.costs[-1].said
        return {
            "frames_per_s": round(middle(cost.said["frames"] / cost.wall_s for cost in self.costs), 1),
            "cpu_s_per_1000_frames": round(middle(cpu), 2),
            "cpu_least_and_most": [round(min(cpu), 2), round(max(cpu), 2)],
            "cpu_each": [round(value, 3) for value in cpu],
            "peak_pss_mib": round(middle(cost.peak_pss_mib for cost in self.costs)),
            "first_result_s": round(middle(firsts), 2) if firsts else None,
            "frames": last["frames"],
            "slots": last["slots"],
            "objects_per_slot": round(middle(objects), 1) if objects else None,
            "tracked_per_slot": round(middle(tracked), 1) if tracked else None,
            **({"events": last["events_published"]} if "events_published" in last else {}),
            **({"decoded_share": round(last["decoded"] / last["frames"], 3)} if "decoded" in last else {}),
            "rounds": len(self.costs),
        }


def busy_clip() -> Path:
    """`videos/busy_1080p30_h264.mp4` of the folder that VEDETTE_DATA names."""
    path = (Path(os.environ.get("VEDETTE_DATA", "../shared/data")) / "videos" / "busy_1080p30_h264.mp4").resolve()
    if not path.is_file():
        raise SystemExit(f"{path} is missing; set VEDETTE_DATA to the folder that has videos/{path.name}")
    return path


def prepare(place: Workplace, clip: Path) -> None:
    """Make every side's network: ours and what comes of it for both input sizes, and Ultralytics' own."""
    pictures = write_pictures(clip, place.made / "pictures")
    for size in SIZES:
        _say(f"{size}: weights, bundle")
        made = _make(place, size, pictures)
        _say(f"{size}: INT8 for the hand-written loop")
        quantise(python_of(place.folder, "openvino"), made, pictures)
    _say("Ultralytics: network, INT8 export")
    Path(place.environment["YOLO_CONFIG_DIR"]).mkdir(exist_ok=True)
    width, height = SIZES["416x256"]
    arguments = [place.made, height, width, OBJECTS_WANTED, STREAMS, *pictures]
    program = [python_of(place.folder, "ultralytics"), str(PROGRAMS / "ultralytics_prepare.py")]
    run_measured([*program, *map(str, arguments)], place.environment)


def _make(place: Workplace, size: str, pictures: Sequence[Path]) -> MadeDetector:
    width, height = SIZES[size]
    return make_detector(place.made / size, pictures, width, height, place.precision)


def measure(place: Workplace, rounds: int) -> Iterator[dict[str, Any]]:
    """Every contestant on the busy clip, `rounds` times in turns; the figures so far after each round."""
    clips = [str(busy_clip())] * STREAMS
    contestants = [*(f"floor_{size}" for size in SIZES), *(f"ours_{size}" for size in SIZES), *RIVALS]
    runs = {name: Runs() for name in contestants}
    for number in range(rounds):
        for name in contestants:
            cost = run_contestant(place, name, clips)
            _say(
                f"round {number + 1}, {name}: {cost.said['frames'] / cost.wall_s:.0f} frames/s, {cost.cpu_s:.1f} CPU s"
            )
            runs[name].costs.append(cost)
        figures = {name: found.figures() for name, found in runs.items()}
        yield {
            "streams": STREAMS,
            "every": EVERY,
            "clip": busy_clip().name,
            "our_precision": place.precision,
            "contestants": figures,
            "comparison": compare(figures),
            "ultralytics_suppression": runs["ultralytics"].costs[-1].said["suppression"],
            "environments": versions(place.folder),
        }


def compare(figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Ratio, ceiling and aim of every rival, at its input size: medians of the rounds' own ratios.

    A shared machine is quicker in one round than in another; within a round it meets all alike, or nearly so.
    """
    compared = {}
    for name, (_, size, aim) in RIVALS.items():
        ours = figures[f"ours_{size}"]
        rival_s = figures[name]["cpu_each"]
        each = _ratios(rival_s, ours["cpu_each"])
        ratio = statistics.median(each)
        compared[name] = {
            "input": size,
            "ratio": round(ratio, 2),
            "ratio_each": [round(one, 2) for one in each],
            "aim": aim,
            "reached": ratio >= aim,
            "ceiling": round(statistics.median(_ratios(rival_s, figures[f"floor_{size}"]["cpu_each"])), 2),
            "our_share_of_its_memory": round(ours["peak_pss_mib"] / figures[name]["peak_pss_mib"], 2),
        }
    return compared


def _ratios(theirs: Sequence[float], others: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(theirs, others, strict=True)]


def measure_quiet(
    place: Workplace, figures: dict[str, dict[str, Any]], quiet: Sequence[Path], rounds: int
) -> dict[str, Any]:
    """Each clip a camera: ours with the gate, and the rival that needed the fewest CPU seconds for busy work, in turns.

    Where all clips are films of the gate's proof, also the floor of a gate that knows what happens in them.
    """
    clips = [str(path.resolve()) for path in quiet]
    best = min(RIVALS, key=lambda name: figures[name]["cpu_s_per_1000_frames"])
    if best.startswith("ultralytics"):
        raise SystemExit(f"{best} was the best on the busy clip, and there is no network of it for quiet ones")
    size = RIVALS[best][1]
    place = replace(place, material="quiet")
    shutil.rmtree(place.made, ignore_errors=True)
    pictures = [one for path in quiet for one in write_pictures(path, place.made / "pictures", PICTURES_OF_EACH)]
    quantise(python_of(place.folder, "openvino"), _make(place, size, pictures), pictures)
    ours = f"ours_{size}_gate_bitstream"
    asked = {best: (best, ()), ours: (f"ours_{size}", ("--gate", "bitstream"))}
    spans = _active_spans(quiet)
    if spans is not None:
        asked = {KNOWING: (f"floor_{size}", ("--active", json.dumps(spans))), **asked}
    runs = {label: Runs() for label in asked}
    for number in range(rounds):
        for label, (name, extra) in asked.items():
            cost = run_contestant(place, name, clips, extra)
            _say(f"quiet, round {number + 1}, {label}: {cost.cpu_s:.1f} CPU s")
            runs[label].costs.append(cost)
    return {
        "clips": [path.name for path in quiet],
        "best_rival": best,
        "input": size,
        "contestants": {label: found.figures() for label, found in runs.items()},
        **compare_quiet({label: [cost.cpu_s for cost in found.costs] for label, found in runs.items()}, best, ours),
    }


def compare_quiet(cpu_s: dict[str, list[float]], best: str, ours: str) -> dict[str, Any]:
    """The ratio of medians beside its aim, that of each round, and the ceiling where it is known."""
    middle = {label: statistics.median(each) for label, each in cpu_s.items()}
    ratio = middle[best] / middle[ours]
    return {
        "ratio": round(ratio, 2),
        "ratio_each": [round(one, 2) for one in _ratios(cpu_s[best], cpu_s[ours])],
        **({"ceiling": round(middle[best] / middle[KNOWING], 2)} if KNOWING in middle else {}),
        "aim": QUIET_RATIO,
        "reached": ratio >= QUIET_RATIO,
        "rounds": len(cpu_s[ours]),
    }


def _active_spans(quiet: Sequence[Path]) -> list[list[tuple[int, int]]] | None:
    """In which frames of each film something happens; None where one is not a film of the gate's proof."""
    from benchmarks.gate_material import films

    active = {film.name: film.active for film in films()}
    names = [path.stem for path in quiet]
    return [active[name] for name in names] if active.keys() >= set(names) else None


def run_contestant(place: Workplace, name: str, clips: Sequence[str], extra: Sequence[str] = ()) -> Cost:
    """One run of one contestant over these clips, each a camera."""
    kind, _, size = name.rpartition("_")
    if size not in SIZES:
        kind, size = name, RIVALS[name][1]
    made = place.detector(size)
    if not made.bundle.is_dir():
        raise SystemExit(f"{made.bundle} is missing; make it with: python -m benchmarks.rivals prepare {place.folder}")
    if kind == "floor":
        floor = [
            sys.executable,
            "-m",
            "benchmarks.rivals.floor",
            made.bundle,
            place.precision,
            EVERY,
            BATCH,
            *clips,
            *extra,
        ]
        return run_measured([str(part) for part in floor], {})
    if kind == "ours":
        return _run_ours(place, made, clips, extra)
    with tempfile.TemporaryDirectory() as folder:
        return run_measured(_rival_command(place, name, made, clips, Path(folder)), place.environment)


def _run_ours(place: Workplace, made: MadeDetector, clips: Sequence[str], extra: Sequence[str]) -> Cost:
    """The product as a user runs it: a counting line, a zone, events to a file; its first byte is the first result."""
    compile_sources()
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        command = [str(Path(sys.executable).parent / "vedette"), "run", "--bundle", str(made.bundle), "--json"]
        command += ["--every", str(EVERY), "--precision", place.precision, "--events", str(events), *extra]
        command += ["--line", "50%,0%,50%,100%", "--zone", "all=0%,0%;100%,0%;100%,100%;0%,100%"]
        for number, clip in enumerate(clips):
            command += ["--camera", f"camera-{number + 1}={clip}"]
        cost = run_measured(command, {}, first_result=events)
    if cost.said["errors"]:
        raise SystemExit(f"our run failed: {cost.said['errors']}")
    cameras = cost.said["cameras"]
    totals = {key: sum(camera[key] for camera in cameras) for key in ("frames", "gated", "slots", "gated_slots")}
    cost.said.update(
        frames=totals["frames"] + totals["gated"],
        decoded=totals["frames"],
        slots=totals["slots"] - totals["gated_slots"],  # those detected on
        objects=sum(camera["detections"] for camera in cameras),
        events_published=cost.said["events"]["published"],
    )
    return cost


def _rival_command(place: Workplace, name: str, made: MadeDetector, clips: Sequence[str], folder: Path) -> list[str]:
    if name == "opencv":
        command = [PROGRAMS / "opencv_loop.py", made.cfg, made.weights, EVERY, *clips]
        return [python_of(place.folder, "opencv"), *map(str, command)]
    if name == "handwritten":
        command = [PROGRAMS / "openvino_loop.py", made.bundle.parent / "handwritten-int8.xml", made.anchors, EVERY]
        return [python_of(place.folder, "openvino"), *map(str, command), *clips]
    model = {"ultralytics": "measured.pt", "ultralytics_int8": "measured_int8_openvino_model"}[name]
    streams = folder / "cameras.streams"
    streams.write_text("\n".join(clips) + "\n", encoding="utf-8")
    command = [PROGRAMS / "ultralytics_track.py", place.made / model, streams, EVERY, SIZES["416x256"][0]]
    return [python_of(place.folder, "ultralytics"), *map(str, command)]


def show(cost: Cost) -> str:
    """One run as JSON, for trying a single contestant."""
    frames = cost.said["frames"]
    return json.dumps(
        {
            "frames_per_s": round(frames / cost.wall_s, 1),
            "cpu_s_per_1000_frames": round(1000 * cost.cpu_s / frames, 2),
            "peak_pss_mib": round(cost.peak_pss_mib),
            "first_result_s": cost.first_result_s and round(cost.first_result_s, 2),
            **{key: cost.said[key] for key in ("frames", "slots", "objects", "tracked") if key in cost.said},
        }
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
