"""Evaluation: means, best score, curves, class matching, ignored objects.

Darknet's figures on real nets are held in tests/parity/test_detections_against_darknet.py.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.learn.data.errors import ClassMatchError
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.evaluate import (
    choose_split,
    evaluate_pictures,
    summarise,
    truths_of,
)

NAMES = ("cat", "dog")
LEFT, MIDDLE, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def truths(*rows: tuple[tuple[int, ...], int], ignored: tuple[int, ...] = ()) -> Truths:
    flags = np.array([place in ignored for place in range(len(rows))], np.bool_)
    boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    return Truths(boxes, np.array([class_id for _, class_id in rows], np.int32), flags)


def found(*rows: tuple[tuple[int, ...], int, float], names: tuple[str, ...] = NAMES) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in rows], np.float32),
        np.array([class_id for _, class_id, _ in rows], np.int32),
        names,
    )


def test_means_are_over_classes_with_objects_only() -> None:
    result = summarise([truths((LEFT, 0))], [found((LEFT, 0, 0.9), (MIDDLE, 1, 0.8))], NAMES)
    assert (result.map50, result.map50_95) == pytest.approx((1, 1))
    cat, dog = result.classes
    assert (cat.ap50, cat.precision, cat.recall, cat.objects) == pytest.approx((1, 1, 1, 1))
    assert (dog.ap50, dog.ap50_95, dog.precision, dog.recall, dog.objects) == (None, None, None, None, 0)
    assert np.isnan(result.curves.f1[1]).all()


def test_precision_and_recall_stand_at_the_score_with_the_best_f1() -> None:
    # at 0.9 and 0.7: two hits; at 0.4: false alarms that a threshold between 0.4 and 0.7 keeps out
    detections = found((LEFT, 0, 0.9), (MIDDLE, 0, 0.7), (RIGHT, 0, 0.4), ((60, 0, 70, 10), 0, 0.4))
    result = summarise([truths((LEFT, 0), (MIDDLE, 0))], [detections], ("cat",))
    assert (result.precision, result.recall) == (1.0, 1.0)
    assert 0.4 < result.best_score <= 0.7
    zero, half = 0, 500
    assert result.curves.precision[0, [zero, half]].tolist() == [0.5, 1.0]
    assert result.curves.recall[0, 800] == 0.5  # above 0.7 only one is left


def test_a_detection_counts_at_exactly_its_own_score() -> None:
    result = summarise([truths((LEFT, 0))], [found((LEFT, 0, 0.5))], ("cat",))
    assert result.curves.recall[0, [499, 500, 501]].tolist() == [1.0, 1.0, 0.0]


def test_ignored_objects_neither_reward_nor_punish() -> None:
    with_region = summarise(
        [truths((LEFT, 0), (MIDDLE, 0), ignored=(1,))], [found((LEFT, 0, 0.9), (MIDDLE, 0, 0.95))], ("cat",)
    )
    assert (with_region.map50, with_region.precision, with_region.objects) == pytest.approx((1, 1, 1))
    assert with_region.confusion.tolist() == [[1, 0], [0, 0]]
    without = summarise([truths((LEFT, 0))], [found((LEFT, 0, 0.9), (MIDDLE, 0, 0.95))], ("cat",))
    assert without.map50 == pytest.approx(0.5)


def test_nothing_to_measure_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="nothing to measure: the 2 pictures"):
        summarise([Truths.empty(), truths((LEFT, 0), ignored=(0,))], [found(), found()], NAMES)


def test_json_has_every_figure_of_the_promise_and_no_nan() -> None:
    document = summarise([truths((LEFT, 0))], [found((LEFT, 0, 0.9))], NAMES, ms_per_picture=12.3456).to_json()
    assert document["classes"][0] == {
        "name": "cat", "ap50": 1.0, "ap50_95": 1.0, "precision": 1.0, "recall": 1.0, "objects": 1,
    }  # fmt: skip
    assert document["classes"][1]["ap50"] is None
    assert [document[key] for key in ("map50", "map50_95", "precision", "recall")] == [1.0] * 4
    assert (document["ms_per_picture"], document["pictures"]) == (12.346, 1)


@pytest.fixture
def street(tmp_path: Path) -> DataSet:
    """Two pictures, 60x20; `couch` is Darknet's `sofa`; a broken and a half-outside box; a split."""
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 60, 3), np.uint8))
    objects = (
        LabelledObject("couch", LEFT),
        LabelledObject("lorry", (40, 0, 80, 10)),  # the picture ends at 60
        LabelledObject("lorry", (30, 10, 20, 10)),  # inverted
        LabelledObject("couch", MIDDLE, difficult=True),
    )
    first = Sample("a", tmp_path / "a.png", 60, 20, objects)
    second = Sample("b", tmp_path / "b.png", 0, 0, (LabelledObject("couch", RIGHT),))
    return DataSet(tmp_path, Layout.VOC, ("couch", "lorry"), (first, second), {"test": ("b",), "train": ("a",)})


