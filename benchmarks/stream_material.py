"""What the stream benchmarks watch, and with what: clips and bundles, made once and kept in a cache.

The cache is `VEDETTE_CACHE`, else ~/.cache/vedette, below `benchmarks/streams-1`. Scene clips are drawn from a seed;
their detector is a yolov3-tiny 416x416 trained on drawn stills within a budget and packed in all precisions. The busy
clip and yolo-fastest come from `VEDETTE_DATA`; without it their workloads are left out. Each piece is made beside its
place and moved there when it is whole: what was ended on the way is made anew, what was finished before it is kept.
"""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAMERAS, SIZE_PX, CLIP_FRAMES = 8, (1920, 1080), 600
STILLS, TRAIN_BUDGET, SEED = 700, "15m", 3
LISTING = "lines.json"  # of clips, beside them
MIDDLE = ((SIZE_PX[0] / 2, 0.0), (SIZE_PX[0] / 2, float(SIZE_PX[1])))


@dataclass(frozen=True)
class Workload:
    """Clips, each with the line that is counted on, and the detector's bundle."""

    name: str
    clips: tuple[Path, ...]
    lines: tuple[Any, ...]
    bundle: Path
    note: str


def cache_folder() -> Path:
    """Where material lies."""
    root = os.environ.get("VEDETTE_CACHE") or Path.home() / ".cache" / "vedette"
    folder = Path(root) / "benchmarks" / "streams-1"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def data_folder() -> Path | None:
    """The real data, where there is any."""
    folder = Path(os.environ.get("VEDETTE_DATA", "../shared/data")).resolve()
    return folder if (folder / "videos" / "busy_1080p30_h264.mp4").is_file() else None


def workloads() -> dict[str, Workload]:
    """All that can be run here, by name."""
    clips, lines = scene_clips()
    bundle = scene_bundle()
    found = {
        "scenes": Workload("scenes", clips, lines, bundle, "drawn belts, a detector trained on such: tracks and counts")
    }
    data = data_folder()
    if data is not None:
        busy = (data / "videos" / "busy_1080p30_h264.mp4",) * CAMERAS
        middle = (MIDDLE,) * CAMERAS
        found["busy"] = Workload("busy", busy, middle, fastest_bundle(data), "real footage, yolo-fastest-1.1-xl")
        found["raw"] = Workload("raw", busy, middle, bundle, "the rate alone: its detections mean nothing here")
    return found


def whole(target: Path, make: Callable[[Path], object]) -> Path:
    """The file or folder at `target`; where there is none, `make` makes it under another name, which it may lack."""
    if not target.exists():
        part = target.with_name(f"part-{target.name}")
        if part.is_dir():  # what somebody ended
            shutil.rmtree(part)
        part.unlink(missing_ok=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        make(part)
        part.rename(target)
    return target


def scene_clips() -> tuple[tuple[Path, ...], tuple[Any, ...]]:
    """Eight drawn 1080p30 clips and their lines."""
    folder = whole(cache_folder() / "clips", _draw_clips)
    lines = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    return (
        tuple(folder / name for name in lines),
        tuple(((x1, y1), (x2, y2)) for x1, y1, x2, y2 in lines.values()),
    )


def _draw_clips(folder: Path) -> None:
    from vedette.contracts.ports import SilentProgress
    from vedette.learn.data.scenes.writing import ClipPlan, write_clips

    plan = ClipPlan(CAMERAS, CLIP_FRAMES, SEED, SIZE_PX)
    clips = write_clips(folder, plan, SilentProgress(), os.cpu_count() or 1)
    listed = {clip.video.name: clip.line_xyxy_px for clip in clips}
    (folder / LISTING).write_text(json.dumps(listed), encoding="utf-8")


def scene_bundle(size: str = "416x416") -> Path:
    """A yolov3-tiny trained on drawn stills, packed in every precision."""
    folder = cache_folder() / f"scenes-{size}"
    bundle = folder / "bundle"
    if bundle.is_dir():
        return bundle
    stills = whole(cache_folder() / "stills", _draw_stills)
    train = ("train", "--data", stills, "--size", size, "--time-budget", TRAIN_BUDGET)
    run = whole(folder / "trained", lambda part: _vedette(*train, "--out", part))
    pack = ("pack", "--run", run, "--data", stills, "--variants", "fp32,bf16,int8", "--calibration", stills)
    return whole(bundle, lambda part: _vedette(*pack, "--out", part))


def _draw_stills(folder: Path) -> None:
    from vedette.contracts.ports import SilentProgress
    from vedette.learn.data.scenes.writing import write_stills

    write_stills(folder, STILLS, SEED, SilentProgress(), os.cpu_count() or 1)


def fastest_bundle(data: Path) -> Path:
    """yolo-fastest-1.1-xl, packed in FP32 (BF16 runs the same file)."""
    model = next(data.glob("weights/**/yolo-fastest-1.1-xl.cfg"))
    names = data / "darknet" / "names" / "coco.names"
    pack = ("pack", "--cfg", model, "--weights", model.with_suffix(".weights"), "--names", names)
    return whole(cache_folder() / "yolo-fastest-1.1-xl", lambda part: _vedette(*pack, "--out", part))


def coded_clips() -> dict[str, Path]:
    """The busy clip as H.264 Main, H.264 High with three B-frames, and H.265."""
    data = data_folder()
    if data is None:
        return {"H.264": scene_clips()[0][0]}
    videos = data / "videos"
    straight = videos / "busy_1080p30_h264.mp4"
    bent = whole(cache_folder() / "busy_b_frames.mp4", lambda part: _encode_b_frames(straight, part))
    return {
        "H.264": straight,
        "H.264, B-frames": bent,
        "H.265": videos / "busy_1080p30_h265.mp4",
    }


def short_clip() -> Path:
    """Ten frames, for what starting costs."""
    return whole(cache_folder() / "short.mp4", _cut_short)


def _cut_short(target: Path) -> None:
    import av

    with av.open(str(scene_clips()[0][0])) as source, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if number == 10 or packet.dts is None:
                break
            packet.stream = stream
            output.mux(packet)


def _encode_b_frames(source: Path, target: Path) -> None:
    import av

    with av.open(str(source)) as film, av.open(str(target), "w") as output:
        video = output.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = *SIZE_PX, "yuv420p"
        video.bit_rate = 4_000_000
        video.codec_context.gop_size = 60
        video.codec_context.max_b_frames = 3
        video.options = {"preset": "veryfast", "profile": "high", "bf": "3"}
        for frame in film.decode(video=0):
            frame.pict_type = av.video.frame.PictureType.NONE
            output.mux(video.encode(frame))
        output.mux(video.encode())


def _vedette(*arguments: object) -> None:
    from vedette.apps.cli import run_command

    with contextlib.redirect_stdout(io.StringIO()):
        code = run_command([str(argument) for argument in arguments])
    if code != 0:
        raise SystemExit(f"vedette {arguments[0]} ended with exit code {code}")
