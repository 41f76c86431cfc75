"""`vedette evaluate`: bundles and weights, figures as JSON or table, one clear message for each mistake."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from random_weights import random_weights
from small_bundle import make_bundle, make_picture
from vedette.apps.cli import run_command
from vedette.apps.evaluate import read_class_map
from vedette.contracts.errors import InputError
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import write_weights

OBJECT = """<object><name>{name}</name><difficult>0</difficult>
<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""
CFG = """[net]
width=64
height=64
channels=3
{letter_box}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=16
pad=1
activation=leaky
[convolutional]
filters=16
size=1
stride=1
activation=linear
[yolo]
mask=0,1
anchors=10,10, 30,30
classes=3
num=2
"""


def write_voc(
    folder: Path, pictures: dict[str, tuple[np.ndarray, list[tuple[str, tuple[int, int, int, int]]]]]
) -> Path:
    """A VOC folder; boxes are corners in continuous pixels."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for name, (image, objects) in pictures.items():
        cv2.imwrite(str(folder / f"JPEGImages/{name}.png"), image)
        body = "".join(OBJECT.format(x1 + 1, y1 + 1, x2, y2, name=label) for label, (x1, y1, x2, y2) in objects)
        (folder / f"Annotations/{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><size><width>{image.shape[1]}</width>"
            f"<height>{image.shape[0]}</height><depth>3</depth></size>{body}</annotation>"
        )
    (folder / "ImageSets/Main/test.txt").write_text("one\n")
    (folder / "ImageSets/Main/train.txt").write_text("two\n")
    return folder


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """`one` is labelled as it is; `two` has a label where nothing is."""
    one = make_picture({(0, 0): "red", (2, 1): "green"})
    two = make_picture({(3, 3): "red"})
    return write_voc(
        tmp_path / "data",
        {
            "one": (one, [("red", (0, 0, 16, 16)), ("green", (32, 16, 48, 32))]),
            "two": (two, [("red", (48, 48, 64, 64)), ("red", (0, 0, 16, 16))]),
        },
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle").path


def evaluate_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    assert run_command(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_bundle_is_measured_on_a_split(bundle: Path, squares: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = evaluate_json(capsys, bundle, "--data", squares, "--split", "test")
    figures = {key: document[key] for key in ("map50", "map50_95", "precision", "recall", "pictures", "split", "model")}
    assert figures == {
        "map50": 1.0, "map50_95": 1.0, "precision": 1.0, "recall": 1.0, "pictures": 1, "split": "test",
        "model": "coloured-squares",
    }  # fmt: skip
    assert document["ms_per_picture"] > 0
    assert [c["name"] for c in document["classes"] if c["objects"]] == ["red", "green"]


def test_a_missed_object_shows_in_recall_and_map(
    bundle: Path, squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = evaluate_json(capsys, bundle, "--data", squares, "--split", "train", "--engine", "onnxruntime")
    assert document["recall"] == 0.5
    assert document["map50"] == pytest.approx(51 / 101, abs=1e-6)  # recall 0.00 to 0.50 of 101 levels
    assert document["engine"].startswith("onnxruntime")


def test_table_is_for_people(bundle: Path, squares: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["evaluate", str(bundle), "--data", str(squares)]) == 0
    shown = capsys.readouterr()
    assert "mean of classes" in shown.out
    assert "2 pictures" in shown.out
    assert "coloured-squares on " in shown.err


def test_class_map_renames_and_leaves_out(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = make_picture({(0, 0): "red"})
    data = write_voc(
        tmp_path / "french",
        {"one": (picture, [("rouge", (0, 0, 16, 16)), ("noir", (32, 32, 48, 48))]), "two": (picture, [])},
    )
    assert run_command(["evaluate", str(bundle), "--data", str(data)]) == 1
    message = capsys.readouterr().err
    assert "rouge" in message
    assert "noir" in message
    (tmp_path / "map.yaml").write_text("rouge: red\nnoir: null\n")
    document = evaluate_json(capsys, bundle, "--data", data, "--split", "test", "--class-map", tmp_path / "map.yaml")
    assert [(c["name"], c["ap50"]) for c in document["classes"]] == [("red", 1.0)]


def test_resize_of_a_bundle_can_be_overridden(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[16:32, 0:32] = (0, 0, 255)  # a red 16x16 cell once stretched to 64x64
    data = write_voc(tmp_path / "wide", {"one": (wide, [("red", (0, 16, 32, 32))])})
    (data / "ImageSets/Main/train.txt").unlink()
    assert evaluate_json(capsys, bundle, "--data", data)["map50_95"] == 1.0
    document = evaluate_json(capsys, bundle, "--data", data, "--resize", "letterbox")
    assert document["resize"] == "letterbox"
    assert document["map50_95"] < 1.0


@pytest.mark.parametrize(("letter_box", "resize"), [("", "stretch"), ("letter_box=1", "letterbox")])
def test_weights_are_measured_in_torch_with_the_resize_of_their_cfg(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], letter_box: str, resize: str
) -> None:
    cfg = tmp_path / "net.cfg"
    cfg.write_text(CFG.format(letter_box=letter_box))
    plan = plan_network(parse_cfg(cfg.read_text()))
    write_weights(tmp_path / "net.weights", plan, random_weights(plan))
    (tmp_path / "net.names").write_text("red\ngreen\nblue\n")
    flags = ("--cfg", cfg, "--weights", tmp_path / "net.weights", "--names", tmp_path / "net.names")
    document = evaluate_json(capsys, *flags, "--data", squares)
    assert document["resize"] == resize
    assert document["engine"].startswith("torch ")
    assert document["nms_kind"] == "iou"
    assert 0 <= document["map50_95"] <= document["map50"] <= 1
    again = evaluate_json(capsys, *flags, "--data", squares, "--processes", "2")
    assert again | {"ms_per_picture": 0} == document | {"ms_per_picture": 0}
    (tmp_path / "net.names").write_text("red\ngreen\n")
    assert run_command(["evaluate", *map(str, flags), "--data", str(squares)]) == 1
    assert "has 2 lines, but the network has 3 classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "missing: --cfg, --weights, --names"),
        (["--cfg", "a.cfg"], "missing: --weights, --names"),
        (["BUNDLE", "--cfg", "a.cfg"], "not both"),
        (["--cfg", "a", "--weights", "b", "--names", "c", "--engine", "openvino"], "are for bundles"),
        (["BUNDLE", "--nms", "1.5"], "--nms must lie between 0 and 1"),
    ],
)
def test_contradictions_are_wrong_usage(
    bundle: Path, squares: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    arguments = [str(bundle) if flag == "BUNDLE" else flag for flag in flags]
    assert run_command(["evaluate", *arguments, "--data", str(squares)]) == 2
    assert message in capsys.readouterr().err


def test_unknown_split_and_absent_data_are_bad_input(
    bundle: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["evaluate", str(bundle), "--data", str(squares), "--split", "val"]) == 1
    assert "no split 'val'" in capsys.readouterr().err
    assert run_command(["evaluate", str(bundle), "--data", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_tampered_bundle_is_refused(bundle: Path, squares: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (bundle / "labels.txt").open("a") as file:
        file.write("x")
    assert run_command(["evaluate", str(bundle), "--data", str(squares)]) == 1
    assert "labels.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"lorry": "truck"}', {"lorry": "truck"}), ("lorry: truck\nvan: ~\n", {"lorry": "truck", "van": None})],
)
def test_class_map_is_json_or_yaml(tmp_path: Path, text: str, expected: dict) -> None:
    (tmp_path / "map").write_text(text)
    assert read_class_map(tmp_path / "map") == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b"a: [b]",
        b"1: b",
        b"a: b: c",
        b"\xff\xfe\x00",
        b"!!python/object:os.system {}",
        b"a: 2024-01-99",
        b"[" * 100_000,
    ],
    ids=["empty", "list", "nested", "number", "malformed", "binary", "object", "no-date", "deep"],
)
def test_wrong_class_maps_are_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "map").write_bytes(content)
    with pytest.raises(InputError, match="map"):
        read_class_map(tmp_path / "map")


def test_absent_class_map_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a class map"):
        read_class_map(tmp_path / "absent")


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What was printed, the time for a picture apart."""
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    assert float(str(document.pop("ms_per_picture"))) > 0
    return document


