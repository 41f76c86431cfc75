"""The exported graph: what stands in it, and that it gives what torch gives."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import shape_inference

from random_weights import random_input, random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import BatchNorm, ConvolutionalWeights, DarknetWeights
from vedette.learn.darknet.zoo import make_cfg
from vedette.learn.export.onnx import export_onnx, fold_batch_norm


@pytest.fixture(scope="module")
def tiny():
    plan = plan_network(parse_cfg(make_cfg("yolov3-tiny", 2, 96, 64)))
    weights = random_weights(plan)
    return plan, weights, export_onnx(plan, weights)


def test_outputs_are_the_raw_heads_for_any_batch(tiny):
    plan, _, model = tiny
    inferred = shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True, data_prop=True)

    def shape(value):
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    assert [(value.name, shape(value)) for value in inferred.graph.input] == [("input", ["batch", 3, 64, 96])]
    assert [(value.name, shape(value)) for value in inferred.graph.output] == [
        ("head_0", ["batch", 21, 2, 3]),
        ("head_1", ["batch", 21, 4, 6]),
    ]
    shapes = {value.name: shape(value) for value in inferred.graph.value_info}
    for layer in plan.layers:
        if f"layer_{layer.index}" in shapes:
            assert shapes[f"layer_{layer.index}"][1:] == [layer.shape.channels, layer.shape.height, layer.shape.width]
    assert len(shapes) > 20


def test_operator_set_and_format_are_old_enough_for_every_engine(tiny):
    model = onnx.load_from_string(tiny[2])

    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 8
    operators = {node.op_type for node in model.graph.node}
    assert operators == {"Conv", "LeakyRelu", "MaxPool", "Resize", "Concat"}  # no Pad, no BatchNormalization, no NMS


def test_the_stride_1_maxpool_carries_its_own_padding(tiny):
    model = onnx.load_from_string(tiny[2])
    pads = {}
    for node in model.graph.node:
        if node.op_type == "MaxPool":
            attributes = {attribute.name: list(attribute.ints) for attribute in node.attribute}
            pads[tuple(attributes["strides"])] = attributes["pads"]

    assert pads == {(2, 2): [0, 0, 0, 0], (1, 1): [0, 0, 1, 1]}


def test_export_is_the_same_every_time(tiny):
    plan, weights, model = tiny

    assert export_onnx(plan, weights) == model


@pytest.mark.parametrize("batch", [1, 3])
def test_onnxruntime_gives_what_torch_gives(tiny, batch):
    plan, weights, model = tiny
    images = random_input(plan, batch)
    network = DarknetNetwork(plan).eval()
    network.load_darknet(weights)

    with torch.no_grad():
        expected = [head.numpy() for head in network(torch.from_numpy(images))]
    found = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input": images})

    for head, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, head, atol=1e-5)


RARE_CFG = """
[net]
width=8
height=16
channels=12
[convolutional]
filters=12
size=3
pad=1
activation=relu6
[reorg]
stride=2
[route]
layers=-1,-1
groups=4
group_id=3
[shortcut]
from=1
[convolutional]
filters=60
activation=swish
[shortcut]
from=1
activation=mish
[upsample]
stride=2
scale=0.5
[shortcut]
from=0,0
[yolo]
classes=5
num=6
anchors=1,1,2,2,3,3,4,4,5,5,6,6
[route]
layers=-2
[dropout]
[yolo]
classes=5
num=6
anchors=1,1,2,2,3,3,4,4,5,5,6,6
"""


def test_rare_layers_give_what_torch_gives_and_a_tensor_may_be_two_heads():
    """Reorg, groups of routes, shortcuts of other widths and of several layers, scaled upsampling."""
    plan = plan_network(parse_cfg(RARE_CFG))
    random = np.random.default_rng(0)
    layers = [
        ConvolutionalWeights(
            random.normal(size=layer.filters).astype(np.float32),
            None,
            random.normal(size=layer.kernel_shape).astype(np.float32),
        )
        if layer.kind == "convolutional"
        else None
        for layer in plan.layers
    ]
    weights = DarknetWeights(0, 2, 5, 0, tuple(layers), len(layers))
    images = random_input(plan, 2)
    network = DarknetNetwork(plan).eval()
    network.load_darknet(weights)

    with torch.no_grad():
        expected = [head.numpy() for head in network(torch.from_numpy(images))]
    session = onnxruntime.InferenceSession(export_onnx(plan, weights), providers=["CPUExecutionProvider"])
    found = session.run(["head_0", "head_1"], {"input": images})

    assert np.array_equal(found[0], found[1])
    for head, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, head, atol=1e-4)


def test_batch_norm_is_folded_in_double_precision():
    """The folded values are those of float64 arithmetic, rounded once."""
    given = ConvolutionalWeights(
        biases=np.array([1], np.float32),
        batch_norm=BatchNorm(np.array([3], np.float32), np.array([0.1], np.float32), np.array([4], np.float32)),
        kernel=np.full((1, 1, 1, 1), 7, np.float32),
    )

    kernel, biases = fold_batch_norm(given)

    factor = 3 / np.sqrt(4 + 1e-5)
    assert kernel.item() == np.float32(7 * factor)
    assert biases.item() == np.float32(1 - np.float64(np.float32(0.1)) * factor)


def test_a_backbone_is_not_exported(tiny):
    plan, weights, _ = tiny
    backbone = DarknetWeights(0, 2, 5, 0, (*weights.layers[:15], *[None] * 9), 15)

    with pytest.raises(WeightsError, match="layer 15 has no weights"):
        export_onnx(plan, backbone)
