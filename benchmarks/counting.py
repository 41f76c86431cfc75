"""Crossings counted on drawn factory clips by a real detector, against the truth, at every 1st, 5th and 10th frame.

The detector is the bundle of a demo: VEDETTE_DEMO names the folder of `vedette demo --keep`; without it a demo is run
first (some 5 minutes). The clips are H.264 and of another seed than anything that the demo trained on or watched. Every
frame is detected on once; then tracker and rules see every Nth of them, once for each frame that may come first. A
crossing of the wrong class or direction is two errors: one too few, one too many.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import av

import vedette
from vedette.contracts.detections import Detections
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Line
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.analytics.track import ByteTracker, TrackerSettings
from vedette.learn.data.scenes.factory import FPS
from vedette.learn.data.scenes.writing import Clip, ClipPlan, write_clips

CLIPS, FRAMES, SEED = 6, 1260, 77
WEAK_SHARE = 0.4  # as `vedette run` has it
EVERY = (1, 5, 10)


class _Silence:
    """`contracts.ports.Progress` that reports nothing."""

    def start(self, stage: str, total: int, unit: str) -> None:
        pass

    def advance(self, count: int = 1, **figures: float) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def measure() -> dict[str, Any]:
    """Accuracy by interval, with what it is made of."""
    with tempfile.TemporaryDirectory() as folder:
        detector = vedette.load(_bundle(Path(folder)), threads=1)
        strong = detector.manifest.thresholds.score
        detector = vedette.load(_bundle(Path(folder)), threads=1, score=WEAK_SHARE * strong)
        clips = write_clips(Path(folder) / "clips", ClipPlan(CLIPS, FRAMES, SEED), _Silence(), os.cpu_count() or 1)
        found = [_detect(detector, clip) for clip in clips]
    figures: dict[str, Any] = {"clips": CLIPS, "frames": FRAMES, "bundle": detector.manifest.name}
    for every in EVERY:
        wrong = true = 0
        for clip, detections in zip(clips, found, strict=True):
            for first in range(every):
                frames = range(first, len(detections), every)
                counted, expected = _count(clip, detections, frames, strong), _expect(clip, frames)
                wrong += sum(abs(counted[key] - expected[key]) for key in counted.keys() | expected.keys())
                true += expected.total()
        figures[f"every {every}"] = {"true": true, "wrong": wrong, "accuracy": round(1 - wrong / true, 4)}
    return figures


def _bundle(folder: Path) -> Path:
    kept = os.environ.get("VEDETTE_DEMO")
    if kept:
        return Path(kept) / "bundle"
    demo = folder / "demo"
    if not demo.is_dir():
        command = [sys.executable, "-m", "vedette", "demo", "--keep", str(demo), "--show", "127.0.0.1:0"]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return demo / "bundle"


def _detect(detector: Any, clip: Clip) -> list[Detections]:
    with av.open(str(clip.video)) as container:
        return [detector(frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def _count(clip: Clip, detections: list[Detections], frames: range, strong: float) -> Counter[tuple[str, str]]:
    x1, y1, x2, y2 = clip.line_xyxy_px
    rules = CameraRules(clip.name, [Line(name="count", start=(x1, y1), end=(x2, y2))], [], width=1280, height=720)
    tracker = ByteTracker(TrackerSettings(strong_score=strong))
    counted: Counter[tuple[str, str]] = Counter()
    for frame in frames:
        stamp = FrameStamp(clip.name, frame, frame / FPS, 0.0, 1280, 720)
        for occurrence in rules.update(stamp, tracker.update(detections[frame], frame / FPS)):
            assert occurrence.direction is not None
            counted[occurrence.direction.value, occurrence.class_name] += 1
    return counted


def _expect(clip: Clip, frames: range) -> Counter[tuple[str, str]]:
    seen = [crossing for crossing in clip.crossings if frames[0] < crossing.frame <= frames[-1]]
    return Counter((crossing.direction, crossing.class_name) for crossing in seen)


def as_markdown(figures: dict[str, Any]) -> str:
    """The table of docs/reference/tracking.md."""
    lines = ["| detection on | true crossings, all phases | too many or too few | right |", "| --- | --- | --- | --- |"]
    for every in EVERY:
        entry = figures[f"every {every}"]
        lines.append(f"| every {every} | {entry['true']} | {entry['wrong']} | {100 * entry['accuracy']:.1f} % |")
    return "\n".join(lines)
