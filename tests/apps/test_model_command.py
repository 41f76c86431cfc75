"""`vedette model new` and `vedette model info`, as a person calls them."""

import json
import struct

import cv2
import numpy as np
import pytest

from vedette.apps.cli import run_command


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = run_command([str(argument) for argument in ("model", *arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_new_writes_a_cfg_that_info_describes(tmp_path, capsys):
    cfg = tmp_path / "model.cfg"

    assert run(capsys, "new", "yolov3-tiny", "--classes", 80, "--size", "416x416", "--out", cfg)[0] == 0
    code, out, err = run(capsys, "info", cfg, "--json")

    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["layers"], found["params"], found["bflops"], found["classes"]) == (24, 8_858_734, 5.565, 80)
    assert found["heads"][0] == {"stride": 32, "anchors": [[81, 82], [135, 169], [344, 319]], "shape": [255, 13, 13]}
    assert [file.name for file in tmp_path.iterdir()] == ["model.cfg"]


def test_new_takes_a_file_of_names_and_any_multiple_of_32(tmp_path, capsys):
    names = tmp_path / "parts.names"
    names.write_text("bolt\nnut\n\nwasher\n")

    code, out, _ = run(
        capsys, "new", "yolov3", "--classes", names, "--size", "320x192", "--out", tmp_path / "a.cfg", "--json"
    )

    found = json.loads(out)
    assert code == 0
    assert found["input"] == {"width": 320, "height": 192, "channels": 3}
    assert [head["shape"] for head in found["heads"]] == [[24, 6, 10], [24, 12, 20], [24, 24, 40]]


def voc_folder(folder, boxes_by_picture) -> None:
    for part in ("Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for number, boxes in enumerate(boxes_by_picture):
        cv2.imwrite(str(folder / "JPEGImages" / f"{number}.jpg"), np.full((100, 200, 3), number, np.uint8))
        objects = "".join(
            f"<object><name>part</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>"
            f"<ymax>{y2}</ymax></bndbox></object>"
            for x1, y1, x2, y2 in boxes
        )
        (folder / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.jpg</filename><size><width>200</width><height>100</height>"
            f"<depth>3</depth></size>{objects}</annotation>"
        )


def test_anchors_are_fitted_to_the_boxes_as_the_network_sees_them(tmp_path, capsys):
    sizes = [(10, 10), (20, 10), (20, 30), (40, 40), (80, 50), (100, 90)]  # in pictures of 200x100
    voc_folder(tmp_path / "voc", [[(5, 5, 5 + w, 5 + h)] for w, h in sizes])
    cfg = tmp_path / "model.cfg"

    code, out, err = run(
        capsys,
        *("new", "yolov3-tiny", "--classes", 1, "--size", "416x416"),
        *("--anchors", "auto", "--data", tmp_path / "voc", "--out", cfg, "--json"),
    )

    assert (code, err) == (0, "")
    found = json.loads(out)
    expected = [[w * 416 / 200, h * 416 / 100] for w, h in sizes]
    np.testing.assert_allclose(found["heads"][1]["anchors"] + found["heads"][0]["anchors"], expected, atol=0.01)
    assert found["anchor_fit"] == 1.0


REFUSED = {  # arguments: exit code, words of the message
    "unknown family": (("new", "yolov9", "--classes", "1", "--out", "x.cfg"), 2, "no family 'yolov9'"),
    "odd size": (("new", "yolov3", "--classes", "1", "--size", "400", "--out", "x.cfg"), 2, "multiple of 32"),
    "no size": (("new", "yolov3", "--classes", "1", "--size", "big", "--out", "x.cfg"), 2, "--size big"),
    "no classes": (("new", "yolov3", "--classes", "no.names", "--out", "x.cfg"), 1, "no.names: neither a number"),
    "zero classes": (("new", "yolov3", "--classes", "0", "--out", "x.cfg"), 2, "0 classes"),
    "auto without data": (("new", "yolov3", "--classes", "1", "--anchors", "auto", "--out", "x.cfg"), 2, "go together"),
    "data without auto": (("new", "yolov3", "--classes", "1", "--data", ".", "--out", "x.cfg"), 2, "go together"),
    "no folder for out": (("new", "yolov3", "--classes", "1", "--out", "no/x.cfg"), 1, "cannot be written"),
    "no cfg": (("info", "no.cfg"), 1, "no.cfg: no such file"),
    "partial of nothing": (("info", "no.cfg", "--partial"), 2, "--weights"),
}


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_input_is_one_message_and_writes_nothing(arguments, code, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    found, out, err = run(capsys, *arguments)

    assert (found, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_names_that_stand_twice_are_refused(tmp_path, capsys):
    names = tmp_path / "twice.names"
    names.write_text("bolt\nnut\nbolt\n")

    code, _, err = run(capsys, "new", "yolov3", "--classes", names, "--out", tmp_path / "x.cfg")

    assert code == 1
    assert "twice: bolt" in err


def test_weights_that_do_not_fit_are_refused_with_both_sizes(tmp_path, capsys):
    run(capsys, "new", "yolov3-tiny", "--classes", 80, "--out", tmp_path / "model.cfg")
    (tmp_path / "short.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + bytes(400))

    code, out, err = run(capsys, "info", tmp_path / "model.cfg", "--weights", tmp_path / "short.weights")

    assert (code, out) == (1, "")
    assert "needs 35434956 bytes of weights, the file has 420" in err


def test_a_backbone_is_described_when_asked_for(tmp_path, capsys):
    run(capsys, "new", "yolov3-tiny", "--classes", 80, "--out", tmp_path / "model.cfg")
    weights = tmp_path / "tiny.conv.1"
    weights.write_bytes(struct.pack("<iiiQ", 0, 2, 5, 64) + np.ones(496, np.float32).tobytes())

    code, out, _ = run(capsys, "info", tmp_path / "model.cfg", "--weights", weights, "--partial", "--json")

    assert code == 0
    assert json.loads(out)["weights"] == {
        "file": str(weights),
        "bytes": 2004,
        "version": "0.2.5",
        "seen": 64,
        "layers_loaded": 1,
    }


@pytest.mark.real_data
def test_what_fp16_would_do_is_a_warning(real_data, capsys):
    folder = real_data / "weights" / "mobilenet-yolo" / "MobileNetV2-YOLO-Fastest" / "v1"
    cfg = folder / "MobileNetV2-YOLO-Fastest-voc.cfg"

    code, out, err = run(capsys, "info", cfg, "--weights", cfg.with_suffix(".weights"), "--json")

    assert code == 0
    found = json.loads(out)
    assert [warning for warning in found["fp16"] if "beyond 65504 in layer 64" in warning]
    assert err.count("FP16: ") == len(found["fp16"]) == 2
    assert all(f"vedette: {warning}" in err for warning in found["fp16"])


@pytest.mark.real_data
@pytest.mark.parametrize(("width", "height"), [(320, 256), (352, 288)])
def test_nets_that_are_not_square_are_described(real_data, tmp_path, capsys, width, height):
    source = real_data / "weights" / "yolo-fastest" / "ModelZoo" / "yolo-fastest-1.1_coco" / "yolo-fastest-1.1.cfg"
    cfg = tmp_path / "wide.cfg"
    cfg.write_text(source.read_text().replace("width=320", f"width={width}").replace("height=320", f"height={height}"))

    code, out, err = run(capsys, "info", cfg, "--weights", source.with_suffix(".weights"), "--json")

    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["input"] == {"width": width, "height": height, "channels": 3}
    assert [head["shape"] for head in found["heads"]] == [
        [255, height // 32, width // 32],
        [255, height // 16, width // 16],
    ]


@pytest.mark.real_data
def test_the_old_header_is_described(real_data, capsys):
    folder = real_data / "weights" / "yolo-lite"

    code, out, _ = run(
        capsys,
        *("info", folder / "cfg" / "tiny-yolov2-trial5.cfg"),
        *("--weights", folder / "weights" / "tiny-yolov2-trial5.weights", "--json"),
    )

    assert code == 0
    found = json.loads(out)
    assert (found["weights"]["version"], found["weights"]["bytes"], found["params"]) == ("0.1.0", 69_056, 17_260)
    assert found["weights"]["bytes"] == 16 + 4 * found["params"]


def test_strict_refuses_with_the_line_what_the_plain_mode_takes(tmp_path, capsys):
    cfg = tmp_path / "model.cfg"
    assert run(capsys, "new", "yolov3-tiny", "--classes", 2, "--out", cfg)[0] == 0
    assert run(capsys, "info", cfg, "--strict")[0] == 0
    cfg.write_text(cfg.read_text().replace("[net]\n", "[net]\nmax_crop=448\n", 1))
    line = cfg.read_text().split("\n").index("max_crop=448") + 1

    code, out, err = run(capsys, "info", cfg, "--strict")

    assert (code, out) == (1, "") and f"model.cfg, line {line}, [net]: max_crop= is no option" in err
    assert run(capsys, "info", cfg)[0] == 0


def test_the_table_names_every_layer_and_warnings_go_to_standard_error(tmp_path, capsys):
    cfg = tmp_path / "model.cfg"
    run(capsys, "new", "yolov3-tiny", "--classes", 2, "--size", 64, "--out", cfg)
    cfg.write_text(cfg.read_text().replace("[net]\n", "[net]\nmomentum\n"))

    code, out, err = run(capsys, "info", cfg)

    assert code == 0
    assert "24 layers, 8678554 parameters" in out
    assert "head: stride 32, shape (21, 2, 2)" in out
    assert "line 2: 'momentum' has no '='" in err
