"""What the quantisers write: which layers run in 8 bits, on which engine, and which stay as they are."""

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import numpy_helper

from random_weights import random_weights
from small_network import make_plan
from vedette.contracts.bundle import InputSpec, Precision
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.opening import open_engine
from vedette.learn.export.calibration import CalibrationPictures, fit_pictures
from vedette.learn.export.errors import PackError, VariantError
from vedette.learn.export.onnx import export_onnx
from vedette.learn.export.pack import PackRequest, draft
from vedette.learn.export.quantize_half import convert_to_half
from vedette.learn.export.quantize_layers import find_layers, find_tail, name_nodes, share_of_work
from vedette.learn.export.quantize_openvino import quantize_openvino
from vedette.learn.export.quantize_qdq import QdqStyle, always_kept, quantize_qdq
from vedette.vision.resize import network_tensor, prepare

PLAN = make_plan()
DRAFT = draft(PackRequest(PLAN, random_weights(PLAN), b"cfg", b"weights", ("bolt", "nut", "washer"), "small"))
MODEL = DRAFT.model
SPEC = InputSpec(width=64, height=64)
PICTURES = list(np.random.default_rng(0).integers(0, 256, (8, 48, 80, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def calibration() -> CalibrationPictures:
    return fit_pictures(PICTURES, SPEC)


@pytest.fixture(scope="module")
def ir(calibration: CalibrationPictures) -> tuple[bytes, bytes]:
    return quantize_openvino(MODEL, calibration, ("head_1_conv",))


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in model.graph.node for output in node.output}


def quantised_convolutions(model: onnx.ModelProto) -> set[str]:
    """The convolutions whose input and weights both come out of a DequantizeLinear."""
    made_by = producers(model)
    return {
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and all(name in made_by and made_by[name].op_type == "DequantizeLinear" for name in node.input[:2])
    }


def initializer(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(one for one in model.graph.initializer if one.name == name))


def executed(ir: tuple[bytes, bytes]) -> dict[str, str]:
    """The precision in which OpenVINO runs each convolution."""
    core = ov.Core()
    compiled = core.compile_model(core.read_model(*ir), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {}
    for operation in compiled.get_runtime_model().get_ordered_ops():
        info = operation.get_rt_info()
        if info["layerType"].astype(str) == "Convolution":
            found[operation.get_friendly_name()] = info["runtimePrecision"].astype(str)
    return found


def test_layers_know_their_place_and_their_work() -> None:
    layers = find_layers(onnx.load_from_string(MODEL))
    assert [layer.name for layer in layers if layer.is_head] == ["head_0_conv", "head_1_conv"]
    assert [layer.is_first for layer in layers] == [True, False, False, False]
    assert layers[0].macs == 32 * 32 * 8 * 3 * 9
    assert share_of_work(layers, [layer.name for layer in layers]) == 1.0
    assert 0 < share_of_work(layers, ["head_0_conv", "head_1_conv"]) < 0.2
    assert find_tail(onnx.load_from_string(MODEL)) == ()


def test_what_decodes_behind_the_heads_is_the_tail() -> None:
    model = onnx.load_from_string(MODEL)
    decoded = onnx.helper.make_node("Sigmoid", ["head_0"], ["scores"])
    model.graph.node.append(decoded)
    name_nodes(model)
    assert find_tail(model) == (model.graph.node[-1].name,) != ("",)


def test_the_stride_1_maxpool_brings_no_pad() -> None:
    nodes = onnx.load_from_string(MODEL).graph.node
    pools = [{a.name: list(a.ints) for a in node.attribute} for node in nodes if node.op_type == "MaxPool"]
    assert {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 1, 1]} in pools
    assert "Pad" not in {node.op_type for node in nodes}


def test_openvino_runs_every_convolution_in_8_bits_but_the_kept_one(ir: tuple[bytes, bytes]) -> None:
    precisions = executed(ir)
    assert len(precisions) == 4
    in_fp32 = [name for name, precision in precisions.items() if precision not in {"u8", "i8"}]
    assert len(in_fp32) == 1 and in_fp32[0].startswith("head_1")


def test_the_ir_holds_8_bit_weights_and_no_path(ir: tuple[bytes, bytes]) -> None:
    xml, weights = ir
    whole = sum(initializer(onnx.load_from_string(MODEL), layer.weights).nbytes for layer in layers_of(MODEL))
    assert len(weights) < 0.7 * whole
    assert b"/tmp" not in xml and b"vedette-" not in xml


def layers_of(model: bytes) -> list:
    return list(find_layers(onnx.load_from_string(model)))


def test_u8s8_has_unsigned_activations_per_channel_weights_and_float_heads(calibration: CalibrationPictures) -> None:
    kept = always_kept(MODEL, QdqStyle.ONNXRUNTIME)
    assert kept == ("head_0_conv", "head_1_conv")
    model = onnx.load_from_string(quantize_qdq(MODEL, calibration, QdqStyle.ONNXRUNTIME, kept))
    assert quantised_convolutions(model) == {layer.name for layer in layers_of(MODEL)} - set(kept)
    made_by = producers(model)
    for node in model.graph.node:
        if node.name in quantised_convolutions(model):
            activation, weights = (made_by[name] for name in node.input[:2])
            assert initializer(model, activation.input[2]).dtype == np.uint8
            stored = initializer(model, weights.input[0])
            assert stored.dtype == np.int8 and initializer(model, weights.input[1]).shape == (len(stored),)


def test_s8s8_is_symmetric_and_quantises_what_layers_read_only(calibration: CalibrationPictures) -> None:
    model = onnx.load_from_string(quantize_qdq(MODEL, calibration, QdqStyle.TENSORRT))
    assert quantised_convolutions(model) == {layer.name for layer in layers_of(MODEL)}
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            zero = initializer(model, node.input[2])
            assert zero.dtype == np.int8 and not zero.any()
    names = {node.name: node for node in model.graph.node}
    made_by = producers(model)
    for layer in layers_of(MODEL):
        node = names[layer.name]
        assert made_by[made_by[node.input[1]].input[0]].op_type == "QuantizeLinear"  # weights as float32 behind a pair
        assert node.input[2] not in made_by  # biases float32 as they were
    assert {output.name for output in model.graph.output} == {"head_0", "head_1"}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 13)]


