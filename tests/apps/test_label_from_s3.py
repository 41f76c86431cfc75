"""`vedette label` with pictures and bundle in S3, and a manifest of Ground Truth whose pictures are still there."""

import json
from pathlib import Path

import cv2
import pytest

from simulators.s3_servers import BUCKET, S3Server
from small_bundle import make_bundle, make_picture
from vedette.apps.cli import run_command
from vedette.apps.object_storage import open_place
from vedette.learn.data.reading import read_data_set


@pytest.fixture(autouse=True)
def environment(rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**rclone_s3.environment(), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


def upload(folder: Path, place: str) -> None:
    store = open_place(place)
    for path in folder.rglob("*"):
        if path.is_file():
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())


def test_pictures_in_s3_are_labelled_by_a_bundle_in_s3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"s3://{BUCKET}/labelling/{tmp_path.name}"
    for name in ("day/a", "night/b"):
        path = tmp_path / "shots" / f"{name}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), make_picture({(1, 1): "green"}))
    upload(tmp_path / "shots", f"{place}/shots")
    upload(make_bundle(tmp_path / "bundle").path, f"{place}/bundle")
    out = tmp_path / "out"
    command = ["label", f"{place}/shots", "--with", f"{place}/bundle", "--out", str(out)]
    assert run_command(command) == 0, capsys.readouterr().err
    data = read_data_set(out)
    assert [sample.name for sample in data.samples] == ["day/a", "night/b"]
    assert [[item.class_name for item in sample.objects] for sample in data.samples] == [["green"], ["green"]]
    capsys.readouterr()
    assert run_command(command) == 0
    assert "2 pictures are labelled already" in capsys.readouterr().out


def test_pictures_of_a_manifest_are_fetched_from_where_they_are(tmp_path: Path) -> None:
    place = f"s3://{BUCKET}/manifest/{tmp_path.name}"
    (tmp_path / "shots").mkdir()
    cv2.imwrite(str(tmp_path / "shots" / "a.png"), make_picture({(1, 1): "green"}))
    upload(tmp_path / "shots", f"{place}/in")
    label = {
        "image_size": [{"width": 64, "height": 64, "depth": 3}],
        "annotations": [{"class_id": 0, "left": 16, "top": 16, "width": 16, "height": 16}],
    }
    metadata = {"class-map": {"0": "green"}, "type": "groundtruth/object-detection"}
    manifest = tmp_path / "output.manifest"
    manifest.write_text(json.dumps({"source-ref": f"{place}/in/a.png", "boxes": label, "boxes-metadata": metadata}))
    command = [
        "data",
        "convert",
        str(manifest),
        str(tmp_path / "voc"),
        "--to",
        "voc",
        "--map",
        f"{place}/in={place}/in",
    ]
    assert run_command(command) == 0
    (sample,) = read_data_set(tmp_path / "voc").samples
    assert (sample.name, sample.objects[0].box_xyxy_px) == ("a", (16.0, 16.0, 32.0, 32.0))
    assert sample.picture.read_bytes() == (tmp_path / "shots" / "a.png").read_bytes()
