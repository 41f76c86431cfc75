"""Heads become detections in the source picture: suppressed on whole boxes, then clipped, then cut."""

import numpy as np
import pytest

from small_bundle import make_manifest
from vedette.contracts.bundle import DarknetHeads, DarknetRegionHead, DecodedBoxes, NmsKind, RegionHead, YoloHead
from vedette.contracts.detections import Detections
from vedette.contracts.frame import ResizeMode
from vedette.vision import postprocess
from vedette.vision.postprocess import DetectionRules, detections_from_heads, detections_from_pictures
from vedette.vision.resize import plan_placement

HEAD = YoloHead(output="h", grid_width=2, grid_height=2, anchors=((32.0, 32.0),))
RULES = DetectionRules(DarknetHeads(heads=(HEAD,)), ("a", "b"), score=0.25, nms_iou=0.45)
NOTHING = np.full((7, 2, 2), -9.0, np.float32)


def heads(cells: dict[tuple[int, int], tuple[float, ...]]) -> list[np.ndarray]:
    tensor = NOTHING.copy()
    for (row, column), values in cells.items():
        tensor[:, row, column] = values
    return [tensor]


def test_nothing_gives_empty_detections_with_the_class_names() -> None:
    found = detections_from_heads([NOTHING], RULES, plan_placement(64, 64, 64, 64, ResizeMode.STRETCH))
    assert len(found) == 0 and found.class_names == ("a", "b")


def test_boxes_are_scaled_to_the_source_and_clipped_to_it() -> None:
    wide = np.log(2)  # 64 px wide around the centre (16, 16): from -16 to 48
    found = detections_from_heads(
        heads({(0, 0): (0, 0, wide, wide, 9, 9, -9)}), RULES, plan_placement(128, 256, 64, 64, ResizeMode.STRETCH)
    )
    np.testing.assert_allclose(found.boxes_xyxy_px, [[0, 0, 96, 192]], atol=1e-3)


def test_overlap_is_judged_before_clipping() -> None:
    # 160-pixel boxes around (16, 16) and (16, 48): IoU 0.667 whole, but clipped to the picture they would be equal
    huge = np.log(5)
    cells = {(0, 0): (0, 0, huge, huge, 9, 9, -9), (1, 0): (0, 0, huge, huge, 9, 8, -9)}
    placement = plan_placement(64, 64, 64, 64, ResizeMode.STRETCH)
    loose = DetectionRules(RULES.decode, RULES.class_names, score=0.25, nms_iou=0.7)
    found = detections_from_heads(heads(cells), loose, placement)
    np.testing.assert_allclose(found.boxes_xyxy_px, [[0, 0, 64, 64]] * 2)


def test_a_box_wholly_in_the_padding_is_left_out() -> None:
    placement = plan_placement(64, 8, 64, 64, ResizeMode.LETTERBOX)  # the picture fills rows 28 to 36
    small = np.log(0.25)
    cells = {(0, 0): (0, 0, small, small, 9, 9, -9), (1, 1): (0, 0, 0, 0, 9, 9, -9)}
    found = detections_from_heads(heads(cells), RULES, placement)
    np.testing.assert_allclose(found.boxes_xyxy_px, [[32, 4, 64, 8]], atol=1e-3)


def test_the_best_are_kept_when_there_are_too_many() -> None:
    cells = {(r, c): (0, 0, 0, 0, 9, 1.0 + r + c / 2, -9) for r in range(2) for c in range(2)}
    rules = DetectionRules(RULES.decode, RULES.class_names, score=0.25, nms_iou=0.45, max_detections=2)
    found = detections_from_heads(heads(cells), rules, plan_placement(64, 64, 64, 64, ResizeMode.STRETCH))
    np.testing.assert_allclose(found.boxes_xyxy_px, [[32, 32, 64, 64], [0, 32, 32, 64]], atol=1e-3)
    assert found.scores[0] > found.scores[1]


def test_rules_are_the_bundles_own_but_for_what_is_given() -> None:
    manifest = make_manifest(score=0.3, nms_iou=0.6, nms_kind="diou", max_detections=9)
    own = DetectionRules.of(manifest)
    assert (own.score, own.nms_iou, own.nms_kind, own.max_detections) == (0.3, 0.6, NmsKind.DIOU, 9)
    given = DetectionRules.of(manifest, score=0.0, nms_iou=0.0, max_detections=1)
    assert (given.score, given.nms_iou, given.max_detections) == (0.0, 0.0, 1)


ANCHORS = ((20.0, 30.0), (44.0, 40.0))
YOLO = DarknetHeads(
    heads=(
        YoloHead(output="a", grid_width=5, grid_height=4, anchors=ANCHORS, scale_x_y=1.05),
        YoloHead(output="b", grid_width=10, grid_height=8, anchors=ANCHORS, new_coords=True),
    )
)
REGION = DarknetRegionHead(heads=(RegionHead(output="a", grid_width=5, grid_height=4, anchors=ANCHORS),))
ROWS = DecodedBoxes(
    outputs=("rows",), kind="boxes_objectness_scores", layout="rows", box_form="cxcywh", box_units="pixels",
    score_form="logits", classes=3,
)  # fmt: skip
SHAPES = {"yolo": [(16, 4, 5), (16, 8, 10)], "region": [(16, 4, 5)], "rows": [(60, 8)]}


@pytest.mark.parametrize("together", [10_000, 5], ids=["together", "too many to come together"])
@pytest.mark.parametrize("kind", list(NmsKind))
@pytest.mark.parametrize(("name", "decode"), [("yolo", YOLO), ("region", REGION), ("rows", ROWS)])
def test_pictures_that_come_together_give_what_each_gives_alone(
    name: str, decode: DarknetHeads, kind: NmsKind, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postprocess, "MOST_TOGETHER", together)
    rng = np.random.default_rng(5)
    rules = DetectionRules(decode, ("a", "b", "c"), score=0.2, nms_iou=0.4, nms_kind=kind, max_detections=6)
    pictures = [[rng.normal(0, 1.2, shape).astype(np.float32) for shape in SHAPES[name]] for _ in range(6)]
    if name == "rows":
        for (rows,) in pictures:
            rows[:, :4] = rows[:, :4] * 20 + 80
    for head in pictures[2]:
        head[:] = -9  # nothing in this one
    sizes = [(320, 256), (640, 200), (320, 256), (320, 256), (640, 200), (320, 256)]
    placements = [plan_placement(*size, 160, 128, ResizeMode.LETTERBOX) for size in sizes]
    found = detections_from_pictures(pictures, rules, placements)
    alone = [detections_from_heads(heads, rules, place) for heads, place in zip(pictures, placements, strict=True)]
    assert [_bytes(one) for one in found] == [_bytes(one) for one in alone]
    assert len(found[2]) == 0 and max(len(one) for one in found) == 6 and len({len(one) for one in found}) > 1


def _bytes(found: Detections) -> tuple[bytes, ...]:
    return found.boxes_xyxy_px.tobytes(), found.scores.tobytes(), found.class_ids.tobytes()
