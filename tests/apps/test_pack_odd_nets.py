"""`vedette pack` with the odd files that people have: wider than high, an old header, values beyond FP16, damage."""

import json
import re
from pathlib import Path

import pytest

from small_network import write_network
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights, write_weights


def pack(cfg: Path, weights: Path, names: Path, out: Path, *more: str) -> int:
    files = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "--out", str(out)]
    return run_command(["pack", *files, *more])


def test_weights_beyond_fp16_are_packed_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, path, names = write_network(tmp_path / "net")
    plan = plan_network(read_cfg(cfg))
    weights = read_weights(path, plan)
    norm = weights.layers[0].batch_norm
    norm.variances[0], norm.scales[0] = 1e6, 1000.0
    write_weights(path, plan, weights)

    code = pack(cfg, path, names, tmp_path / "bundle")

    err = capsys.readouterr().err
    assert code == 0
    assert "small.weights: FP16: the file holds values beyond 65504 in layer 0 (line 8): variances up to 1e+06" in err


@pytest.mark.real_data
def test_the_real_net_beyond_fp16_is_packed_with_its_warnings(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = real_data / "weights" / "mobilenet-yolo" / "MobileNetV2-YOLO-Fastest"
    cfg = folder / "v1" / "MobileNetV2-YOLO-Fastest-voc.cfg"

    code = pack(cfg, cfg.with_suffix(".weights"), folder / "voc.names", tmp_path / "bundle")

    err = capsys.readouterr().err
    assert code == 0
    assert "FP16: the file holds values beyond 65504 in layer 64" in err
    assert "variances up to 2.72e+06. Vedette folds batch norm before it casts" in err
    assert "layer 67 (line 548): 3 of 144" in err


@pytest.mark.real_data
@pytest.mark.parametrize(("width", "height"), [(352, 288), (256, 320)])
def test_a_trained_net_that_is_not_square_is_packed_and_detects(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], width: int, height: int
) -> None:
    folder = real_data / "weights" / "yolo-fastest" / "ModelZoo" / "yolo-fastest-1.1_coco"
    text = (folder / "yolo-fastest-1.1.cfg").read_text()
    cfg = tmp_path / "wide.cfg"
    cfg.write_text(re.sub(r"height\s*=\s*320", f"height={height}", re.sub(r"width\s*=\s*320", f"width={width}", text)))
    pictures = real_data / "darknet" / "images"

    code = pack(
        *(cfg, folder / "yolo-fastest-1.1.weights", folder / "coco.names", tmp_path / "bundle"),
        *("--pictures", str(pictures), "--json"),
    )

    packed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (packed["input"]["width"], packed["input"]["height"]) == (width, height)
    assert packed["golden"]["detections"] > 0
    assert all(entry["max_score_difference"] < 1e-3 for entry in packed["agreement"])
    code = run_command(["detect", str(tmp_path / "bundle"), str(pictures / "dog.jpg"), "--out", str(tmp_path / "out")])
    assert code == 0
    found = (tmp_path / "out" / "detections.json").read_text()
    assert '"dog"' in found
    assert '"car"' in found or '"truck"' in found


@pytest.mark.real_data
def test_the_old_header_goes_into_the_bundle_byte_for_byte(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = real_data / "weights" / "yolo-lite"
    weights = folder / "weights" / "tiny-yolov2-trial5.weights"

    code = pack(
        *(folder / "cfg" / "tiny-yolov2-trial5.cfg", weights),
        *(real_data / "darknet" / "names" / "voc.names", tmp_path / "bundle"),
    )

    capsys.readouterr()
    assert code == 0
    assert open_bundle(tmp_path / "bundle").read("model.weights") == weights.read_bytes()


@pytest.mark.real_data
def test_the_file_that_was_saved_as_text_is_refused_with_its_cause(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = real_data / "weights" / "corrupt_utf8"
    names = real_data / "darknet" / "names" / "coco.names"

    code = pack(folder / "yolov4-tiny.cfg", folder / "yolov4-tiny.weights", names, tmp_path / "bundle")

    err = capsys.readouterr().err
    assert code == 1
    assert "the file has 363334" in err
    assert "full of the bytes EF BF BD: once saved as text, which destroyed it; download it again, as binary" in err
    assert "Traceback" not in err
    assert not (tmp_path / "bundle").exists()
