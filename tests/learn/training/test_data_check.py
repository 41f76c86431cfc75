"""Before the first epoch: what would falsify a run is refused, the rest is named, and nothing is trained meanwhile."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from drawn_shapes import draw_data, write_cfg, write_splits
from vedette.contracts.errors import InputError
from vedette.contracts.ports import SilentProgress
from vedette.learn.training.data_check import CHECK_FILE
from vedette.learn.training.intake import take_in
from vedette.learn.training.leaks import LeakChoice
from vedette.learn.training.prepare import Prepared, prepare
from vedette.learn.training.run_folder import RunFolder
from vedette.learn.training.settings import TrainSettings
from vedette.learn.training.split_classes import UnjudgedChoice


class Lines(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def settings_for(folder: Path, pictures: int, **splits: range) -> TrainSettings:
    data = draw_data(folder / "data", pictures)
    write_splits(data, **splits)
    return TrainSettings(data=data, model=str(write_cfg(folder)), batch=4)


def prepared(settings: TrainSettings, *, resume: bool = False) -> tuple[Prepared, str]:
    lines = Lines()
    run = RunFolder(settings.data.parent / "run")
    found = prepare(take_in(settings, run, resume=resume), run, lines)
    return found, "\n".join(lines.said)


def copy_picture(data: Path, source: str, target: str, quality: int | None = None) -> None:
    """Put one picture in another's place, as it is or saved again."""
    pictures = data / "JPEGImages"
    if quality is None:
        (pictures / f"{target}.jpg").write_bytes((pictures / f"{source}.jpg").read_bytes())
    else:
        image = cv2.imread(str(pictures / f"{source}.jpg"))
        cv2.imwrite(str(pictures / f"{target}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def relabel(data: Path, picture: str, old: str, new: str) -> None:
    path = data / "Annotations" / f"{picture}.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_clean_set_is_said_to_be_clean(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    found, said = prepared(settings)
    assert "data: 6 pictures to train on, 3 to validate; 12 + 6 objects of 2 classes: brick 6 + 4, tile 6 + 2" in said
    assert "no picture leaks, none is broken, no label is useless" in said
    assert found.check.as_document()["same_in_train_and_val"] == []


def test_leaks_are_refused_by_name_dropped_or_kept(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 12, train=range(6), val=range(6, 9), test=range(9, 12))
    copy_picture(settings.data, "p007", "p002")
    copy_picture(settings.data, "p010", "p003")
    with pytest.raises(
        InputError, match=r"1 of the 3 validation pictures, seen .* p002 = p007; .*--leaks drop.*--leaks keep"
    ):
        prepared(settings)
    kept, said = prepared(replace(settings, leaks=LeakChoice.KEEP))
    assert "1 training picture is in val too: p002 = p007" in said
    assert "1 training picture is in test too, byte by byte: p003 = p010" in said
    assert len(kept.train) == 6
    document = kept.check.as_document()
    assert document["same_in_train_and_val"] == [{"train": "p002", "val": "p007"}]
    assert document["same_in_train_and_test"] == [{"train": "p003", "test": "p010"}]
    dropped, said = prepared(replace(settings, leaks=LeakChoice.DROP))
    assert "--leaks drop: 2 left out of training, 4 stay" in said
    assert [one.name for one in dropped.train.samples] == ["p000", "p001", "p004", "p005"]
    assert dropped.splits["train"] == ("p000", "p001", "p004", "p005")
    assert len(dropped.val) == 3


def test_a_picture_in_both_lists_is_a_leak_and_all_of_them_leave_nothing(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 6, train=range(4), val=range(4))
    with pytest.raises(InputError, match=r"4 of the 4 validation pictures, .*: p000, p001, p002, p003;"):
        prepared(settings)
    with pytest.raises(InputError, match="leaves no training picture"):
        prepared(replace(settings, leaks=LeakChoice.DROP))


def test_one_leak_in_more_than_a_hundred_is_only_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 120, train=range(10), val=range(10, 120))
    copy_picture(settings.data, "p050", "p002")
    _, said = prepared(settings)
    assert "1 training picture is in val too: p002 = p050" in said


def test_copies_saved_again_are_told_as_likely(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    copy_picture(settings.data, "p008", "p002", quality=80)
    found, said = prepared(settings)
    assert "1 training picture looks almost like a validation picture: p002 = p008" in said
    assert found.check.as_document()["almost_the_same_in_train_and_val"] == [{"train": "p002", "val": "p008"}]


def test_broken_pictures_of_all_splits_are_refused_together(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    (settings.data / "JPEGImages" / "p001.jpg").unlink()
    (settings.data / "JPEGImages" / "p008.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"p001\.jpg cannot be read.*p008\.jpg cannot be decoded"):
        prepared(settings)


def test_useless_labels_are_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    for name, box in (("p001", (50, 10, 40, 30)), ("p007", (20, 20, 20, 40)), ("p004", (5, 5, 6, 60))):
        left, top, right, bottom = box
        path = settings.data / "Annotations" / f"{name}.xml"
        corners = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        added = f"<object><name>brick</name><bndbox>{corners}</bndbox></object></annotation>"
        path.write_text(path.read_text().replace("</annotation>", added))
    found, said = prepared(settings)
    assert "2 objects cannot be used and left out" in said
    assert "1 x inverted-box: p001 (object 2)" in said
    assert "1 x empty-box: p007 (object 2)" in said
    assert "1 object less than 3 px wide or high at 96x64" in said
    assert found.check.as_document()["objects_left_out"] == 2


def test_classes_that_only_validation_has_are_refused_before_any_picture_is_read(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    relabel(settings.data, "p007", "<name>brick", "<name>Brick")
    (settings.data / "JPEGImages" / "p000.jpg").write_bytes(b"no picture")
    expected = r"in no training picture.*'Brick' \(1 objects; train has 'brick', spelt otherwise\)"
    with pytest.raises(InputError, match=expected):
        prepared(settings)


def test_classes_that_are_not_judged_or_nearly_alike_are_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    cfg = Path(settings.model)
    cfg.write_text(cfg.read_text().replace("classes=2", "classes=3").replace("filters=14", "filters=16"))
    relabel(settings.data, "p001", "<name>brick", "<name>Brick")
    _, said = prepared(settings)
    assert "no validation picture has 'Brick': no epoch is judged by it" in said
    assert "classes that differ in spelling only: 'Brick', 'brick'" in said


def test_a_class_that_chance_cannot_keep_out_of_validation_is_refused_or_kept(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 24, train=range(12), val=range(12, 16), test=range(22, 24))
    for number in range(12, 22):
        path = settings.data / "Annotations" / f"p{number:03d}.xml"
        path.write_text(path.read_text().replace("<name>brick", "<name>tile"))
    relabel(settings.data, "p022", "<name>brick", "<name>Brick")
    cfg = Path(settings.model)
    cfg.write_text(cfg.read_text().replace("classes=2", "classes=3").replace("filters=14", "filters=16"))
    _, said = prepared(settings)  # in 10 of 12 pictures: 4 would have it in 3.3
    assert "no validation picture has 'brick'" in said
    assert "the test split has 'Brick' (1 objects; train has 'brick', spelt otherwise), train has not" in said
    lists = settings.data / "ImageSets" / "Main"
    (lists / "val.txt").write_text("".join(f"p{number:03d}\n" for number in range(12, 22)))
    with pytest.raises(
        InputError, match=r"has 'brick' \(in 10 training pictures\), though some should.*--unjudged keep"
    ):
        prepared(settings)
    _, said = prepared(replace(settings, unjudged=UnjudgedChoice.KEEP))
    assert "no validation picture has 'brick': no epoch is judged by it" in said


def test_one_class_is_made_of_all(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9, train=range(6), val=range(6, 9))
    cfg = Path(settings.model)
    cfg.write_text(cfg.read_text().replace("classes=2", "classes=1").replace("filters=14", "filters=12"))
    relabel(settings.data, "p007", "<name>brick", "<name>Brick")  # no matter now
    found, said = prepared(replace(settings, single_class="thing"))
    assert "18 objects of 1 class" not in said
    assert "12 + 6 objects of 1 class: thing 12 + 6" in said
    assert found.data.classes == ("thing",)
    assert found.named == ("Brick", "brick", "tile")
    assert found.plan.class_count == 1


def test_the_findings_are_json(tmp_path: Path) -> None:
    found, _ = prepared(settings_for(tmp_path, 9, train=range(6), val=range(6, 9)))
    run = RunFolder(tmp_path / "run")
    run.create()
    run.write_document(CHECK_FILE, found.check.as_document())
    document = json.loads((tmp_path / "run" / CHECK_FILE).read_text())
    assert document["pictures"] == {"train": 6, "val": 3}
    assert document["objects"]["brick"] == {"train": 6, "val": 4}
