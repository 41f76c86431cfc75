"""Sizes, scores, kinds of error and worst pictures, against cases small enough to work out by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.learn.training.average_precision import ClassMatches, Truths
from vedette.learn.training.diagnosis.diagnose import diagnose, evaluation_of
from vedette.learn.training.diagnosis.error_kinds import ErrorKind, judge_picture
from vedette.learn.training.diagnosis.score_plots import write_score_plots
from vedette.learn.training.diagnosis.scores import judge_scores
from vedette.learn.training.diagnosis.sizes import Measure, precision_by_size
from vedette.learn.training.diagnosis.worst_pictures import KIND_BGR, in_words, write_worst_pictures
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.kept_detections import read_detections, write_detections

NAMES = ("cat", "dog")
Box = tuple[float, float, float, float]


def truths(*rows: tuple[Box, int], ignored: tuple[int, ...] = ()) -> Truths:
    boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    return Truths(
        boxes,
        np.array([class_id for _, class_id in rows], np.int32),
        np.array([number in ignored for number in range(len(rows))], np.bool_),
    )


def found(*rows: tuple[Box, int, float]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in rows], np.float32),
        np.array([class_id for _, class_id, _ in rows], np.int32),
        NAMES,
    )


def judged(
    pairs: list[tuple[Truths, Detections]], size_px: tuple[int, int] = (640, 480), folder: Path = Path()
) -> JudgedPictures:
    names = tuple(f"p{number}" for number in range(len(pairs)))
    return JudgedPictures(
        names,
        tuple(folder / f"{name}.png" for name in names),
        (size_px,) * len(pairs),
        tuple(truth for truth, _ in pairs),
        tuple(detections for _, detections in pairs),
        NAMES,
    )


CAT, DOG = 0, 1
BOX: Box = (0, 0, 40, 40)


@pytest.mark.parametrize(
    ("labelled", "detected", "kinds", "cost"),
    [
        ([(BOX, CAT)], [(BOX, CAT, 0.9)], [], 0.0),
        ([(BOX, CAT)], [], ["missed"], 1.0),
        ([], [(BOX, CAT, 0.25)], ["ghost"], 0.25),
        ([(BOX, CAT)], [(BOX, CAT, 0.9), ((0, 0, 40, 30), CAT, 0.5)], ["double"], 0.5),
        ([(BOX, CAT)], [(BOX, DOG, 0.75)], ["wrong class"], 1.0),  # the cat is not missed besides
        ([(BOX, CAT)], [(BOX, CAT, 0.9), (BOX, DOG, 0.5)], ["wrong class"], 0.5),
        ([(BOX, CAT)], [((0, 0, 40, 16), CAT, 0.5)], ["poorly placed"], 1.0),  # IoU 16 / 40
        ([(BOX, CAT)], [((0, 0, 40, 16), DOG, 0.5)], ["wrong class and place", "missed"], 1.0),
        ([(BOX, CAT)], [((0, 0, 40, 2), CAT, 0.5)], ["ghost", "missed"], 1.5),  # IoU 2 / 40, below 0.1
        ([(BOX, CAT)], [((0, 0, 40, 20), CAT, 0.5)], [], 0.0),  # IoU 0.5 is enough
    ],
)  # fmt: skip
def test_errors_are_named_as_in_tide(
    labelled: list[tuple[Box, int]], detected: list[tuple[Box, int, float]], kinds: list[str], cost: float
) -> None:
    judgement = judge_picture(truths(*labelled), found(*detected))
    assert [error.kind.value for error in judgement.errors] == kinds
    assert judgement.cost == pytest.approx(cost)


def test_what_an_ignored_region_explains_is_no_error_and_it_is_never_missed() -> None:
    judgement = judge_picture(truths((BOX, CAT), ignored=(0,)), found(((0, 0, 20, 40), CAT, 0.9)))
    assert judgement.errors == ()
    assert judge_picture(truths((BOX, CAT), ignored=(0,)), found()).cost == 0


def test_the_better_detection_takes_the_object_and_the_other_is_the_double() -> None:
    judgement = judge_picture(truths((BOX, CAT)), found(((0, 0, 40, 30), CAT, 0.9), (BOX, CAT, 0.8)))
    assert judgement.right == ((0, 0),)
    assert [(e.kind, e.detection, e.truth) for e in judgement.errors] == [(ErrorKind.DOUBLE, 1, 0)]


def test_precision_by_size_counts_only_objects_of_the_size() -> None:
    small, large = (0.0, 0.0, 20.0, 20.0), (100.0, 100.0, 300.0, 300.0)
    pair = (truths((small, CAT), (large, CAT)), found((large, CAT, 0.9), ((600, 400, 630, 430), CAT, 0.8)))
    results = {(r.measure, r.size): r for r in precision_by_size(judged([pair]))}
    pixels = {size: results[Measure.PIXELS, size] for size in ("small", "medium", "large")}
    assert [r.objects for r in pixels.values()] == [1, 0, 1]
    # the small false alarm is none among the large
    assert [r.map50 for r in pixels.values()] == [0.0, None, pytest.approx(1.0)]
    assert results[Measure.SHARE, "small"].objects == 1
    assert results[Measure.SHARE, "small"].largest == pytest.approx(1 / 300)


def test_the_same_objects_are_of_another_share_in_a_smaller_picture() -> None:
    pair = (truths(((0, 0, 20, 20), CAT)), found(((0, 0, 20, 20), CAT, 0.9)))
    results = {(r.measure, r.size): r.objects for r in precision_by_size(judged([pair], size_px=(100, 100)))}
    assert results[Measure.PIXELS, "small"] == 1
    assert results[Measure.SHARE, "large"] == 1  # 4 % of the picture


def test_calibration_is_the_weighted_gap_between_score_and_share_that_is_right() -> None:
    scores = np.array([0.95, 0.85, 0.85, 0.25, 0.25, 0.05])
    hits = np.array([[True, True, False, False, True, False]] * 10)
    quality = judge_scores([ClassMatches(scores, hits, ~hits, 4)])
    shares = [(b.detections, b.right) for b in quality.bins]
    assert shares == [(0, 0), (2, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (2, 1), (1, 1)]
    assert quality.calibration_error == pytest.approx((2 * 0.25 + 2 * 0.35 + 1 * 0.05) / 5)
    assert quality.mean_score == pytest.approx(0.63)
    assert quality.share_right == pytest.approx(0.6)
    assert (sum(quality.right), sum(quality.wrong)) == (3, 3)
    assert quality.wrong[0] == 1  # 0.05..0.10


def test_swallowed_detections_and_no_detections_say_nothing_about_scores(tmp_path: Path) -> None:
    nothing = np.zeros((10, 1), np.bool_)
    quality = judge_scores([ClassMatches(np.array([0.9]), nothing, nothing, 1)])
    assert quality.calibration_error is None
    assert quality.to_json()["mean_score"] is None
    write_score_plots(quality, 0.5, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"score_calibration.png", "score_histogram.png"}


@pytest.fixture
def three(tmp_path: Path) -> JudgedPictures:
    """p0 is right, p1 misses two, p2 has a ghost; all are grey pictures of 80 x 60."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"p{number}.png"), np.full((60, 80, 3), 128, np.uint8))
    cat, other = (BOX, CAT), ((45.0, 0.0, 75.0, 40.0), DOG)
    return judged(
        [
            (truths(cat), found((BOX, CAT, 0.9))),
            (truths(cat, other), found()),
            (truths(cat), found((BOX, CAT, 0.9), ((50, 45, 70, 58), DOG, 0.8), ((50, 5, 70, 18), DOG, 0.1))),
        ],
        size_px=(80, 60),
        folder=tmp_path,
    )


