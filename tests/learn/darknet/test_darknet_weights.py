"""Files of Darknet's weights: bytes in, the same bytes out; sizes refused by arithmetic, damage named."""

import os
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from random_weights import random_weights
from vedette.learn.darknet.cfg import parse_cfg, read_cfg
from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import BatchNorm, DarknetWeights, read_weights, write_weights
from vedette.learn.darknet.zoo import make_cfg

CFG = """
[net]
width=8
height=8
channels=2
[convolutional]
filters=4
size=3
pad=1
batch_normalize=1
groups=2
[dropout]
[convolutional]
filters=7
activation=linear
[yolo]
classes=2
anchors=3,4
"""
PLAN = plan_network(parse_cfg(CFG, "small.cfg"))
FIRST, SECOND = 4 * 1 * 9 + 4 * 4, 7 * 4 + 7  # parameters of the two convolutions


HEADER = struct.pack("<iiiQ", 0, 2, 5, 99)


def small_file(path: Path, values, header=HEADER) -> Path:
    path.write_bytes(header + np.asarray(values, "<f4").tobytes())
    return path


def test_arrays_lie_in_the_file_in_darknets_order(tmp_path):
    path = small_file(tmp_path / "a.weights", np.arange(FIRST + SECOND) + 1)

    weights = read_weights(path, PLAN)

    first, second = weights.layers[0], weights.layers[2]
    assert first.biases.tolist() == [1, 2, 3, 4]
    assert first.batch_norm.scales.tolist() == [5, 6, 7, 8]
    assert first.batch_norm.means.tolist() == [9, 10, 11, 12]
    assert first.batch_norm.variances.tolist() == [13, 14, 15, 16]
    assert first.kernel.shape == (4, 1, 3, 3)
    assert first.kernel[0, 0, 0].tolist() == [17, 18, 19]
    assert second.biases[0] == FIRST + 1
    assert second.batch_norm is None
    assert second.kernel.shape == (7, 4, 1, 1)
    assert second.kernel[-1, -1, 0, 0] == FIRST + SECOND
    assert (weights.layers[1], weights.layers[3], weights.layers_loaded) == (None, None, 4)


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        (struct.pack("<iiiQ", 0, 2, 5, 2**40 + 3), 2**40 + 3),
        (struct.pack("<iiiQ", 0, 2, 0, 7), 7),
        (struct.pack("<iiiI", 0, 1, 0, 2**32 - 1), 2**32 - 1),
    ],
    ids=["AlexeyAB", "pjreddie", "old"],
)
def test_reading_then_writing_gives_the_same_bytes(tmp_path, header, seen):
    source = small_file(tmp_path / "a.weights", np.linspace(0.5, 1.5, FIRST + SECOND), header)

    weights = read_weights(source, PLAN)
    write_weights(tmp_path / "b.weights", PLAN, weights)

    assert weights.seen == seen
    assert (tmp_path / "b.weights").read_bytes() == source.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.weights", "b.weights"]


@pytest.mark.parametrize("extra", [-1, 1, -SECOND, 1000])
def test_a_wrong_size_is_refused_with_both_sizes(tmp_path, extra):
    path = small_file(tmp_path / "a.weights", np.ones(FIRST + SECOND + extra))

    expected, found = 20 + 4 * (FIRST + SECOND), path.stat().st_size
    message = rf"a\.weights: small\.cfg needs {expected} bytes of weights, the file has {found}"
    with pytest.raises(WeightsError, match=message):
        read_weights(path, PLAN)


def test_a_truncated_file_says_how_far_it_goes(tmp_path):
    path = small_file(tmp_path / "a.weights", np.ones(FIRST + 3))

    for partial in (False, True):
        with pytest.raises(WeightsError, match="fills the first 1 of 4 layers and ends 12 bytes into the next"):
            read_weights(path, PLAN, partial)


