"""The tracker beside SORT and ByteTrack of the `trackers` package: quality on MOT15, microseconds a frame, counting.

Quality: the four sequences of VEDETTE_DATA's `mot` folder, detections of SORT's own Faster R-CNN, every frame and every
5th, scored by motmetrics. Speed: a drawn crowd. Counting: crossings of drawn factories, the detector's noise drawn too.
VEDETTE_TRACKERS_PYTHON names the Python of an environment with `trackers`; without it that side stays empty.
docs/reference/tracking.md holds the tables: `python -m benchmarks.tracking` prints them from the record.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vedette.contracts.detections import Detections
from vedette.edge.analytics.track import ByteTracker

HERE = Path(__file__).parent
SCORING = HERE.parent / "tests" / "edge" / "analytics"  # the scorer is the tests'
RECORDED = HERE / "results" / "tracking.json"
EVERY = (1, 5)
PUBLISHED = {"TUD-Campus": (62.7, 6), "ETH-Sunnyday": (59.1, 22)}  # SORT's README: MOTA, id switches, every frame
CROWDS = ((5, False), (20, False), (20, True), (100, False), (100, True))  # objects, some of them weak
CROWD_FRAMES, WARM_UP_FRAMES, ROUNDS = 300, 20, 5
SCENES, SCENE_FRAMES = 12, 1260
Jobs = dict[str, tuple[float, dict[int, Detections]]]  # by name: frames per second, detections by frame number


def measure() -> dict[str, Any]:
    """All figures; `figures["quality"]` is empty without the real data."""
    sys.path.insert(0, str(SCORING))
    data = Path(os.environ.get("VEDETTE_DATA", "../shared/data")) / "mot"
    crowds: Jobs = {_crowd_name(*crowd): (30.0, _draw_crowd(*crowd)) for crowd in CROWDS}
    sequences = _sequences(data) if data.is_dir() else {}
    rivals = _run_rivals(crowds | sequences)
    return {
        "rivals": rivals.get("versions", "not run: VEDETTE_TRACKERS_PYTHON names no Python"),
        "quality": {name: _judge(data, name, sequences[name], rivals) for name in sequences},
        "five_phases": {name: _judge_phases(data, name) for name in _frames_per_s() if sequences},
        "speed_us": {name: _time(*crowds[name], name, rivals) for name in crowds},
        "counting": {f"every {every}": _count(every) for every in (1, 5, 10)},
    }


def _frames_per_s() -> dict[str, int]:
    from mot_scoring import FRAMES_PER_S

    return dict(FRAMES_PER_S)


def _sequences(data: Path) -> Jobs:
    from mot_scoring import detections_of

    jobs: Jobs = {}
    for sequence, frames_per_s in _frames_per_s().items():
        detections = detections_of(data, sequence)
        last = _last_frame(data, sequence)
        for every in EVERY:
            frames = {
                frame: detections.get(frame, Detections.empty(("person",))) for frame in range(1, last + 1, every)
            }
            jobs[f"{sequence} every {every}"] = (frames_per_s, frames)
    return jobs


def _last_frame(data: Path, sequence: str) -> int:
    from mot_scoring import read_truth

    return int(max(read_truth(data, sequence)))


def _run_rivals(jobs: Jobs) -> dict[str, Any]:
    python = os.environ.get("VEDETTE_TRACKERS_PYTHON")
    if not python:
        return {}
    rows = []
    for name, (frames_per_s, frames) in jobs.items():
        step = _step(frames)
        rows.append(
            {
                "name": name,
                "frames_per_s": frames_per_s / step,
                "frames": [
                    {
                        "time_s": (number - 1) / frames_per_s,
                        "boxes_xyxy_px": some.boxes_xyxy_px.tolist(),
                        "scores": some.scores.tolist(),
                    }
                    for number, some in frames.items()
                ],
            }
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "jobs.json", Path(folder) / "results.json"
        source.write_text(json.dumps(rows), encoding="utf-8")
        program = HERE / "rivals" / "programs" / "trackers_package.py"
        subprocess.run([python, program, source, target], check=True)
        found: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return found


def _step(frames: dict[int, Detections]) -> int:
    first, second = list(frames)[:2]
    return second - first


# -- quality ------------------------------------------------------------------------------------------------------


def _judge(data: Path, name: str, job: tuple[float, dict[int, Detections]], rivals: dict[str, Any]) -> dict[str, Any]:
    from mot_scoring import read_truth, score, track

    sequence, every = name.split(" every ")
    frames_per_s, frames = job
    truth = read_truth(data, sequence, int(every))
    figures = {"ours": _figures(score(truth, track(ByteTracker(), frames, frames, frames_per_s)))}
    for rival, by_job in rivals.get("results", {}).items():
        for way, result in by_job[name].items():
            found = {
                frame: (np.array(tracks["ids"], np.int64), np.array(tracks["boxes_xyxy_px"]).reshape(-1, 4))
                for frame, tracks in zip(frames, result["tracks"], strict=True)
            }
            figures[f"{rival}, {way}"] = _figures(score(truth, found))
    return figures


def _judge_phases(data: Path, sequence: str) -> dict[str, float]:
    """Ours at every 5th frame, the mean over which of the five comes first."""
    from mot_scoring import FRAMES_PER_S, detections_of, read_truth, score, track

    detections, scores = detections_of(data, sequence), []
    for first in range(1, 6):
        truth = read_truth(data, sequence, 5, first)
        scores.append(score(truth, track(ByteTracker(), detections, truth, FRAMES_PER_S[sequence])))
    return {
        "mota": round(statistics.fmean(one.mota for one in scores), 1),
        "idf1": round(statistics.fmean(one.idf1 for one in scores), 1),
    }


def _figures(score: Any) -> dict[str, float]:
    return {"mota": round(score.mota, 1), "idf1": round(score.idf1, 1), "switches": score.switches}


# -- speed --------------------------------------------------------------------------------------------------------


def _crowd_name(objects: int, weak: bool) -> str:
    return f"{objects} objects" + (", some weak" if weak else "")


def _draw_crowd(objects: int, weak: bool) -> dict[int, Detections]:
    """People who walk about in a 1080p picture, through each other; never missed, so that nothing is left out."""
    random = np.random.default_rng(0)
    width = random.uniform(40, 90, objects)
    place, speed = random.uniform([60, 60], [1860, 1020], (objects, 2)), random.uniform(-60, 60, (objects, 2))
    class_ids = random.integers(4, size=objects).astype(np.int32)
    frames = {}
    for number in range(1, CROWD_FRAMES + 1):
        at = np.abs(place + speed * number / 30)
        at = np.array([1920, 1080]) - np.abs(np.array([1920, 1080]) - at)
        half = np.stack([width / 2, width], axis=1)
        boxes = np.concatenate([at - half, at + half], axis=1) + random.normal(0, 1.5, (objects, 4))
        scores = random.uniform(0.15 if weak else 0.5, 0.95, objects)
        order = np.argsort(-scores)
        frames[number] = Detections(
            boxes[order].astype(np.float32), scores[order].astype(np.float32), class_ids[order], ("a", "b", "c", "d")
        )
    return frames


def _time(frames_per_s: float, frames: dict[int, Detections], name: str, rivals: dict[str, Any]) -> dict[str, float]:
    medians = []
    for _ in range(ROUNDS):
        tracker, durations_s = ByteTracker(), []
        for number, detections in frames.items():
            began = time.perf_counter()
            tracker.update(detections, (number - 1) / frames_per_s)
            durations_s.append(time.perf_counter() - began)
        medians.append(statistics.median(durations_s[WARM_UP_FRAMES:]) * 1e6)
    theirs = {rival: by_job[name]["fixed rate"]["median_us"] for rival, by_job in rivals.get("results", {}).items()}
    return {"ours": round(statistics.median(medians), 1), **theirs}


# -- counting -----------------------------------------------------------------------------------------------------


def _count(every: int) -> dict[str, Any]:
    from scene_counting import Noise, count, detect, errors, true_counts

    from vedette.learn.data.scenes.factory import Factory

    wrong = true = 0
    for seed in range(1000, 1000 + SCENES):
        factory, frames = Factory(seed, SCENE_FRAMES), range(0, SCENE_FRAMES, every)
        random = np.random.default_rng([seed, every])
        counted = count(factory, frames, lambda frame, f=factory, r=random: detect(f, frame, r, Noise()))
        wrong += errors(counted, true_counts(factory, frames))
        true += true_counts(factory, frames).total()
    return {"true": true, "wrong": wrong, "accuracy": round(1 - wrong / true, 4)}


# -- tables -------------------------------------------------------------------------------------------------------


def as_markdown(figures: dict[str, Any]) -> str:
    """The tables, one after another."""
    return "\n\n".join(
        [_quality_table(figures), _speed_table(figures["speed_us"]), _counting_table(figures["counting"])]
    )


def _quality_table(figures: dict[str, Any]) -> str:
    rows = []
    for name, entry in figures["quality"].items():
        sequence, every = name.split(" every ")
        mota, switches = PUBLISHED.get(sequence, ("", ""))
        published = f"{mota} / – / {switches}" if mota and every == "1" else "–"
        phases = figures["five_phases"][sequence]
        ours = _cell(entry["ours"]) + (f" (mean of five: {phases['mota']} / {phases['idf1']})" if every == "5" else "")
        rivals = [
            _cell(entry.get(f"{rival}, {way}")) for rival in ("SORT", "ByteTrack") for way in ("fixed rate", "timed")
        ]
        rows.append((sequence, every, ours, *rivals, published))
    columns = ("SORT, fixed rate", "SORT, timed", "ByteTrack, fixed rate", "ByteTrack, timed", "SORT, published")
    return _table(("sequence", "every", "ours", *columns), rows)


def _cell(figures: dict[str, float] | None) -> str:
    return "–" if figures is None else f"{figures['mota']} / {figures['idf1']} / {figures['switches']}"


def _speed_table(speed: dict[str, dict[str, float]]) -> str:
    rows = [
        (name, *(str(entry.get(who, "–")) for who in ("ours", "SORT", "ByteTrack"))) for name, entry in speed.items()
    ]
    return _table(("microseconds a frame", "ours", "`trackers` SORT", "`trackers` ByteTrack"), rows)


def _counting_table(counting: dict[str, dict[str, Any]]) -> str:
    rows = [(n, str(e["true"]), str(e["wrong"]), f"{100 * e['accuracy']:.1f} %") for n, e in counting.items()]
    return _table(("detection on", "true crossings", "too many or too few", "right"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    print(as_markdown(json.loads(RECORDED.read_text(encoding="utf-8"))["figures"]))