def test_worst_pictures_come_first_and_right_ones_not_at_all(three: JudgedPictures, tmp_path: Path) -> None:
    diagnosis = diagnose(three, 0.5)
    assert diagnosis.worst == (1, 2)
    assert [in_words(diagnosis.judgements[number]) for number in (1, 2, 0)] == ["2 missed", "1 ghost", "all right"]
    document = diagnosis.to_json(three)
    assert document["worst_pictures"][0] == {"picture": "p1", "cost": 2.0, "errors": {"missed": 2}}
    assert {kind: count for kind, count in document["errors"].items() if count} == {"missed": 2, "ghost": 1}
    assert document["right"] == 2
    three.files[2].unlink()
    (tmp_path / "worst").mkdir()
    (tmp_path / "worst" / "17.jpg").write_bytes(b"of an earlier time")
    write_worst_pictures(three, diagnosis, tmp_path)
    assert [path.name for path in (tmp_path / "worst").iterdir()] == ["01.jpg"]  # p2 is gone, its place is left empty
    drawn = cv2.imread(str(tmp_path / "worst" / "01.jpg"))
    assert drawn is not None
    near = np.abs(drawn.astype(int) - KIND_BGR[ErrorKind.MISSED]).sum(axis=2) < 60
    assert near[:, : drawn.shape[1] // 2].sum() < 50  # labels on the left, errors on the right (JPEG blurs colours)
    assert near[:, drawn.shape[1] // 2 :].sum() > 500


def test_kept_detections_give_the_same_figures_and_are_bounded(three: JudgedPictures, tmp_path: Path) -> None:
    write_detections(three, tmp_path)
    kept, floor = read_detections(tmp_path)
    assert floor == 0.001
    assert kept.names == three.names
    assert evaluation_of(kept).to_json() == evaluation_of(three).to_json()
    np.testing.assert_array_equal(kept.detections[2].scores, three.detections[2].scores)
    write_detections(three, tmp_path, at_most=3)
    kept, floor = read_detections(tmp_path)
    assert (sum(map(len, kept.detections)), floor) == (3, pytest.approx(0.8))
    write_detections(three, tmp_path, at_most=1)  # two score 0.9: neither is kept before the other
    assert sum(map(len, read_detections(tmp_path)[0].detections)) == 0


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 7}'])
def test_damaged_detections_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "detections.json").write_text(text)
    with pytest.raises(InputError, match=r"detections\.json is (damaged|of format 7)"):
        read_detections(tmp_path)