def test_a_backbone_is_taken_when_asked_for(tmp_path):
    path = small_file(tmp_path / "a.weights", np.ones(FIRST))

    with pytest.raises(WeightsError, match="exactly the first 1 of 4 layers, so it may be a backbone"):
        read_weights(path, PLAN)
    weights = read_weights(path, PLAN, partial=True)
    write_weights(tmp_path / "b.weights", PLAN, weights)

    assert weights.layers_loaded == 1
    assert [layer is None for layer in weights.layers] == [False, True, True, True]
    assert (tmp_path / "b.weights").read_bytes() == path.read_bytes()


def test_a_file_that_is_too_long_or_empty_is_no_backbone(tmp_path):
    for count in (FIRST + SECOND + 1, 0):
        with pytest.raises(WeightsError, match="needs"):
            read_weights(small_file(tmp_path / "a.weights", np.ones(count)), PLAN, partial=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes; .* begins with a header"),
        (b"\0" * 15, "15 bytes"),
        (struct.pack("<iiiI", 0, 2, 5, 0), "16 bytes; the header of version 0.2 has 20"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", r"its header says version \d.*git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>404", "not a Darknet .weights file: .*; it is a web page"),
        (b"PK\x03\x04 some archive of weights", r"version \d+\.\d+\.\d+$"),
        (struct.pack("<iiiQ", -1, 2, 5, 0), "says version -1.2.5"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path, content, message):
    path = tmp_path / "a.weights"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=message):
        read_weights(path, PLAN)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path, message in ((tmp_path / "no", "no such file"), (tmp_path, "not a file")):
        with pytest.raises(WeightsError, match=message):
            read_weights(path, PLAN)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_naming_the_layer(tmp_path, value):
    values = np.ones(FIRST + SECOND)
    values[FIRST + 9] = value

    message = rf"layer 2 \[convolutional\] holds 1 of {SECOND} values that are not finite"
    with pytest.raises(WeightsError, match=message):
        read_weights(small_file(tmp_path / "a.weights", values), PLAN)


def test_negative_variances_are_refused(tmp_path):
    values = np.ones(FIRST + SECOND)
    values[12] = -0.5

    with pytest.raises(WeightsError, match=r"layer 0.*negative variances"):
        read_weights(small_file(tmp_path / "a.weights", values), PLAN)


def test_bytes_that_were_saved_as_text_are_recognised(tmp_path):
    content = struct.pack("<iiiQ", 0, 2, 5, 0) + np.random.default_rng(0).bytes(200).decode("utf-8", "replace").encode()
    path = tmp_path / "a.weights"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=r"EF BF BD: once saved as text, .* download it again, as binary"):
        read_weights(path, PLAN)


def test_a_wrong_size_is_refused_before_anything_is_allocated(tmp_path):
    plan = plan_network(parse_cfg(make_cfg("yolov3", 80, 416, 416)))  # 248 MB of weights
    path = small_file(tmp_path / "a.weights", np.ones(1000))

    tracemalloc.start()
    with pytest.raises(WeightsError, match="needs 248007048 bytes of weights, the file has 4020"):
        read_weights(path, plan)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1 << 20


@pytest.mark.parametrize("partial", [False, True])
def test_a_file_of_a_terabyte_is_refused_unread(tmp_path, partial):
    path = small_file(tmp_path / "a.weights", np.ones(FIRST + SECOND))
    os.truncate(path, 1 << 40)  # sparse
    began = time.perf_counter()

    with pytest.raises(WeightsError, match="the file has 1099511627776"):
        read_weights(path, PLAN, partial)

    assert time.perf_counter() - began < 1.0


def test_a_value_that_is_not_finite_ends_the_reading_at_its_layer(tmp_path):
    plan = plan_network(parse_cfg(make_cfg("yolov3", 80, 416, 416)))  # 248 MB of weights
    path = small_file(tmp_path / "a.weights", [np.nan])
    os.truncate(path, 20 + 4 * plan.params)
    began = time.perf_counter()

    tracemalloc.start()
    with pytest.raises(WeightsError, match=r"layer 0 \[convolutional\] holds 1 of 992 values that are not finite"):
        read_weights(path, plan)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert time.perf_counter() - began < 1.0
    assert peak < 1 << 20