@pytest.mark.parametrize("style", list(QdqStyle))
def test_a_kept_layer_is_left_as_it_is(calibration: CalibrationPictures, style: QdqStyle) -> None:
    kept = (*always_kept(MODEL, style), "layer_0_raw_conv")
    model = onnx.load_from_string(quantize_qdq(MODEL, calibration, style, kept))
    assert quantised_convolutions(model).isdisjoint(kept) and quantised_convolutions(model)


@pytest.mark.parametrize(("style", "limit"), [(QdqStyle.ONNXRUNTIME, 0.1), (QdqStyle.TENSORRT, 0.1)])
def test_quantised_heads_are_near_those_of_fp32(
    calibration: CalibrationPictures, style: QdqStyle, limit: float
) -> None:
    quantised = quantize_qdq(MODEL, calibration, style, always_kept(MODEL, style))
    pixels = np.concatenate([prepare(picture, SPEC)[0] for picture in PICTURES])
    expected = open_engine(DRAFT.manifest, MODEL, EngineChoice.ONNXRUNTIME, threads=1).infer(pixels)
    given = open_engine(DRAFT.manifest, quantised, EngineChoice.ONNXRUNTIME, Precision.INT8, threads=1).infer(pixels)
    for a, b in zip(expected, given, strict=True):
        assert 0 < np.sqrt(np.square(a - b).mean()) < limit * a.std()


def test_half_precision_has_half_the_weights_and_float_ends() -> None:
    half = convert_to_half(MODEL)
    model = onnx.load_from_string(half)
    assert all(initializer(model, layer.weights).dtype == np.float16 for layer in layers_of(MODEL))
    kinds = {one.name: one.type.tensor_type.elem_type for one in [*model.graph.input, *model.graph.output]}
    assert set(kinds.values()) == {onnx.TensorProto.FLOAT} and set(kinds) == {"input", "head_0", "head_1"}


def test_calibration_tensors_are_what_engines_compute_on() -> None:
    for resize in ResizeMode:
        spec = SPEC.model_copy(update={"resize": resize})
        pictures = fit_pictures(PICTURES, spec)
        assert len(list(pictures.tensors())) == len(PICTURES)
        for number, picture in enumerate(PICTURES):
            assert np.array_equal(pictures.tensor(number), network_tensor(prepare(picture, spec)[0]))


def test_a_fixed_batch_is_calibrated_as_often_as_it_is_long() -> None:
    pictures = fit_pictures(PICTURES[:2], SPEC.model_copy(update={"batch": 3}))
    assert pictures.tensor(1).shape == (3, 3, 64, 64)


def test_no_picture_to_calibrate_with_is_refused() -> None:
    with pytest.raises(PackError, match="no picture to calibrate"):
        fit_pictures([], SPEC)


def test_a_model_that_cannot_be_quantised_is_one_message(calibration: CalibrationPictures) -> None:
    with pytest.raises(VariantError, match="float16"):
        convert_to_half(onnx.ModelProto().SerializeToString())
    plan = make_plan()
    other = onnx.load_from_string(export_onnx(plan, random_weights(plan)))
    other.graph.input[0].name = "picture"  # the nodes still read "input", which nothing makes
    with pytest.raises(VariantError, match="quantise"):
        quantize_openvino(other.SerializeToString(), calibration)
    with pytest.raises(VariantError, match="ONNX Runtime's quantiser"):
        quantize_qdq(other.SerializeToString(), calibration, QdqStyle.TENSORRT)