def test_several_processes_measure_what_one_does(
    squares: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(bundle), "--data", str(squares), "--json"]
    for engine in ("openvino", "onnxruntime"):
        assert run_command([*command, "--engine", engine]) == 0
        one = figures(capsys)
        assert run_command([*command, "--engine", engine, "--processes", "2"]) == 0
        assert figures(capsys) == one
    for number in ("0", "-1", "100000"):
        assert run_command([*command, "--processes", number]) == 2


def test_a_picture_without_a_result_is_named_by_several_processes_too(
    squares: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (squares / "JPEGImages" / "two.png").write_bytes(b"no picture")
    assert run_command(["evaluate", str(bundle), "--data", str(squares), "--processes", "2"]) == 1
    assert "two.png cannot be decoded" in capsys.readouterr().err


def test_a_report_folder_holds_page_figures_and_detections(
    squares: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    command = ["evaluate", str(bundle), "--data", str(squares), "--out", str(out)]
    assert run_command([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((out / "evaluation.json").read_text()) == printed
    assert printed["errors"]["missed"] == 1  # a label where nothing is
    assert [size["objects"] for size in printed["sizes"][:3]] == [4, 0, 0]
    assert printed["worst_pictures"][0]["picture"] == "two"
    page = (out / "report.html").read_text()
    for shown in ("The worst picture", "worst/01.jpg", "score_calibration.png", "up to 32² px", "coloured-squares"):
        assert shown in page
    assert {"detections.json", "PR_curve.png", "val_batch0.jpg"} <= {path.name for path in out.iterdir()}
    assert not list(tmp_path.glob(".report*"))
    assert run_command(command) == 1
    assert f"--out: {out} is not empty" in capsys.readouterr().err