def test_weights_of_another_network_are_not_written(tmp_path):
    weights = random_weights(PLAN)
    other = plan_network(parse_cfg(CFG.replace("filters=4", "filters=6")))
    path = small_file(tmp_path / "a.weights", [1.0])
    before = path.read_bytes()

    with pytest.raises(WeightsError, match="layer 0 are not those"):
        write_weights(path, other, weights)

    assert path.read_bytes() == before


def test_weights_with_a_hole_are_not_written(tmp_path):
    weights = random_weights(PLAN)
    holed = DarknetWeights(0, 2, 5, 0, (None, *weights.layers[1:]), 0)

    with pytest.raises(WeightsError, match="layer 2 has weights, but one before it has none"):
        write_weights(tmp_path / "a.weights", PLAN, holed)

    assert not (tmp_path / "a.weights").exists()


def test_batch_norm_arrays_are_those_of_the_filters():
    norm = random_weights(PLAN).layers[0].batch_norm
    assert isinstance(norm, BatchNorm)
    assert norm.scales.shape == norm.means.shape == norm.variances.shape == (4,)


ZOO = "yolo-fastest/ModelZoo"
VOC = "mobilenet-yolo/MobileNetV2-YOLO-Fastest"
REAL = {  # weights: (cfg, pictures seen, layers that the file fills or None for all)
    f"{ZOO}/yolo-fastest-1.0_coco/yolo-fastest.weights": (None, 8_000_000, None),
    f"{ZOO}/yolo-fastest-1.1_body/yolo-fastest-1.1_body.weights": (None, 13_326_656, None),
    f"{ZOO}/yolo-fastest-1.1_coco/yolo-fastest-1.1.weights": (None, 14_231_680, None),
    f"{ZOO}/yolo-fastest-1.1_coco/yolo-fastest-1.1-xl.weights": (None, 16_000_000, None),
    f"{VOC}/v1/MobileNetV2-YOLO-Fastest-voc.weights": (None, 2_836_864, None),
    f"{VOC}/v2/MobileNetV2-YOLO-Fastest-voc-v2.weights": (None, 7_323_136, None),
    "mobilenet-yolo/MobileNetV2-YOLOv3-Nano/VOC/MobileNetV2-YOLOv3-Nano-voc.weights": (None, 1_648_384, None),
    "mobilenet-yolo/yoloface-50k/yoloface-50k.weights": (None, 504_704, None),
    f"{VOC}/v1/MobileNetV2-YOLO-Fastest.conv.57": (f"{VOC}/v1/MobileNetV2-YOLO-Fastest-voc.cfg", 0, 57),
    "mobilenet-yolo/MobileNetV2-YOLOv3-Nano/MobileNetV2-Nano.57": (
        "mobilenet-yolo/MobileNetV2-YOLOv3-Nano/VOC/MobileNetV2-YOLOv3-Nano-voc.cfg",
        0,
        57,
    ),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL, ids=lambda name: Path(name).name)
def test_real_files_are_read_and_written_byte_for_byte(real_data, tmp_path, name):
    cfg, seen, filled = REAL[name]
    path = real_data / "weights" / name
    plan = plan_network(read_cfg(path.with_suffix(".cfg") if cfg is None else real_data / "weights" / cfg))

    weights = read_weights(path, plan, partial=filled is not None)
    write_weights(tmp_path / "copy", plan, weights)

    assert (weights.seen, weights.layers_loaded) == (seen, filled or len(plan.layers))
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


@pytest.mark.real_data
def test_the_real_damaged_file_is_refused_with_its_cause(real_data):
    folder = real_data / "weights" / "corrupt_utf8"
    plan = plan_network(read_cfg(folder / "yolov4-tiny.cfg"))

    for partial in (False, True):
        with pytest.raises(WeightsError, match=r"needs 24251276 bytes of weights, the file has 363334.*EF BF BD"):
            read_weights(folder / "yolov4-tiny.weights", plan, partial)
