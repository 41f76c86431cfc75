"""Charts and grids: written whole, of the right size, with any class name, and showing what they are given."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.contracts.detections import Detections
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.average_precision import Truths
from vedette.learn.training.chart_style import drawable
from vedette.learn.training.evaluate import Evaluation, summarise
from vedette.learn.training.picture_grids import IGNORED_BGR, GridPicture, write_training_grid, write_validation_grid
from vedette.learn.training.plots import (
    read_results,
    write_evaluation_plots,
    write_labels_plot,
    write_results_plot,
)
from vedette.learn.training.report import RESULTS_COLUMNS
from vedette.vision.annotate import class_colour

AWKWARD = ("_hidden", "$x^", "キャップ", "a very long name of a part that nobody abbreviated")


def evaluation_of(class_count: int, seed: int = 0) -> Evaluation:
    """Five pictures of jittered boxes; names are awkward ones first, then plain ones."""
    random = np.random.default_rng(seed)
    names = (AWKWARD + tuple(f"class {number}" for number in range(class_count)))[:class_count]
    truths, detections = [], []
    for _ in range(5):
        start = random.uniform(0, 300, (class_count, 2))
        boxes = np.concatenate([start, start + 60], axis=1)
        class_ids = np.arange(class_count, dtype=np.int32)
        truths.append(Truths(boxes, class_ids, np.zeros(class_count, np.bool_)))
        scores = random.random(class_count).astype(np.float32)
        found = (boxes + random.normal(0, 8, boxes.shape)).astype(np.float32)
        detections.append(Detections(found, scores, random.permutation(class_ids), names))
    return summarise(truths, detections, names)


def pixels(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None, f"{path} is no picture"
    return image


def assert_drawn(path: Path, least_side_px: int = 400) -> None:
    image = pixels(path)
    assert min(image.shape[:2]) >= least_side_px
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20  # more than a blank sheet


@pytest.mark.parametrize("class_count", [1, 3, 30])
def test_evaluation_plots_are_drawn_with_few_and_many_classes_and_any_name(tmp_path: Path, class_count: int) -> None:
    write_evaluation_plots(evaluation_of(class_count), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["F1_curve.png", "PR_curve.png", "confusion_matrix.png"]
    for path in tmp_path.iterdir():
        assert_drawn(path)


def test_confusion_matrix_grows_with_the_classes_and_shows_the_diagonal(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(40))
    boxes = np.array([[number * 20, 0, number * 20 + 10, 10] for number in range(40)], np.float64)
    ids = np.arange(40, dtype=np.int32)
    perfect = Detections(boxes.astype(np.float32), np.full(40, 0.9, np.float32), ids, names)
    write_evaluation_plots(summarise([Truths(boxes, ids, np.zeros(40, np.bool_))], [perfect], names), tmp_path)
    image = pixels(tmp_path / "confusion_matrix.png")
    assert min(image.shape[:2]) > 900
    dark = np.argwhere((image == (0x66, 0x3D, 0x0B)).all(axis=2))  # the colour of 100 %, BGR
    rows, columns = dark[:, 0], dark[:, 1]
    inside = columns < image.shape[1] * 0.85  # without the colour bar
    assert np.corrcoef(rows[inside], columns[inside])[0, 1] > 0.999


RESULTS = (
    ",".join(RESULTS_COLUMNS)
    + """
