"""Every published detector cfg with random weights: torch, ONNX Runtime and OpenVINO against OpenCV's importer.

Input sizes are reduced (`darknet_families.reduced`), filters are not. OpenCV reads all of them, so none needs another
judge. `python -m benchmarks parity` records the same, most cfgs at their own size.
"""

import pytest

from darknet_families import FAMILIES, TOLERANCE, measure_family, reduced
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import CfgError
from vedette.learn.darknet.plan import plan_network

# One of each kind of network: YOLOv2, v3, residual, grouped routes, new_coords with mish, v7, squeeze-and-excitation.
FAST = {
    "yolov2-tiny",
    "yolov3-tiny",
    "yolov3-tiny-prn",
    "yolov4-tiny-3l",
    "yolov4-csp-s-mish",
    "yolov7-tiny",
    "enet-coco",
}
REFUSED = {
    "Gaussian_yolov3_BDD": (608, "Gaussian_yolo"),
    "darknet": (106, "softmax"),
    "darknet19": (189, "softmax"),
    "darknet53": (564, "softmax"),
}  # cfg: line and section


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in FAMILIES]
)
def test_random_weights_of_every_family_decode_as_in_opencv(real_data, tmp_path, name):
    text = reduced((real_data / "darknet" / "cfg" / f"{name}.cfg").read_text())

    measured = measure_family(text, tmp_path)

    assert set(measured.by_engine) == {"torch", "onnxruntime", "openvino"}
    for difference in measured.by_engine.values():
        assert max(difference.box, difference.score) <= TOLERANCE
        # nearly every cell has scores above OpenCV's floor; a [region]'s are suppressed among each other
        assert difference.boxes > (0.5 if measured.plan.heads[0].softmax else 0.95) * measured.cells


@pytest.mark.real_data
def test_the_published_cfgs_are_these_and_no_others(real_data):
    found = {path.stem for path in (real_data / "darknet" / "cfg").glob("*.cfg")}

    assert found == {*FAMILIES, *REFUSED}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REFUSED)
def test_published_cfgs_that_are_not_supported_are_refused_by_name_with_the_line(real_data, name):
    path = real_data / "darknet" / "cfg" / f"{name}.cfg"

    line, section = REFUSED[name]
    with pytest.raises(
        CfgError, match=rf"^{name}\.cfg, line {line}, \[{section}\]: this kind of layer is not supported"
    ):
        plan_network(parse_cfg(path.read_text(), path.name))


# Darknet's other kinds of layer: facts of AlexeyAB/darknet parser.c, string_to_layer_type
UNSUPPORTED = (
    "Gaussian_yolo", "activation", "batchnorm", "connected", "conn", "contrastive", "conv_lstm", "cost", "crnn", "crop",
    "detection", "empty", "silence", "gru", "history", "implicit", "local", "local_avg", "local_avgpool", "lrn",
    "normalization", "lstm", "reorg3d", "rnn", "sam", "soft", "softmax",
)  # fmt: skip


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_every_other_kind_of_layer_is_refused_by_name_with_the_line(kind):
    text = f"[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=4\n\n[{kind}]\nsize=1\n"

    with pytest.raises(CfgError, match=rf"^a\.cfg, line 8, \[{kind}\]: this kind of layer is not supported"):
        plan_network(parse_cfg(text, "a.cfg"))
