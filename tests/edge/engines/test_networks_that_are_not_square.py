"""Networks wider than high, or higher than wide, from the picture to the drawn box: no width taken for a height."""

from pathlib import Path

import numpy as np
import pytest

from random_weights import random_weights
from small_bundle import make_bundle, make_picture
from small_network import CFG, CLASSES
from vedette.bundle_folder import write_bundle
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.opening import open_detector
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.export.pack import PackRequest, draft
from vedette.learn.training.predictor import DarknetPredictor
from vedette.vision.annotate import class_colour, draw_boxes
from vedette.vision.boxes import iou_matrix

ENGINES = [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME]
SIZES = [(128, 64), (64, 160)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize("size", SIZES)
def test_squares_are_found_and_drawn_where_they_are(
    tmp_path: Path, size: tuple[int, int], mode: ResizeMode, engine: EngineChoice
) -> None:
    detector = open_detector(make_bundle(tmp_path / "b", mode, size), engine, threads=1)
    column, row = size[0] // 16 - 1, size[1] // 16 - 2
    picture = make_picture({(0, 0): "red", (column, 1): "green", (0, row): "blue"}, scale=3, size_px=size)
    found = detector(picture)
    boxes = {str(name): box for name, box in zip(found.names, found.boxes_xyxy_px, strict=True)}
    assert sorted(boxes) == ["blue", "green", "red"]
    np.testing.assert_allclose(boxes["red"], [0, 0, 48, 48], atol=0.05)
    np.testing.assert_allclose(boxes["green"], [48 * column, 48, 48 * column + 48, 96], atol=0.05)
    np.testing.assert_allclose(boxes["blue"], [0, 48 * row, 96, 48 * row + 96], atol=0.05)

    canvas = np.full_like(picture, 90)
    draw_boxes(canvas, boxes["green"][None], ["green"], np.array([1]))
    rows, columns = np.nonzero((canvas == class_colour(1)).all(axis=2))
    assert rows.max() == pytest.approx(boxes["green"][3], abs=3)
    assert columns.max() == pytest.approx(boxes["green"][2], abs=3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("size", "source", "grey"),
    [
        ((128, 64), (64, 64), (32, 0)),  # a square in a wide network: grey left and right
        ((128, 64), (256, 64), (0, 16)),  # wider still: above and below
        ((64, 160), (64, 64), (0, 48)),
        ((64, 160), (32, 160), (16, 0)),
    ],
)
def test_letterbox_in_a_network_that_is_not_square(
    tmp_path: Path, size: tuple[int, int], source: tuple[int, int], grey: tuple[int, int], engine: EngineChoice
) -> None:
    detector = open_detector(make_bundle(tmp_path / "b", ResizeMode.LETTERBOX, size), engine, threads=1)
    placement = detector.place(*source)
    assert (placement.left_px, placement.top_px) == grey
    side = 16 * source[0] // placement.inner_width_px  # of one cell of the network, in the source
    picture = np.zeros((source[1], source[0], 3), np.uint8)
    picture[-side:, -side:] = (0, 0, 255)  # the last cell, at the right bottom
    found = detector(picture)
    assert found.names.tolist() == ["red"]
    expected = [source[0] - side, source[1] - side, source[0], source[1]]
    np.testing.assert_allclose(found.boxes_xyxy_px[0], expected, atol=0.05)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize("size", [(96, 64), (64, 128)])
def test_engines_detect_what_torch_detects(
    tmp_path: Path, size: tuple[int, int], mode: ResizeMode, engine: EngineChoice
) -> None:
    plan = plan_network(parse_cfg(CFG.format(net="", yolo=""), "small.cfg"), *size)
    weights = random_weights(plan)
    drafted = draft(PackRequest(plan, weights, b"cfg", b"weights", CLASSES, "small", resize=mode))
    bundle = write_bundle(tmp_path / "b", drafted.manifest, {"model.onnx": drafted.model})
    detector = open_detector(bundle, engine, score=0.2, nms_iou=1.0, max_detections=10_000, threads=1)
    picture = np.random.default_rng(3).integers(0, 256, (75, 101, 3), dtype=np.uint8)
    expected = DarknetPredictor(plan, weights, detector.rules, mode)(picture)
    found = detector(picture)
    assert len(found) == len(expected) > 50
    overlaps = iou_matrix(expected.boxes_xyxy_px, found.boxes_xyxy_px)
    same = (expected.class_ids[:, None] == found.class_ids) & (
        np.abs(expected.scores[:, None] - found.scores) < 1e-4
    )  # (expected, found)
    assert ((overlaps > 0.999) & same).any(axis=1).all()
