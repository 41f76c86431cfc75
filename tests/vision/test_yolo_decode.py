"""The vectorised decoder equals a plain transcription of Darknet's loop, with and without `new_coords`."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vedette.contracts.bundle import DarknetHeads, DarknetRegionHead, RegionHead, YoloHead
from vedette.vision.yolo import decode_heads, sigmoid, softmax

CLASSES = 4


def logistic(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def naive(tensor: NDArray[np.float32], head: YoloHead, size: tuple[int, int], score: float) -> list[tuple[float, ...]]:
    """(class, score, x1, y1, x2, y2) of every candidate, cell by cell."""
    found = []
    entries = 5 + CLASSES
    for a, (anchor_w, anchor_h) in enumerate(head.anchors):
        for row in range(head.grid_height):
            for column in range(head.grid_width):
                t = [float(tensor[a * entries + e, row, column]) for e in range(entries)]
                x, y, *probabilities = t[:2] + t[4:] if head.new_coords else map(logistic, t[:2] + t[4:])
                x = x * head.scale_x_y - 0.5 * (head.scale_x_y - 1)
                y = y * head.scale_x_y - 0.5 * (head.scale_x_y - 1)
                cx, cy = (column + x) / head.grid_width * size[0], (row + y) / head.grid_height * size[1]
                if head.new_coords:
                    w, h = t[2] ** 2 * 4 * anchor_w, t[3] ** 2 * 4 * anchor_h
                else:
                    w, h = math.exp(t[2]) * anchor_w, math.exp(t[3]) * anchor_h
                for class_id in range(CLASSES):
                    product = probabilities[0] * probabilities[1 + class_id]
                    if product > score:
                        found.append((class_id, product, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return found


def make_head(grid: tuple[int, int], scale_x_y: float = 1.0, new_coords: bool = False) -> YoloHead:
    return YoloHead(
        output=f"head_{grid[0]}",
        grid_width=grid[0],
        grid_height=grid[1],
        anchors=((10, 14), (37.5, 58)),
        scale_x_y=scale_x_y,
        new_coords=new_coords,
    )


@pytest.mark.parametrize("score", [0.0, 0.001, 0.1, 0.25, 0.9])
@pytest.mark.parametrize(("scale_x_y", "new_coords"), [(1.0, False), (1.05, False), (2.0, True)])
def test_decoding_equals_darknets_loop(score: float, scale_x_y: float, new_coords: bool) -> None:
    rng = np.random.default_rng(7)
    heads = [make_head((7, 5), scale_x_y, new_coords), make_head((14, 10), scale_x_y, new_coords)]
    tensors = [rng.normal(0, 1.5, (2 * (5 + CLASSES), h.grid_height, h.grid_width)).astype(np.float32) for h in heads]
    if new_coords:
        tensors = [sigmoid(t) for t in tensors]
    found = decode_heads(tensors, DarknetHeads(heads=tuple(heads)), 224, 160, score)
    expected = np.array([row for t, h in zip(tensors, heads, strict=True) for row in naive(t, h, (224, 160), score)])
    assert len(found) == len(expected)
    assert score == 0.9 or len(found) > 10
    expected = expected.reshape(-1, 6)
    np.testing.assert_array_equal(found.class_ids, expected[:, 0])
    np.testing.assert_allclose(found.scores, expected[:, 1], atol=1e-6)
    np.testing.assert_allclose(found.boxes_xyxy_input_px, expected[:, 2:], rtol=1e-5, atol=1e-3)


def test_one_box_may_have_several_classes() -> None:
    tensor = np.full((9, 1, 1), 8.0, np.float32)
    tensor[:4] = 0
    head = YoloHead(output="h", grid_width=1, grid_height=1, anchors=((20, 10),))
    found = decode_heads([tensor], DarknetHeads(heads=(head,)), 32, 32, 0.5)
    assert found.class_ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.boxes_xyxy_input_px, [[6, 11, 26, 21]] * 4)


def test_the_score_is_a_strict_limit() -> None:
    tensor = np.zeros((6, 1, 1), np.float32)  # 0.5 * 0.5
    head = YoloHead(output="h", grid_width=1, grid_height=1, anchors=((20, 10),))
    assert len(decode_heads([tensor], DarknetHeads(heads=(head,)), 32, 32, 0.25)) == 0
    assert len(decode_heads([tensor], DarknetHeads(heads=(head,)), 32, 32, 0.2499)) == 1


@pytest.mark.parametrize("score", [-1.0, 0.0, 1.0])
def test_a_score_at_or_beyond_the_ends_gives_all_or_nothing(score: float) -> None:
    tensor = np.full((6, 3, 3), 90.0, np.float32)
    head = YoloHead(output="h", grid_width=3, grid_height=3, anchors=((20, 10),))
    found = decode_heads([tensor], DarknetHeads(heads=(head,)), 32, 32, score)
    assert len(found) == (0 if score == 1.0 else 9)
    assert np.isfinite(found.boxes_xyxy_input_px).all()


def test_heads_of_another_shape_are_refused() -> None:
    spec = DarknetHeads(heads=(make_head((7, 5)),))
    with pytest.raises(ValueError, match=r"head_7.*expected \(2 \* \(5 \+ classes\), 5, 7\)"):
        decode_heads([np.zeros((18, 7, 5), np.float32)], spec, 224, 160, 0.5)
    with pytest.raises(ValueError, match="expected 1 heads, got 2"):
        decode_heads([np.zeros((18, 5, 7), np.float32)] * 2, spec, 224, 160, 0.5)


def test_sigmoid_is_finite_and_silent_far_out() -> None:
    np.testing.assert_array_equal(sigmoid(np.array([-1e4, 0, 1e4], np.float32)), [0, 0.5, 1])


@pytest.mark.parametrize("score", [0.0, 0.001, 0.1, 0.25])
def test_region_decoding_equals_darknets_loop(score: float) -> None:
    """Source: get_region_box, forward_region_layer with softmax=1; anchors are 1.5 x 2 and 4 x 3 cells of 32 pixels."""
    columns, rows, anchors = 7, 5, ((48.0, 64.0), (128.0, 96.0))
    head = RegionHead(output="head_0", grid_width=columns, grid_height=rows, anchors=anchors)
    tensor = np.random.default_rng(8).normal(0, 2, (2 * (5 + CLASSES), rows, columns)).astype(np.float32)
    expected = []
    for a, (cells_w, cells_h) in enumerate(((1.5, 2), (4, 3))):
        for row in range(rows):
            for column in range(columns):
                x, y, w, h, obj, *classes = (float(v) for v in tensor[a * 9 : a * 9 + 9, row, column])
                powers = [math.exp(v) for v in classes]
                cx, cy = (column + logistic(x)) / columns * 224, (row + logistic(y)) / rows * 160
                bw, bh = math.exp(w) * cells_w / columns * 224, math.exp(h) * cells_h / rows * 160
                for class_id, power in enumerate(powers):
                    product = logistic(obj) * power / sum(powers)
                    if product > score:
                        expected.append((class_id, product, cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2))

    found = decode_heads([tensor], DarknetRegionHead(heads=(head,)), 224, 160, score)

    wanted = np.array(expected)
    assert len(found) == len(wanted) > 10
    np.testing.assert_array_equal(found.class_ids, wanted[:, 0])
    np.testing.assert_allclose(found.scores, wanted[:, 1], atol=1e-6)
    np.testing.assert_allclose(found.boxes_xyxy_input_px, wanted[:, 2:], rtol=1e-5, atol=1e-3)


def test_a_region_with_nothing_above_the_score_gives_nothing() -> None:
    head = RegionHead(output="head_0", grid_width=2, grid_height=1, anchors=((32, 32),))
    found = decode_heads([np.full((9, 1, 2), -20, np.float32)], DarknetRegionHead(heads=(head,)), 64, 32, 0.5)
    assert len(found) == 0 and found.boxes_xyxy_input_px.shape == (0, 4)


def test_softmax_of_large_values_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000, 1000, -1000]], np.float32)), [[0.5, 0.5, 0]])
