"""How many of FP32's detections a variant finds again, each counted once."""

import numpy as np
import pytest

import square_network
from random_weights import random_weights
from small_network import make_plan
from vedette.contracts.detections import Detections
from vedette.edge.engines.opening import open_engine
from vedette.learn.export.golden import make_golden
from vedette.learn.export.golden_agreement import match, measure_golden
from vedette.learn.export.pack import Draft, PackRequest, draft
from vedette.learn.export.receipt import Heads, TorchReference


def detections(*rows: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
    return Detections(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int32),
        ("a", "b"),
    )


def test_each_detection_is_matched_once_with_its_best_overlap() -> None:
    expected = detections((0, 0.9, (0, 0, 10, 10)), (0, 0.8, (1, 0, 11, 10)), (1, 0.7, (50, 50, 60, 60)))
    found = detections((0, 0.5, (1, 0, 11, 10)), (0, 0.6, (90, 90, 99, 99)), (0, 0.4, (50, 50, 60, 60)))
    pairs = match(expected, found)
    assert pairs.expected.tolist() == [1] and pairs.found.tolist() == [0]  # a box of another class is none
    assert pairs.ious.tolist() == [1.0]


def test_an_overlap_below_a_half_is_no_match() -> None:
    assert len(match(detections((0, 0.9, (0, 0, 10, 10))), detections((0, 0.9, (6, 0, 16, 10)))).ious) == 0


@pytest.mark.parametrize("empty_side", [0, 1])
def test_nothing_matches_nothing(empty_side: int) -> None:
    sides = [detections((0, 0.9, (0, 0, 10, 10))), detections()]
    assert len(match(sides[empty_side], sides[1 - empty_side]).ious) == 0


def square_draft() -> tuple[Draft, TorchReference]:
    plan, weights = square_network.make_plan(), square_network.make_weights()
    request = PackRequest(plan, weights, b"cfg", b"weights", square_network.CLASSES, "squares")
    return draft(request), TorchReference(plan, weights)


class Blind:
    """The reference, but that it sees nothing of one class."""

    name, version = "blind", "1"

    def __init__(self, reference: TorchReference, class_id: int) -> None:
        self._reference, self._class_id = reference, class_id

    def infer(self, pixels: np.ndarray) -> Heads:
        heads = [head.copy() for head in self._reference.infer(pixels)]
        heads[0][:, 5 + self._class_id] = -100
        return heads


def test_the_reference_agrees_with_itself_and_a_blind_engine_does_not() -> None:
    drafted, reference = square_draft()
    pictures = [square_network.make_picture(number)[0] for number in range(6)]
    golden = make_golden(pictures, reference, drafted.manifest, synthetic=False)
    engine = open_engine(drafted.manifest, drafted.model, threads=1)
    same = measure_golden(golden, engine, drafted.manifest)
    assert (same.pictures, same.found, same.missing, same.extra, same.agreement) == (6, 6, 0, 0, 1.0)
    assert same.mean_iou == pytest.approx(1.0, abs=1e-4) and same.max_score_difference is not None
    blind = measure_golden(golden, Blind(reference, 0), drafted.manifest)
    assert (blind.found, blind.missing, blind.extra) == (4, 2, 0)
    assert blind.agreement == pytest.approx(4 / 6)


def test_nothing_to_find_is_agreement() -> None:
    plan = make_plan()
    weights = random_weights(plan)
    drafted = draft(PackRequest(plan, weights, b"cfg", b"weights", ("a", "b", "c"), "small"))
    manifest = drafted.manifest
    silent = manifest.model_copy(update={"thresholds": manifest.thresholds.model_copy(update={"score": 0.999})})
    black = [np.zeros((64, 64, 3), np.uint8)] * 4
    reference = TorchReference(plan, weights)
    found = measure_golden(make_golden(black, reference, silent, synthetic=True), reference, silent)
    assert found.agreement == 1.0 and found.found == 0 and found.mean_iou is None
