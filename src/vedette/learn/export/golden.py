"""Golden pictures: what a bundle carries so that an engine built on any box can be checked before it goes live.

Pictures are PNG (every decoder gives the same pixels), at most `LONGEST_SIDE_PX`, with the detections that the
reference (torch, or ONNX Runtime for an ONNX detector) makes of them in FP32. Those with detections come first;
generated ones are simple drawings and are marked `synthetic`.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vedette.contracts.bundle import BundleManifest, GoldenDetection, GoldenFile, GoldenPicture
from vedette.contracts.detections import Detections
from vedette.learn.export.errors import DisagreementError
from vedette.learn.export.receipt import HeadSource
from vedette.vision.golden import golden_differences
from vedette.vision.postprocess import DetectionRules, detections_from_heads
from vedette.vision.resize import prepare

GOLDEN_NAME = "golden.json"
FEWEST, MOST = 4, 6
LONGEST_SIDE_PX = 640
SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 1.0  # 0.5 input pixels on a picture twice as large as the input

Picture = NDArray[np.uint8]  # (height, width, 3) BGR


def make_golden(
    pictures: Sequence[Picture], reference: HeadSource, manifest: BundleManifest, synthetic: bool
) -> dict[str, bytes]:
    """`golden.json` and its pictures, ready to be written: from `FEWEST` to `MOST` of those given (all, if fewer)."""
    rules = DetectionRules.of(manifest)
    shrunk = [shrink(picture) for picture in pictures]
    found = [detect_with(reference, picture, manifest, rules) for picture in shrunk]
    telling = [number for number, detections in enumerate(found) if len(detections)]
    silent = [number for number, detections in enumerate(found) if not len(detections)]
    chosen = telling[:MOST] + silent[: max(0, FEWEST - len(telling))]
    contents: dict[str, bytes] = {}
    entries = []
    for place, number in enumerate(chosen):
        name = f"golden_{place:02d}.png"
        contents[name] = encode_png(shrunk[number])
        height, width = shrunk[number].shape[:2]
        entries.append(GoldenPicture(file=name, width=width, height=height, detections=_as_golden(found[number])))
    golden = GoldenFile(
        synthetic=synthetic,
        score=rules.score,
        nms_iou=rules.nms_iou,
        score_tolerance=SCORE_TOLERANCE,
        box_tolerance_px=BOX_TOLERANCE_PX,
        pictures=tuple(entries),
    )
    contents[GOLDEN_NAME] = golden.model_dump_json(indent=2).encode() + b"\n"
    return contents


def require_golden(manifest: BundleManifest, contents: dict[str, bytes], engines: Sequence[HeadSource]) -> int:
    """Let every engine reproduce the golden pictures, as it must on the box; gives how many detections they hold.

    Raises:
        DisagreementError: an engine does not reproduce one.
    """
    golden = GoldenFile.model_validate_json(contents[GOLDEN_NAME])
    rules = DetectionRules.of(manifest, golden.score, golden.nms_iou)
    for entry in golden.pictures:
        encoded = np.frombuffer(contents[entry.file], np.uint8)
        picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
        for engine in engines:
            found = detect_with(engine, picture, manifest, rules)
            differences = golden_differences(golden, entry.detections, found)
            if differences:
                raise DisagreementError(
                    f"{engine.name} {engine.version} does not reproduce golden picture {entry.file}: "
                    f"{'; '.join(differences[:3])}; no bundle is written"
                )
    return sum(len(entry.detections) for entry in golden.pictures)


def detect_with(source: HeadSource, picture: Picture, manifest: BundleManifest, rules: DetectionRules) -> Detections:
    """The detections that a source's heads amount to."""
    pixels, placement = prepare(picture, manifest.input)
    heads = source.infer(pixels)
    return detections_from_heads([head[0] for head in heads], rules, placement)


def shrink(picture: Picture) -> Picture:
    """The picture with no side longer than `LONGEST_SIDE_PX`, aspect kept."""
    height, width = picture.shape[:2]
    ratio = LONGEST_SIDE_PX / max(height, width)
    if ratio >= 1:
        return picture
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def draw_scenes(count: int, width_px: int, height_px: int) -> list[Picture]:
    """Simple drawings, the same every time: a graded ground with filled shapes on it."""
    return [_draw_scene(np.random.default_rng(seed), width_px, height_px) for seed in range(count)]


def encode_png(picture: Picture) -> bytes:
    """The picture as PNG."""
    _, encoded = cv2.imencode(".png", picture)
    return encoded.tobytes()


def _draw_scene(rng: np.random.Generator, width_px: int, height_px: int) -> Picture:
    top, bottom = rng.integers(40, 216, (2, 3))
    ramp = np.linspace(0, 1, height_px)[:, None, None]  # (height, 1, 1)
    ground = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height_px, width_px, 3))
    picture = np.ascontiguousarray(ground, dtype=np.uint8)
    for _ in range(int(rng.integers(3, 8))):
        colour = [int(v) for v in rng.integers(0, 256, 3)]
        centre = (int(rng.integers(0, width_px)), int(rng.integers(0, height_px)))
        half = (int(rng.integers(4, max(5, width_px // 4))), int(rng.integers(4, max(5, height_px // 4))))
        if rng.random() < 0.5:
            cv2.ellipse(picture, centre, half, float(rng.integers(0, 180)), 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
        else:
            corner = (centre[0] + half[0], centre[1] + half[1])
            cv2.rectangle(picture, (centre[0] - half[0], centre[1] - half[1]), corner, colour, cv2.FILLED)
    return picture


def _as_golden(found: Detections) -> tuple[GoldenDetection, ...]:
    return tuple(
        GoldenDetection(
            class_id=int(class_id),
            score=min(1.0, round(float(score), 6)),
            box_xyxy_px=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        )
        for class_id, score, box in zip(found.class_ids, found.scores, found.boxes_xyxy_px, strict=True)
    )