MODEL = ("person", "truck", "sofa")


def predict_street(picture: np.ndarray) -> Detections:
    """The same for every picture: sofas left and right, a truck that ends at the picture's edge, a person."""
    assert picture.shape == (20, 60, 3)
    rows = [(LEFT, 2, 0.9), (RIGHT, 2, 0.85), ((40, 0, 65, 10), 1, 0.8), (LEFT, 0, 0.99)]
    return found(*rows, names=MODEL)


def test_classes_match_by_alias_and_map_and_boxes_are_clipped(street: DataSet) -> None:
    result = evaluate_pictures(predict_street, street, MODEL, class_map={"lorry": "truck"})
    assert [c.name for c in result.classes] == ["truck", "sofa"]  # in the model's order; persons are left out
    truck, sofa = result.classes
    assert (truck.objects, truck.ap50_95) == pytest.approx((1, 1))  # both clipped to (40, 0, 60, 10)
    assert sofa.objects == 2
    assert result.confusion.tolist() == [[1, 0, 0], [0, 2, 0], [1, 2, 0]]
    assert result.pictures == 2
    assert result.ms_per_picture is not None and result.ms_per_picture > 0


def test_unmatched_classes_are_listed(street: DataSet) -> None:
    with pytest.raises(ClassMatchError, match="lorry"):
        evaluate_pictures(predict_street, street, MODEL)


def test_a_class_mapped_to_nothing_is_left_out(street: DataSet) -> None:
    result = evaluate_pictures(predict_street, street, MODEL, class_map={"lorry": None})
    assert [c.name for c in result.classes] == ["sofa"]
    assert result.confusion.tolist() == [[2, 0], [2, 0]]


def test_a_map_that_names_what_the_data_has_not_is_refused(street: DataSet) -> None:
    with pytest.raises(InputError, match="the data has not: lory"):
        evaluate_pictures(predict_street, street, MODEL, class_map={"lory": "truck"})


def test_without_all_pictures_there_are_no_figures(street: DataSet) -> None:
    street.samples[1].picture.unlink()
    with pytest.raises(InputError, match=r"b\.png cannot be read"):
        evaluate_pictures(predict_street, street, MODEL, class_map={"lorry": "truck"})


def test_split_is_chosen_by_name_and_an_unknown_one_is_refused(street: DataSet) -> None:
    assert [s.name for s in choose_split(street, "test").samples] == ["b"]
    assert choose_split(street, None) is street
    with pytest.raises(InputError, match="no split 'val'; it has: test, train"):
        choose_split(street, "val")


def test_no_picture_is_an_error(street: DataSet) -> None:
    empty = DataSet(street.root, Layout.VOC, street.classes, ())
    with pytest.raises(InputError, match="no picture"):
        evaluate_pictures(predict_street, empty, MODEL)


def test_truths_keep_difficult_and_crowd_as_ignored_and_drop_broken_boxes(street: DataSet) -> None:
    result = truths_of(street.samples[0], (60, 20), {"couch": 0, "lorry": 1})
    assert result.boxes_xyxy_px.tolist() == [[0, 0, 10, 10], [40, 0, 60, 10], [20, 0, 30, 10]]
    assert result.class_ids.tolist() == [0, 1, 0]
    assert result.ignored.tolist() == [False, False, True]