1,8.1,1.5,2.5,0.8,0.1,0.05,0.2,0.1,0.001,50
2,16.0,1.2,2.0,0.6,,,,,0.001,51
3,24.2,1.0,1.5,0.4,0.4,0.2,0.5,0.4,0.0005,50
"""
)


def test_results_are_read_with_gaps_where_an_epoch_was_not_validated(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(RESULTS)
    columns = read_results(tmp_path / "results.csv")
    np.testing.assert_equal(columns["val_map50"], [0.1, np.nan, 0.4])
    assert columns["epoch"].tolist() == [1, 2, 3]
    assert read_results(tmp_path / "absent.csv") == {}


@pytest.mark.parametrize("lines", [0, 1, 2, 4], ids=["no file", "header only", "one epoch", "three epochs"])
def test_results_plot_is_drawn_at_any_moment_of_a_run(tmp_path: Path, lines: int) -> None:
    if lines:
        (tmp_path / "results.csv").write_text("\n".join(RESULTS.splitlines()[:lines]) + "\n")
    write_results_plot(tmp_path / "results.csv", tmp_path / "results.png")
    assert_drawn(tmp_path / "results.png")


@pytest.mark.parametrize("class_count", [2, 45])
def test_labels_plot_takes_broken_boxes_unknown_sizes_and_many_classes(tmp_path: Path, class_count: int) -> None:
    names = tuple(f"class {number}" for number in range(class_count))
    objects = tuple(LabelledObject(name, (10, 10, 20 + place, 40)) for place, name in enumerate(names))
    broken = (LabelledObject(names[0], (30, 30, 30, 30)), LabelledObject(names[0], (-5, 0, 500, 400)))
    samples = (
        Sample("a", tmp_path / "a.jpg", 100, 80, objects + broken),
        Sample("b", tmp_path / "b.jpg", 0, 0, objects),
    )
    write_labels_plot(DataSet(tmp_path, Layout.VOC, names, samples), tmp_path / "labels.png")
    assert_drawn(tmp_path / "labels.png")
    write_labels_plot(DataSet(tmp_path, Layout.VOC, names, ()), tmp_path / "empty.png")
    assert_drawn(tmp_path / "empty.png")


def test_names_are_shortened_and_letters_without_a_glyph_become_boxes() -> None:
    assert drawable("キャp") == "□□p"
    assert drawable("x" * 40) == "x" * 27 + "…"
    assert drawable("Größe_2") == "Größe_2"


def grid_picture(width: int, height: int, detections: Detections | None = None) -> GridPicture:
    box = np.array([[width * 0.25, height * 0.25, width * 0.75, height * 0.75]])
    truths = Truths(box, np.zeros(1, np.int32), np.zeros(1, np.bool_))
    return GridPicture(np.zeros((height, width, 3), np.uint8), truths, detections, "名前 a")


def count_of_colour(image: np.ndarray, bgr: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - bgr).sum(axis=2) < 60).sum())


def test_training_grid_shows_sixteen_pictures_at_most_with_their_boxes(tmp_path: Path) -> None:
    write_training_grid([grid_picture(420, 420)] * 20, ("cap",), tmp_path / "train_batch0.jpg")
    image = pixels(tmp_path / "train_batch0.jpg")
    assert image.shape == (4 * 428 + 8, 4 * 428 + 8, 3)
    assert count_of_colour(image, class_colour(0)) > 16 * 4 * 200
    write_training_grid([], ("cap",), tmp_path / "none.jpg")
    assert pixels(tmp_path / "none.jpg").size


def test_validation_grid_sets_labels_beside_confident_predictions(tmp_path: Path) -> None:
    box = np.array([[10, 10, 470, 390]] * 2, np.float32)
    sure = Detections(box, np.array([0.9, 0.2], np.float32), np.array([1, 2], np.int32), ("a", "b", "c"))
    write_validation_grid([grid_picture(480, 400, sure)], ("a", "b", "c"), tmp_path / "val_batch0.jpg")
    image = pixels(tmp_path / "val_batch0.jpg")
    left, right = image[:, : image.shape[1] // 2], image[:, image.shape[1] // 2 :]
    assert count_of_colour(left, class_colour(0)) > 800
    assert count_of_colour(left, class_colour(1)) == 0
    assert count_of_colour(right, class_colour(1)) > 2000
    assert count_of_colour(right, class_colour(2)) == 0  # 0.2 is below the least score shown


def test_ignored_truths_are_grey_whatever_their_class(tmp_path: Path) -> None:
    box = np.array([[105.0, 105, 315, 315]])
    ignored = Truths(box, np.full(1, -1, np.int32), np.ones(1, np.bool_))
    picture = GridPicture(np.zeros((420, 420, 3), np.uint8), ignored)
    write_training_grid([picture], ("cap",), tmp_path / "train_batch0.jpg")
    image = pixels(tmp_path / "train_batch0.jpg")
    assert count_of_colour(image, class_colour(0)) == 0
    assert count_of_colour(image, IGNORED_BGR) > 1000


def test_pictures_of_unequal_shape_share_one_grid(tmp_path: Path) -> None:
    write_validation_grid([grid_picture(640, 480), grid_picture(100, 900)], ("cap",), tmp_path / "val_batch0.jpg")
    assert pixels(tmp_path / "val_batch0.jpg").shape[1] == 4 * 488 + 8


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"
