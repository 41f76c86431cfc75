"""What is said about FP16 is what NumPy's own float16 does to the same weights."""

import re
from dataclasses import replace

import numpy as np
import pytest

from random_weights import random_weights
from vedette.learn.darknet.cfg import parse_cfg, read_cfg
from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.export.half_precision import (
    LARGEST_HALF,
    SMALLEST_NORMAL_HALF,
    half_precision_warnings,
    judge_half_precision,
)
from vedette.learn.export.onnx import export_onnx, fold_batch_norm

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
activation=leaky
[dropout]
[convolutional]
filters=7
activation=linear
[yolo]
classes=2
anchors=3,4
"""
PLAN = plan_network(parse_cfg(CFG, "small.cfg"))


@pytest.fixture
def weights():
    drawn = random_weights(PLAN)
    norm = drawn.layers[0].batch_norm
    norm.variances[:] = 1.0
    norm.scales[:] = 1.0
    return drawn


def test_the_limits_are_float16s():
    assert np.finfo(np.float16).max == LARGEST_HALF
    assert np.finfo(np.float16).smallest_normal == SMALLEST_NORMAL_HALF


def test_everyday_weights_are_not_spoken_of(weights):
    assert judge_half_precision(PLAN, weights) == ()
    assert half_precision_warnings(PLAN, weights) == ()


def test_what_overflows_after_folding_is_named_with_line_and_value(weights):
    weights.layers[0].batch_norm.scales[1] = 3e6
    kernel, _ = fold_batch_norm(weights.layers[0])
    with np.errstate(over="ignore"):
        assert np.isinf(kernel.astype(np.float16)).any()

    (found,) = judge_half_precision(PLAN, weights)
    (overflow, *_) = half_precision_warnings(PLAN, weights)

    assert (found.index, found.line, found.overflows) == (0, 6, True)
    assert found.folded_largest == pytest.approx(float(np.abs(kernel).max()), rel=1e-6)
    assert re.search(
        r"FP16 will overflow: .* exceed 65504 in layer 0 \(line 6\): \S+e\+06; .*keep this network", overflow
    )


def test_biases_of_a_layer_without_batch_norm_are_judged_too(weights):
    weights.layers[2].biases[3] = -70_000

    (found,) = judge_half_precision(PLAN, weights)

    assert (found.index, found.overflows, found.folded_largest) == (2, True, 70_000)


def test_a_folded_value_beyond_float32_is_an_overflow(weights):
    norm = weights.layers[0].batch_norm
    norm.scales[0], norm.variances[0] = 3e38, 0.0  # folding multiplies by 316

    (found,) = judge_half_precision(PLAN, weights)

    assert found.overflows
    assert found.folded_largest > float(np.finfo(np.float32).max)
    with pytest.raises(WeightsError, match=r"small\.cfg, line 6: layer 0: batch norm folded .* beyond float32"):
        export_onnx(PLAN, weights)


def test_what_only_the_file_holds_is_told_apart(weights):
    norm = weights.layers[0].batch_norm
    norm.variances[2], norm.scales[2] = 2.7e6, 1600.0
    kernel, biases = fold_batch_norm(weights.layers[0])
    assert np.isfinite(kernel.astype(np.float16)).all()
    assert np.isfinite(biases.astype(np.float16)).all()

    (found,) = judge_half_precision(PLAN, weights)
    (warning,) = half_precision_warnings(PLAN, weights)

    assert (found.overflows, found.overflows_unfolded, found.stored_array) == (False, True, "variances")
    assert "beyond 65504 in layer 0 (line 6): variances up to 2.7e+06" in warning
    assert "Vedette folds batch norm before it casts" in warning


def test_filters_that_fade_are_counted_and_dead_ones_are_not(weights):
    scales = weights.layers[0].batch_norm.scales
    scales[0], scales[1] = 1e-6, 0.0
    kernel, _ = fold_batch_norm(weights.layers[0])
    assert 0 < np.abs(kernel[0]).max() < np.finfo(np.float16).smallest_normal

    (found,) = judge_half_precision(PLAN, weights)
    (warning,) = half_precision_warnings(PLAN, weights)

    assert (found.faint_filters, found.filters) == (1, 4)
    assert "below 6.1e-05, where FP16 loses precision and ends in zero: layer 0 (line 6): 1 of 4" in warning


def test_many_layers_are_one_sentence():
    body = "[convolutional]\nactivation=linear\n" * 12
    plan = plan_network(parse_cfg(CFG.replace("[dropout]\n", body), "deep.cfg"))
    weights = random_weights(plan)
    for layer in weights.layers[1:13]:
        layer.biases[:] = 1e5

    (warning,) = half_precision_warnings(plan, weights)

    assert warning.count("(line ") == 5
    assert "and 7 more" in warning


def test_layers_without_weights_are_left_out(weights):
    assert judge_half_precision(PLAN, replace(weights, layers=(weights.layers[0], None, None, None))) == ()


V1 = "mobilenet-yolo/MobileNetV2-YOLO-Fastest/v1/MobileNetV2-YOLO-Fastest-voc"


@pytest.mark.real_data
def test_the_real_net_with_huge_variances_fits_once_folded(real_data):
    plan = plan_network(read_cfg(real_data / "weights" / f"{V1}.cfg"))
    weights = read_weights(real_data / "weights" / f"{V1}.weights", plan)

    unfolded, faint = half_precision_warnings(plan, weights)

    assert "in layer 64 (line " in unfolded
    assert "variances up to 2.72e+06" in unfolded
    assert "layer 67 (line " in faint
    assert "3 of 144" in faint
    largest = 0.0
    for layer in weights.layers:
        if layer is not None:
            for array in fold_batch_norm(layer):
                largest = max(largest, float(np.abs(array.astype(np.float16)).max()))
    assert largest < 25


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["yolo-fastest-1.1_coco/yolo-fastest-1.1", "yolo-fastest-1.0_coco/yolo-fastest"])
def test_real_nets_that_fit_fp16_are_not_spoken_of(real_data, name):
    path = real_data / "weights" / "yolo-fastest" / "ModelZoo" / name
    plan = plan_network(read_cfg(path.with_name(f"{path.name}.cfg")))

    assert half_precision_warnings(plan, read_weights(path.with_name(f"{path.name}.weights"), plan)) == ()
