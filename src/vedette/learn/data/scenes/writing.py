"""Drawn factories on disk: stills with VOC labels, and H.264 clips with their true crossings in a sidecar.

Work is spread over processes; every file is written beside its place and moved there whole. Seeds of stills and clips
come from ranges that never meet, so no scene that is counted in was trained on.
"""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any
from xml.etree import ElementTree

import cv2

from vedette.contracts.ports import Progress
from vedette.learn.data.samples import LabelledObject
from vedette.learn.data.scenes.factory import FPS, Crossing, Factory

STILLS_PER_SCENE = 4
FRAMES_BETWEEN_STILLS = 75
JPEG_QUALITY = 90
_CLIP_SEED_OFFSET = 1_000_000  # stills use seeds below this one
_PROGRESS_EVERY_FRAMES = 15


@dataclass(frozen=True, slots=True)
class Clip:
    """One drawn clip: the video, its line (pixels of the clip) and the truth's sidecar."""

    name: str
    video: Path
    truth: Path
    line_xyxy_px: tuple[float, float, float, float]
    crossings: tuple[Crossing, ...]


@dataclass(frozen=True, slots=True)
class _ClipTask:
    folder: Path
    name: str
    seed: int
    frames: int
    size: tuple[int, int]  # width, height in pixels


def write_stills(folder: Path, count: int, seed: int, progress: Progress, workers: int) -> None:
    """Draw `count` labelled stills as a VOC folder (JPEGImages, Annotations)."""
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    scenes = -(-count // STILLS_PER_SCENE)
    tasks = [(folder, seed * 10_000 + n, min(STILLS_PER_SCENE, count - n * STILLS_PER_SCENE)) for n in range(scenes)]
    progress.start("drawing stills", count, "pictures")
    _spread(_write_scene_stills, tasks, workers, progress)


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """How many clips of how many frames (30 a second), of which size, from which seed."""

    count: int
    frames: int
    seed: int
    size_wh_px: tuple[int, int] = (1280, 720)


def write_clips(folder: Path, plan: ClipPlan, progress: Progress, workers: int) -> tuple[Clip, ...]:
    """Draw the clips as `belt-N.mp4` and the truth beside each, `belt-N.truth.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    first_seed = _CLIP_SEED_OFFSET + plan.seed * 10_000
    tasks = [
        _ClipTask(folder, f"belt-{n + 1}", first_seed + n, plan.frames, plan.size_wh_px) for n in range(plan.count)
    ]
    progress.start("drawing clips", plan.count * plan.frames, "frames")
    return tuple(_spread(_write_clip, tasks, workers, progress))


def read_truth(path: Path) -> tuple[Crossing, ...]:
    """The crossings of a sidecar, `[{"line", "direction", "class", "frame"}]`."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Crossing(row["line"], row["direction"], row["class"], row["frame"]) for row in rows)


def _spread(function: Callable[..., Any], tasks: list[Any], workers: int, progress: Progress) -> list[Any]:
    """Run `function(task, report)` for every task in processes; results in the order of the tasks."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        reports = manager.Queue()
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = [pool.submit(function, task, reports) for task in tasks]
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                _drain(reports, progress)
                if any(future.exception() for future in finished):
                    pool.shutdown(cancel_futures=True)
                    break
            _drain(reports, progress)
            return [future.result() for future in futures]


def _drain(reports: Any, progress: Progress) -> None:
    while True:
        try:
            progress.advance(reports.get_nowait())
        except Empty:
            return


def _write_scene_stills(task: tuple[Path, int, int], reports: Any) -> None:
    cv2.setNumThreads(1)
    folder, seed, count = task
    factory = Factory(seed, STILLS_PER_SCENE * FRAMES_BETWEEN_STILLS)
    for number in range(count):
        frame = number * FRAMES_BETWEEN_STILLS
        name = f"still-{seed:06d}-{number}"
        picture = folder / "JPEGImages" / f"{name}.jpg"
        done, data = cv2.imencode(".jpg", factory.draw_noisy_bgr(frame), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        assert done, "OpenCV has a JPEG encoder"
        picture.write_bytes(data.tobytes())
        labels = folder / "Annotations" / f"{name}.xml"
        labels.write_bytes(_voc_xml(picture.name, (factory.width_px, factory.height_px), factory.objects(frame)))
        reports.put(1)


def _voc_xml(file_name: str, size: tuple[int, int], objects: tuple[LabelledObject, ...]) -> bytes:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = file_name
    node = ElementTree.SubElement(root, "size")
    for tag, value in (("width", size[0]), ("height", size[1]), ("depth", 3)):
        ElementTree.SubElement(node, tag).text = str(value)
    for labelled in objects:
        node = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(node, "name").text = labelled.class_name
        ElementTree.SubElement(node, "truncated").text = str(int(labelled.truncated))
        ElementTree.SubElement(node, "difficult").text = "0"
        x1, y1, x2, y2 = (int(value) for value in labelled.box_xyxy_px)
        box = ElementTree.SubElement(node, "bndbox")
        for tag, value in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):  # VOC: 1-based, inclusive
            ElementTree.SubElement(box, tag).text = str(value)
    ElementTree.indent(root)
    return ElementTree.tostring(root)


def _write_clip(task: _ClipTask, reports: Any) -> Clip:
    cv2.setNumThreads(1)
    factory = Factory(task.seed, task.frames, *task.size)
    video, truth = task.folder / f"{task.name}.mp4", task.folder / f"{task.name}.truth.json"
    partial = video.with_suffix(".part.mp4")
    _encode(factory, partial, reports)
    crossings = factory.crossings()
    rows = [{"line": c.line, "direction": c.direction, "class": c.class_name, "frame": c.frame} for c in crossings]
    truth.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    partial.replace(video)
    return Clip(task.name, video, truth, factory.line_xyxy_px, crossings)


def _encode(factory: Factory, path: Path, reports: Any) -> None:
    """H.264 High, a keyframe every two seconds, one encoder thread a process."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = factory.width_px, factory.height_px, "yuv420p"
        stream.gop_size = 2 * FPS
        stream.thread_count = 1
        stream.options = {"preset": "ultrafast", "crf": "28"}
        for number in range(factory.frames):
            frame = av.VideoFrame.from_ndarray(factory.draw_noisy_yuv(number), format="yuv420p")
            container.mux(stream.encode(frame))
            if number % _PROGRESS_EVERY_FRAMES == _PROGRESS_EVERY_FRAMES - 1:
                reports.put(_PROGRESS_EVERY_FRAMES)
        container.mux(stream.encode())
        reports.put(factory.frames % _PROGRESS_EVERY_FRAMES)
