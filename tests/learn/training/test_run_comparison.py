"""Runs against each other: on common ground only, with intervals; what does not compare is said; a safe page."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.apps.cli import run_command
from vedette.contracts.detections import Detections
from vedette.contracts.errors import InputError
from vedette.learn.training.average_precision import Truths, interpolated_precision, match_class
from vedette.learn.training.comparison.bootstrap import _scored, draw_precisions, interval, weighted_precisions
from vedette.learn.training.comparison.comparing import compare
from vedette.learn.training.comparison.page import write_comparison
from vedette.learn.training.diagnosis.diagnose import evaluation_of
from vedette.learn.training.judged import JudgedPictures
from vedette.learn.training.kept_detections import write_detections
from vedette.learn.training.report import RESULTS_COLUMNS

EVIL = "<script>alert(1)</script>"
CAT: tuple[float, ...] = (10, 10, 50, 50)
DOG: tuple[float, ...] = (55, 10, 75, 50)
Found = tuple[tuple[float, ...], int, float]


def judged_pictures(
    folder: Path, found: Sequence[Sequence[Found]], names: Sequence[str], classes: tuple[str, ...] = ("cat", "dog")
) -> JudgedPictures:
    """Pictures of 80 x 60 with a cat and a dog each, and what was found in them."""
    boxes = np.array([CAT, DOG], np.float64)[: len(classes)]
    truth = Truths(boxes, np.arange(len(boxes), dtype=np.int32), np.zeros(len(boxes), np.bool_))
    detections = tuple(
        Detections(
            np.array([f[0] for f in one], np.float32).reshape(-1, 4),
            np.array([f[2] for f in one], np.float32),
            np.array([f[1] for f in one], np.int32),
            classes,
        )
        for one in found
    )
    files = tuple(folder / f"{number}.png" for number in range(len(names)))
    return JudgedPictures(
        tuple(names), files, ((80, 60),) * len(names), (truth,) * len(names), detections, classes, 2.5
    )


def write_run(
    folder: Path, judged: JudgedPictures, settings: dict[str, object] | None = None, train: Sequence[str] = ()
) -> Path:
    """The files of a run that a comparison reads."""
    folder.mkdir(parents=True)
    write_detections(judged, folder)
    (folder / "evaluation.json").write_text(json.dumps(evaluation_of(judged).to_json()))
    (folder / "settings.json").write_text(json.dumps({"seed": 0, **(settings or {})}))
    (folder / "split.json").write_text(json.dumps({"train": list(train), "val": list(judged.names)}))
    rows = [[epoch, epoch * 30, 1 / epoch, 1, 1, 0.2 * epoch, 0.1 * epoch, 0.5, 0.4, 1e-3, 20, 0] for epoch in (1, 2)]
    lines = [",".join(map(str, row)) for row in [RESULTS_COLUMNS, *rows]]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    return folder


BOTH: list[Found] = [(CAT, 0, 0.9), (DOG, 1, 0.8)]
ONLY_CAT: list[Found] = [(CAT, 0, 0.9)]
NAMES = ("p0", "p1", "p2", "p3")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """`good` finds everything in four pictures, `poor` no dog in three of them."""
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 80, 3), 90, np.uint8))
    good = write_run(tmp_path / "good", judged_pictures(tmp_path, [BOTH] * 4, NAMES), {"note": EVIL})
    poor = judged_pictures(tmp_path, [BOTH, ONLY_CAT, ONLY_CAT, ONLY_CAT], NAMES)
    return good, write_run(tmp_path / "poor", poor, {"note": "plain", "seed": 1})


def test_figures_differ_by_what_one_side_misses(runs: tuple[Path, Path]) -> None:
    found = compare(runs)
    assert found.notes == ()
    assert found.settings == {"note": (EVIL, "plain"), "seed": (0, 1)}
    assert found.ground is not None
    cat, dog = found.ground.classes
    assert cat.values == (pytest.approx(1.0), pytest.approx(1.0))
    assert cat.intervals == (pytest.approx((0.0, 0.0)),)
    assert not cat.is_clear(1)
    assert dog.values == (pytest.approx(1.0), pytest.approx(26 / 101))  # recall 0.00 to 0.25 of 101 levels
    (low, high), change = dog.intervals[0] or (0, 0), dog.change(1)
    assert change is not None
    assert -1 <= low < change < high <= 0
    assert [d.name for d in found.ground.means] == ["mAP50", "mAP50-95", "precision", "recall"]
    assert found.ground.pictures == (1, 2, 3)
    document = found.to_json()
    assert document["in_common"]["errors"]["missed"] == [0, 3]
    assert [side["time_to_best_s"] for side in document["sides"]] == [60.0, 60.0]
    json.dumps(document, allow_nan=False)


def test_a_draw_of_every_picture_once_is_ap_itself_and_of_one_picture_twice_counts_it_twice(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    found = [
        [(tuple(np.array(CAT) + rng.normal(0, 6, 4)), 0, float(score)) for score in rng.permutation(8)[:3] / 8 + 0.05]
        for _ in range(6)
    ]
    side = judged_pictures(tmp_path, found, [f"p{n}" for n in range(6)])
    twice = side.part([0, 1, 2, 3, 4, 5, 5])
    scored = _scored(side, 0)
    weights = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0]])
    drawn = weighted_precisions(scored, weights)
    plain = interpolated_precision(match_class(side.truths, side.detections, 0)).mean(axis=1)
    doubled = interpolated_precision(match_class(twice.truths, twice.detections, 0)).mean(axis=1)
    assert 0 < plain[0] < 1
    np.testing.assert_allclose(drawn[0], plain, atol=1e-9)
    np.testing.assert_allclose(drawn[1], doubled, atol=0.02)  # equal scores of one picture drawn twice
    assert np.isnan(drawn[2]).all()
    same = draw_precisions([side, side])
    assert interval(same[1, :, 0, 0] - same[0, :, 0, 0]) == (0.0, 0.0)
    assert interval(np.array([np.nan])) is None


def test_only_pictures_and_classes_in_common_count_and_it_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = judged_pictures(tmp_path, [[(CAT, 0, 0.9)]] * 3, ("p1", "p2", "elsewhere"), ("cat",))
    third = write_run(tmp_path / "third", other, train=("p0", "p2"))
    found = compare([runs[0], third])
    assert found.ground is not None
    assert found.ground.sides[0].names == ("p1",)
    assert found.ground.sides[0].class_names == ("cat",)
    said = "\n".join(found.notes)
    for sentence in (
        "third was trained on 2 of the 4 pictures that good is judged on",
        "only good knows dog",
        "different pictures (good 4, third 3): what follows is of the 1 that are in all",
    ):
        assert sentence in said


def test_other_labels_for_a_picture_are_no_common_ground(runs: tuple[Path, Path], tmp_path: Path) -> None:
    path = runs[1] / "detections.json"
    document = json.loads(path.read_text())
    document["pictures"][0]["labelled"][0][0] += 3
    path.write_text(json.dumps(document))
    found = compare(runs)
    assert "of the pictures in common 1 is labelled otherwise or of another size, so left out: p0" in found.notes
    assert found.ground is not None
    assert len(found.ground.sides[0]) == 3


def test_nothing_in_common_leaves_figures_only(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "third", judged_pictures(tmp_path, [BOTH], ("elsewhere",)))
    found = compare([runs[0], other])
    assert found.ground is None
    assert any("no picture in common" in note for note in found.notes)
    write_comparison(found, tmp_path / "page.html")
    assert "no picture in common" in (tmp_path / "page.html").read_text().lower()


def test_folds_count_as_one_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for number, names in ((1, NAMES[:2]), (2, NAMES[2:])):
        fold = judged_pictures(tmp_path, [BOTH, BOTH], names)
        write_run(
            tmp_path / "crossed" / f"fold-{number}", fold, {"fold": number}, train=[n for n in NAMES if n not in names]
        )
    found = compare([tmp_path / "crossed", runs[0]])
    assert found.ground is not None
    assert found.ground.sides[0].names == NAMES
    assert [d.change(1) for d in found.ground.means] == [pytest.approx(0)] * 4
    assert found.settings["folds"] == (2, None)
    assert len(found.compared[0].fold_figures) == 2


def test_a_run_that_still_trains_is_compared_by_its_curves(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("evaluation.json", "detections.json"):
        (runs[1] / name).unlink()
    found = compare(runs)
    assert found.ground is None
    assert any("poor has not ended" in note for note in found.notes)
    write_comparison(found, tmp_path / "page.html")
    assert "mAP50 by minutes" in (tmp_path / "page.html").read_text()


def test_page_is_one_safe_file_with_the_pictures_that_differ(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "3.png").unlink()
    page = tmp_path / "page.html"
    assert run_command(["compare", *map(str, runs), "--out", str(page)]) == 0
    text = page.read_text()
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert text.count("data:image/jpeg;base64,") == 2  # p1, p2; p3 is gone
    assert "not on this computer any more" in text
    for shown in ("good – poor", "p3", "&lt;script&gt;", "mAP50 by epoch", "-0.743"):
        assert shown in text
    assert not {"NaN", "nan", "None"} & set(re.findall(r"\w+", re.sub(r"base64,[^\"]+", "", text)))


def test_terminal_and_json_say_the_same(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", *map(str, runs)]) == 0
    table = capsys.readouterr().out
    for shown in ("settings that differ", "on the same 4 pictures, 8 objects", "dog", "-0.743", "*"):
        assert shown in table
    assert run_command(["compare", *map(str, runs), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["in_common"]["classes_ap50"][1]["differences"] == [pytest.approx(-0.742574)]


def test_what_is_no_run_is_one_sentence(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no run and no evaluation"):
        compare([runs[0], tmp_path / "empty"])
    with pytest.raises(InputError, match="is no folder"):
        compare([runs[0], tmp_path / "absent"])
    with pytest.raises(InputError, match="given twice"):
        compare([runs[0], runs[0]])
    assert run_command(["compare", str(runs[0])]) == 2
    assert run_command(["compare", *map(str, runs), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("vedette: ") == 2
    (runs[0] / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match=r"evaluation\.json cannot be read as JSON"):
        compare(runs)
