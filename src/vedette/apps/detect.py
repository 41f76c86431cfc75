"""`vedette detect`: pictures in, annotated pictures and detections out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.apps.whole_files import write_whole
from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.contracts.detections import Detections
    from vedette.contracts.ports import Detector

PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
REPORT_NAME = "detections.json"
JPEG_QUALITY = 95


def detect(
    bundle: Path,
    /,
    *pictures: str,
    out: Path,
    score: float | None = None,
    nms: float | None = None,
    max_detections: Annotated[int | None, Parameter(name="--max")] = None,
    engine: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = "auto",
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Detect in pictures with a bundle; write annotated pictures and detections.json into a folder.

    A picture that cannot be read is reported, the others are done, and the exit code is 1.

    Parameters
    ----------
    bundle
        The bundle's folder, or s3://BUCKET/PREFIX.
    pictures
        Files, folders (every picture directly in them), both also as s3://BUCKET/..., or patterns as 'shots/*.jpg'.
    out
        The folder for the annotated pictures; they keep their names.
    score
        Least score; the bundle's own (0.25 unless packed otherwise) when left out.
    nms
        Greatest overlap (IoU) of two boxes of one class; the bundle's own (0.45) when left out.
    max_detections
        Most detections of a picture; the bundle's own (300) when left out.
    engine
        auto is OpenVINO where it is installed, else ONNX Runtime. tensorrt builds an engine for this box's GPU.
    precision
        int8 and fp16 where the bundle was packed with them; bf16 and fp16 need a processor that has them.
    json
        Print the detections as JSON on standard output.
    """
    from vedette.apps.console import ConsoleProgress, print_json, print_line, warn
    from vedette.apps.library import load
    from vedette.apps.object_storage import refuse_s3

    refuse_s3(out, "--out")
    found = find_pictures(pictures)
    targets = name_targets(list(found), out)
    report: list[dict[str, Any]] = []
    failures = 0
    with ConsoleProgress() as progress:
        detector = load(
            bundle, engine, precision, score=score, nms_iou=nms, max_detections=max_detections, progress=progress
        )
        _make_folder(out)
        progress.say(f"{detector.manifest.name} on {detector.engine_description}")
        progress.start("detecting", len(found), "pictures")
        for (picture, given), target in zip(found.items(), targets, strict=True):
            try:
                report.append(detect_one(detector, picture, target, given))
            except InputError as error:
                failures += 1
                progress.say(f"vedette: {error}")
            progress.advance()
    write_whole(out / REPORT_NAME, _as_json(report))
    if json:
        print_json(report)
    else:
        for entry in report:
            print_line(f"{entry['image']}: {summarise(entry['detections'])}")
    if failures:
        warn(f"vedette: {failures} of {len(found)} pictures could not be used")
    return 1 if failures else 0


def detect_one(detector: Detector, picture: Path, target: Path, given: str) -> dict[str, Any]:
    """Detect in one picture, write the annotated one to `target`, return its entry of the report, named as `given`.

    Raises:
        InputError: when the picture cannot be read or the annotated one not be written.
    """
    from vedette.learn.data.pictures import read_picture

    image_hwc_bgr_u8 = read_picture(picture)
    found = detector(image_hwc_bgr_u8)
    height, width = image_hwc_bgr_u8.shape[:2]
    write_whole(target, draw_detections(image_hwc_bgr_u8, found, target.suffix))
    return {"image": given, "width": width, "height": height, "detections": found.to_json()}


def draw_detections(image_hwc_bgr_u8: NDArray[np.uint8], found: Detections, ending: str) -> bytes:
    """The picture with its boxes drawn (in place), encoded for a file with this ending."""
    import cv2

    from vedette.vision.annotate import draw_boxes

    labels = [f"{name} {score:.2f}" for name, score in zip(found.names, found.scores, strict=True)]
    draw_boxes(image_hwc_bgr_u8, found.boxes_xyxy_px, labels, found.class_ids)
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if ending.lower() in {".jpg", ".jpeg"} else []
    done, encoded = cv2.imencode(ending, image_hwc_bgr_u8, settings)
    if not done:
        raise InputError(f"the annotated picture cannot be written as '{ending}'")
    return encoded.tobytes()


def find_pictures(given: tuple[str, ...]) -> dict[Path, str]:
    """The pictures that files, folders and patterns name, in the order given, each once; and how each was given.

    A file's name is taken as given even when there is no such file, so that it is reported with the others.

    Raises:
        UsageError: nothing is given.
        InputError: a folder or pattern holds no picture.
    """
    from glob import glob

    from vedette.apps.object_storage import remote_pictures
    from vedette.storage.address import is_s3_address

    if not given:
        raise UsageError("give at least one picture, folder or pattern after the bundle")
    found: dict[Path, str] = {}
    for text in given:
        path = Path(text)
        if is_s3_address(text):
            found |= remote_pictures(text, PICTURE_ENDINGS)
            continue
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_ENDINGS and p.is_file())
        elif not path.exists() and any(sign in text for sign in "*?["):
            matches = map(Path, glob(text, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
            inside = sorted(match for match in matches if match.suffix.lower() in PICTURE_ENDINGS)
        else:
            found.setdefault(path, text)
            continue
        if not inside:
            raise InputError(f"{text}: holds no picture ({', '.join(sorted(PICTURE_ENDINGS))})")
        for picture in inside:
            found.setdefault(picture, str(picture))
    return found


def name_targets(pictures: list[Path], out: Path) -> list[Path]:
    """Where each annotated picture goes: its own name below `out`, numbered when two are called the same.

    Raises:
        UsageError: when that would overwrite a picture that was given.
    """
    sources = {picture.resolve() for picture in pictures}
    taken: set[Path] = set()
    targets = []
    for picture in pictures:
        ending = picture.suffix if picture.suffix.lower() in PICTURE_ENDINGS else ".jpg"
        target = out / f"{picture.stem}{ending}"
        number = 1
        while target in taken:
            number += 1
            target = out / f"{picture.stem}-{number}{ending}"
        if target.resolve() in sources:
            raise UsageError(f"{target} is one of the pictures; give another folder as --out")
        taken.add(target)
        targets.append(target)
    return targets


def summarise(detections: list[dict[str, Any]]) -> str:
    """`2 detections: dog 0.98, truck 0.91`"""
    if not detections:
        return "nothing detected"
    shown = ", ".join(f"{entry['class']} {entry['score']:.2f}" for entry in detections[:10])
    more = f" and {len(detections) - 10} more" if len(detections) > 10 else ""
    return f"{len(detections)} detection{'' if len(detections) == 1 else 's'}: {shown}{more}"


def _as_json(document: Any) -> bytes:
    from json import dumps

    return dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made as a folder: {error.strerror}") from error
