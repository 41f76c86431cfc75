"""The layer that an arithmetic hurts is found by rounding it alone."""

import numpy as np
import pytest

import square_network
from vedette.contracts.bundle import Precision
from vedette.contracts.ports import SilentProgress
from vedette.edge.engines.probe import run_once
from vedette.learn.export.calibration import fit_pictures
from vedette.learn.export.comparison import mean_difference
from vedette.learn.export.pack import PackRequest, draft
from vedette.learn.export.quantize_errors import LayerError, measure_layer_errors

PICTURES = [square_network.make_picture(number)[0] for number in range(4)]


def measure(precision: Precision, hostile: bool) -> tuple[LayerError, ...]:
    plan = square_network.make_plan()
    request = PackRequest(
        plan, square_network.make_weights(hostile), b"cfg", b"weights", square_network.CLASSES, "squares"
    )
    drafted = draft(request)
    pictures = fit_pictures(PICTURES, drafted.manifest.input)
    return measure_layer_errors(
        drafted.model, precision, pictures, drafted.manifest.decode, run_once=run_once, progress=SilentProgress()
    )


def test_a_layer_that_reads_a_tensor_of_lopsided_range_is_the_worst_in_8_bits() -> None:
    worst, other = measure(Precision.INT8, hostile=True)
    assert worst.layer.name == "head_0_conv" and worst.error > 0.5
    assert other.error < 0.05


def test_the_same_layer_does_no_harm_without_it() -> None:
    assert all(error.error < 0.05 for error in measure(Precision.INT8, hostile=False))


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_half_precision_hurts_no_layer_here(precision: Precision) -> None:
    errors = measure(precision, hostile=True)
    assert len(errors) == 2 and all(error.error < 0.05 for error in errors)


def test_values_beyond_half_precision_are_found() -> None:
    plan = square_network.make_plan()
    weights = square_network.make_weights()
    weights.layers[0].kernel[:3] *= np.float32(1e6)  # the colours leave FP16's range
    weights.layers[1].kernel[:, :3] /= np.float32(1e6)
    request = PackRequest(plan, weights, b"cfg", b"weights", square_network.CLASSES, "squares")
    drafted = draft(request)
    pictures = fit_pictures(PICTURES, drafted.manifest.input)
    worst = measure_layer_errors(
        drafted.model, Precision.FP16, pictures, drafted.manifest.decode, run_once=run_once, progress=SilentProgress()
    )[0]
    assert worst.layer.name == "head_0_conv" and worst.error > 0.5


def test_equal_heads_have_no_difference_and_other_ones_have() -> None:
    plan = square_network.make_plan()
    drafted = draft(
        PackRequest(plan, square_network.make_weights(), b"cfg", b"weights", square_network.CLASSES, "squares")
    )
    spec, decode = drafted.manifest.input, drafted.manifest.decode
    tensor = fit_pictures(PICTURES[:1], spec).tensor(0)
    heads = [run_once(drafted.model, "input", tensor)["head_0"][0]]
    assert mean_difference(heads, heads, decode, spec) == 0.0
    moved = [heads[0].copy()]
    moved[0][0] += 1.0  # every box to the right
    assert 0.1 < mean_difference(heads, moved, decode, spec) < 1.0
    broken = [np.full_like(heads[0], np.nan)]
    assert mean_difference(heads, broken, decode, spec) == 1.0
