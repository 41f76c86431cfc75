"""`vedette pack` writes a bundle that proves itself, or nothing at all."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from small_network import CLASSES, write_network
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.contracts.bundle import GoldenFile
from vedette.learn.export import pack as export_pack


def flags(files: tuple[Path, Path, Path]) -> list[str]:
    cfg, weights, names = files
    return ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names)]


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"p{number:02d}.png"), cv2.resize(picture, (120, 90), interpolation=cv2.INTER_CUBIC))
    return folder


def write_voc(folder: Path, count: int, class_name: str = "bolt") -> Path:
    """Pictures with one object each that covers their left half."""
    write_pictures(folder / "JPEGImages", count)
    (folder / "Annotations").mkdir()
    for path in sorted((folder / "JPEGImages").iterdir()):
        (folder / "Annotations" / f"{path.stem}.xml").write_text(
            f"<annotation><filename>{path.name}</filename><size><width>120</width><height>90</height><depth>3</depth>"
            f"</size><object><name>{class_name}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax>"
            "<ymax>90</ymax></bndbox></object></annotation>"
        )
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pictures_prove_the_engines_and_become_golden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write_network(tmp_path / "net")
    pictures = write_pictures(tmp_path / "pictures", 20)
    out = tmp_path / "bundle"
    code = run_command(["pack", *flags(files), "--out", str(out), "--pictures", str(pictures), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    bundle = open_bundle(out)
    assert printed["digest"] == bundle.digest and printed["accuracy"] is None
    assert [(entry["engine"], entry["pictures"]) for entry in printed["agreement"]] == [
        ("openvino", 16),
        ("onnxruntime", 16),
    ]
    golden = GoldenFile.model_validate_json(bundle.read("golden.json"))
    assert not golden.synthetic and 4 <= len(golden.pictures) <= 8
    assert bundle.read("model.cfg") == files[0].read_bytes() and bundle.read("model.weights") == files[1].read_bytes()
    assert bundle.read("labels.txt").decode().split() == list(CLASSES)
    manifest = bundle.manifest
    assert manifest.name == "small" and manifest.classes == CLASSES and manifest.provenance.seen_pictures == 12_345
    assert manifest.variants[0].receipt.ms_per_picture is not None and manifest.licence is None


def test_labelled_data_gives_a_measured_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write_network(tmp_path / "net")
    data = write_voc(tmp_path / "voc", 5)
    out = tmp_path / "bundle"
    arguments = ["--out", str(out), "--data", str(data), "--name", "parts", "--licence", "CC0-1.0"]
    assert run_command(["pack", *flags(files), *arguments, "--resize", "letterbox", "--nms-kind", "diou"]) == 0
    assert "mAP50 " in capsys.readouterr().out
    manifest = open_bundle(out).manifest
    accuracy = manifest.variants[0].receipt.accuracy
    assert accuracy is not None and accuracy.pictures == 5 and accuracy.split is None
    assert 0 <= accuracy.map50_95 <= accuracy.map50 <= 1
    assert (manifest.name, manifest.licence) == ("parts", "CC0-1.0")
    assert manifest.input.resize.value == "letterbox" and manifest.thresholds.nms_kind.value == "diou"


def test_darknets_resize_and_agnostic_suppression_go_into_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_network(tmp_path / "net")
    pictures, out = write_pictures(tmp_path / "pictures", 4), tmp_path / "bundle"
    arguments = ["--out", str(out), "--pictures", str(pictures), "--resize", "darknet", "--nms-kind", "agnostic"]
    assert run_command(["pack", *flags(files), *arguments]) == 0  # every engine reproduced the golden pictures
    manifest = open_bundle(out).manifest
    assert (manifest.input.resize.value, manifest.thresholds.nms_kind.value) == ("darknet", "agnostic")
    capsys.readouterr()
    assert run_command(["detect", str(out), str(pictures), "--out", str(tmp_path / "found"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_run_folder_is_packed_with_its_split_and_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, names = write_network(tmp_path / "run7")
    cfg.rename(tmp_path / "run7" / "model.cfg")
    weights.rename(tmp_path / "run7" / "best.weights")
    names.rename(tmp_path / "run7" / "names.txt")
    (tmp_path / "run7" / "settings.json").write_text(json.dumps({"data_digest": "ab" * 32}))
    data = write_voc(tmp_path / "voc", 5)
    split = {"train": ["p00", "p01", "p02"], "val": ["p03", "p04"]}
    (tmp_path / "run7" / "split.json").write_text(json.dumps(split))
    out = tmp_path / "bundle"
    assert run_command(["pack", "--run", str(tmp_path / "run7"), "--data", str(data), "--out", str(out)]) == 0
    manifest = open_bundle(out).manifest
    accuracy = manifest.variants[0].receipt.accuracy
    assert accuracy is not None and (accuracy.split, accuracy.pictures) == ("val", 2)
    assert manifest.name == "run7" and manifest.provenance.training_run == "run7"
    assert manifest.provenance.dataset_digest == "ab" * 32
    assert "2 pictures" in capsys.readouterr().err


def test_without_pictures_golden_ones_are_drawn_and_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    assert run_command(["pack", *flags(write_network(tmp_path / "net")), "--out", str(out)]) == 0
    bundle = open_bundle(out)
    assert GoldenFile.model_validate_json(bundle.read("golden.json")).synthetic
    assert "golden pictures are synthetic" in capsys.readouterr().err


def test_a_model_that_computes_something_else_is_never_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export_pack.export_onnx

    def with_a_fault(plan, weights) -> bytes:
        model = onnx.load_from_string(right(plan, weights))
        kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
        kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * np.float32(1.02), kernel.name))
        return model.SerializeToString()

    monkeypatch.setattr(export_pack, "export_onnx", with_a_fault)
    files = write_network(tmp_path / "net")
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle")]) == 1
    message = capsys.readouterr().err
    assert "openvino" in message and "does not compute what torch computes" in message
    assert names_in(tmp_path) == ["net"]


@pytest.mark.parametrize(("cfg", "packed"), [("nms_kind=greedynms", "diou"), ("nms_kind=diounms", "diou"), ("", "iou")])
def test_the_cfgs_own_suppression_is_packed_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cfg: str, packed: str
) -> None:
    files = write_network(tmp_path / "net", yolo=cfg)
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "own")]) == 0
    assert open_bundle(tmp_path / "own").manifest.thresholds.nms_kind.value == packed
    assert "as told" not in capsys.readouterr().err
    other = "iou" if packed == "diou" else "diou"
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "told"), "--nms-kind", other]) == 0
    assert open_bundle(tmp_path / "told").manifest.thresholds.nms_kind.value == other
    assert f"is {packed} suppression; packed with {other} as told" in capsys.readouterr().err


def test_an_occupied_place_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "mine").write_text("mine")
    nowhere = tmp_path / "nowhere"
    assert run_command(["pack", *flags((nowhere, nowhere, nowhere)), "--out", str(out)]) == 1
    assert "nothing is overwritten" in capsys.readouterr().err
    assert names_in(out) == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cfg", "a", "--weights", "b"], "give --run RUN, or all of --cfg, --weights and --names"),
        (["--run", "r", "--cfg", "a"], "--run brings its own"),
        (["--run", "r", "--data", "d", "--pictures", "p"], "exclude each other"),
        (["--run", "r", "--split", "val"], "--split and --class-map say something about --data"),
    ],
)
def test_contradicting_flags_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_command(["pack", *arguments, "--out", str(tmp_path / "bundle")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert names_in(tmp_path) == []


def test_input_that_cannot_be_used_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, names = write_network(tmp_path / "net")
    (tmp_path / "two.names").write_text("a\nb\n")
    cut = tmp_path / "cut.weights"
    cut.write_bytes(weights.read_bytes()[:-4])
    stranger = write_voc(tmp_path / "voc", 2, "spanner")
    before = names_in(tmp_path)
    out = ["--out", str(tmp_path / "bundle")]
    for arguments, message in (
        (flags((cfg, weights, tmp_path / "two.names")), "names list has 2"),
        (flags((cfg, cut, names)), "cut.weights"),
        ([*flags((cfg, weights, names)), "--data", str(stranger)], "spanner"),
        ([*flags((cfg, weights, names)), "--pictures", str(tmp_path / "none")], "is no folder"),
        ([*flags((cfg, weights, names)), "--data", str(stranger), "--split", "test"], "no split 'test'"),
        (["--run", str(tmp_path / "none")], "is no folder"),
    ):
        assert run_command(["pack", *arguments, *out]) == 1
        assert message in capsys.readouterr().err
    assert names_in(tmp_path) == before


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(("resize", "map50", "map50_95"), [("stretch", 0.3380, 0.1479), ("letterbox", 0.3174, 0.1430)])
def test_a_trained_net_is_packed_with_darknets_own_map(
    real_data: Path, tmp_path: Path, resize: str, map50: float, map50_95: float
) -> None:
    zoo = real_data / "weights/yolo-fastest/ModelZoo/yolo-fastest-1.1_coco"
    files = (zoo / "yolo-fastest-1.1.cfg", zoo / "yolo-fastest-1.1.weights", zoo / "coco.names")
    arguments = ["--out", str(tmp_path / "bundle"), "--data", str(real_data / "coco")]
    arguments += ["--resize", resize, "--nms-kind", "iou"]  # the cfg says greedynms, the oracle's table is plain IoU
    assert run_command(["pack", *flags(files), *arguments]) == 0
    bundle = open_bundle(tmp_path / "bundle")
    receipt = bundle.manifest.variants[0].receipt
    assert receipt.accuracy is not None
    assert receipt.accuracy.map50 == pytest.approx(map50, abs=0.001)  # Darknet's figures, oracles/README.md
    assert receipt.accuracy.map50_95 == pytest.approx(map50_95, abs=0.001)
    assert all(entry.max_score_difference < 1e-4 and entry.boxes_compared > 1000 for entry in receipt.agreement)
    golden = GoldenFile.model_validate_json(bundle.read("golden.json"))
    assert not golden.synthetic and all(picture.detections for picture in golden.pictures)
