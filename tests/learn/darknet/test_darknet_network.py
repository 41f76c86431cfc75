"""The torch network, layer by layer against arithmetic written out by hand (facts 1.3)."""

import numpy as np
import pytest
import torch

from random_weights import random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import BatchNorm, ConvolutionalWeights, DarknetWeights, read_weights, write_weights
from vedette.learn.darknet.zoo import make_cfg

YOLO = "[yolo]\nnum=1\nanchors=8,9\nclasses="


def run(body: str, images: np.ndarray, channels: int | None = None) -> np.ndarray:
    """What layers do with a picture (channels, height, width); a [yolo] is put behind to read it raw."""
    given, height, width = images.shape
    classes = (channels or given) - 5
    net = f"[net]\nwidth={width}\nheight={height}\nchannels={given}\n"
    network = DarknetNetwork(plan_network(parse_cfg(f"{net}{body}{YOLO}{classes}\n"))).eval()
    with torch.no_grad():
        (raw,) = network(torch.from_numpy(images.astype(np.float32))[None])
    return raw[0].numpy()


def numbered(channels: int, height: int, width: int) -> np.ndarray:
    return np.arange(channels * height * width, dtype=np.float32).reshape(channels, height, width)


def test_maxpool_of_size_2_stride_1_looks_right_and_down_and_keeps_the_size():
    images = -numbered(6, 3, 3) - 1  # negative: padding with 0 instead of -infinity would show

    pooled = run("[maxpool]\nsize=2\nstride=1\n", images)

    assert pooled.shape == (6, 3, 3)
    assert pooled[0].tolist() == [[-1, -2, -3], [-4, -5, -6], [-7, -8, -9]]
    assert run("[maxpool]\nsize=2\nstride=1\n", -images)[0].tolist() == [[5, 6, 6], [8, 9, 9], [8, 9, 9]]


def test_maxpool_of_odd_size_looks_to_all_sides():
    pooled = run("[maxpool]\nsize=3\nstride=1\n", numbered(6, 3, 4))

    assert pooled[0].tolist() == [[5, 6, 7, 7], [9, 10, 11, 11], [9, 10, 11, 11]]


def test_maxpool_of_stride_2_rounds_odd_sizes_up():
    pooled = run("[maxpool]\nsize=2\nstride=2\n", numbered(6, 3, 5))

    assert pooled[0].tolist() == [[6, 8, 9], [11, 13, 14]]


def test_upsample_repeats_and_scales():
    larger = run("[upsample]\nstride=2\nscale=0.5\n", numbered(6, 1, 2) * 2)

    assert larger[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_grouped_route_takes_the_slice_of_each_input():
    images = numbered(12, 1, 1)

    part = run("[dropout]\n[upsample]\nstride=1\n[route]\nlayers=0,1\ngroups=2\ngroup_id=1\n", images, 12)

    assert part[:, 0, 0].tolist() == [6, 7, 8, 9, 10, 11] * 2


def test_shortcut_adds_what_both_have_and_keeps_the_channels_of_its_input():
    images = numbered(6, 1, 1)

    narrow_to_wide = run("[dropout]\n[route]\nlayers=0,0\n[shortcut]\nfrom=0\n", images, 12)
    wide_to_narrow = run("[dropout]\n[route]\nlayers=0,0\n[route]\nlayers=0\n[shortcut]\nfrom=1\n", images)

    assert narrow_to_wide[:, 0, 0].tolist() == [0, 2, 4, 6, 8, 10, 0, 1, 2, 3, 4, 5]
    assert wide_to_narrow[:, 0, 0].tolist() == [0, 2, 4, 6, 8, 10]


def test_scale_channels_multiplies_each_channel_by_its_mean():
    images = numbered(6, 1, 3)

    scaled = run("[dropout]\n[avgpool]\n[scale_channels]\nfrom=0\n", images)

    assert scaled[1].tolist() == [[3 * 4, 4 * 4, 5 * 4]]


def test_reorg_is_darknets_own_order():
    stride, channels, height, width = 2, 8, 4, 6
    images = numbered(channels, height, width)
    expected = np.empty(images.size, np.float32)  # written out as reorg_cpu does it, forward=0
    inner = channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                offset = k // inner
                column, row = i * stride + offset % stride, j * stride + offset // stride
                from_here = column + width * stride * (row + height * stride * (k % inner))
                expected[i + width * (j + height * k)] = images.reshape(-1)[from_here]

    moved = run("[reorg]\nstride=2\n", images, channels * 4)

    assert moved.reshape(-1).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [-30, -1, 0, 2, 30]),
        ("leaky", [-3, -0.1, 0, 2, 30]),
        ("relu", [0, 0, 0, 2, 30]),
        ("relu6", [0, 0, 0, 2, 6]),
        ("logistic", [9.3576e-14, 0.26894143, 0.5, 0.88079709, 1]),
        ("swish", [-2.8073e-12, -0.26894143, 0, 1.76159416, 30]),
        ("mish", [-2.8073e-12, -0.30340147, 0, 1.94395896, 30]),
    ],
)
def test_activations(name, expected):
    values = np.array([-30, -1, 0, 2, 30], np.float32)
    images = np.tile(values, (6, 1, 1))
    images[:] = 0
    images[0, 0] = values

    raw = run(f"[dropout]\n[dropout]\n[shortcut]\nfrom=-2\nactivation={name}\n", images / 2)

    np.testing.assert_allclose(raw[0, 0], expected, rtol=1e-4, atol=1e-15)


CONVOLUTION = "[net]\nwidth=1\nheight=1\nchannels=1\n[convolutional]\nfilters=6\nactivation=linear\n"


def test_batch_norm_adds_a_hundred_thousandth_to_the_variance_inside_the_root():
    plan = plan_network(parse_cfg(f"{CONVOLUTION}batch_normalize=1\n{YOLO}1\n"))
    each = np.ones(6, np.float32)
    layer = ConvolutionalWeights(
        biases=each * 0.25,
        batch_norm=BatchNorm(scales=each * 2, means=each * 0.5, variances=each * 1e-5),
        kernel=np.ones((6, 1, 1, 1), np.float32),
    )
    network = DarknetNetwork(plan).eval()
    network.load_darknet(DarknetWeights(0, 2, 5, 0, (layer, None), 2))

    (raw,) = network(torch.full((1, 1, 1, 1), 0.75))

    assert raw.detach().flatten().tolist() == pytest.approx([(0.75 - 0.5) / np.sqrt(2e-5) * 2 + 0.25] * 6, rel=1e-5)


@pytest.fixture(scope="module")
def tiny():
    plan = plan_network(parse_cfg(make_cfg("yolov3-tiny", 3, 96, 64)))
    return plan, random_weights(plan)


def test_weights_go_in_and_out_unchanged(tiny, tmp_path):
    plan, weights = tiny
    network = DarknetNetwork(plan)

    assert network.load_darknet(weights) == 24
    write_weights(tmp_path / "a.weights", plan, weights)
    write_weights(tmp_path / "b.weights", plan, network.to_darknet(seen=12_345))

    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()


def test_a_backbone_leaves_the_rest_as_it_was(tiny, tmp_path):
    plan, weights = tiny
    first = DarknetWeights(0, 2, 5, 0, (*weights.layers[:15], *[None] * 9), 15)
    write_weights(tmp_path / "tiny.conv.15", plan, first)
    network = DarknetNetwork(plan)
    before = network.layers[15].convolution.weight.detach().clone()

    assert network.load_darknet(read_weights(tmp_path / "tiny.conv.15", plan, partial=True)) == 15

    assert torch.equal(network.layers[15].convolution.weight, before)
    assert np.array_equal(network.layers[14].convolution.weight.detach().numpy(), weights.layers[14].kernel)


def test_weights_of_another_network_change_nothing(tiny):
    _, weights = tiny
    other = DarknetNetwork(plan_network(parse_cfg(make_cfg("yolov3-tiny", 4, 96, 64))))
    before = {name: value.clone() for name, value in other.state_dict().items()}

    with pytest.raises(WeightsError, match="layer 15"):
        other.load_darknet(weights)

    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_any_size_that_the_strides_divide_runs(tiny):
    plan, weights = tiny
    network = DarknetNetwork(plan).eval()
    network.load_darknet(weights)

    with torch.no_grad():
        heads = network(torch.zeros(2, 3, 128, 224))

    assert [tuple(head.shape) for head in heads] == [(2, 24, 4, 7), (2, 24, 8, 14)]


def test_channels_last_gives_the_same(tiny):
    plan, weights = tiny
    network = DarknetNetwork(plan).eval()
    network.load_darknet(weights)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        expected = network(images)
        network = network.to(memory_format=torch.channels_last)
        found = network(images.contiguous(memory_format=torch.channels_last))

    for head, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, head, rtol=1e-4, atol=1e-5)


def test_every_parameter_learns(tiny):
    plan, _ = tiny
    torch.manual_seed(0)
    network = DarknetNetwork(plan).train()
    running = network.layers[0].norm.running_mean.clone()

    sum(head.square().mean() for head in network(torch.rand(2, 3, 64, 96))).backward()

    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    assert not torch.equal(network.layers[0].norm.running_mean, running)


def test_heads_come_from_their_last_convolutions(tiny):
    plan, _ = tiny

    assert [layer.out_channels for layer in DarknetNetwork(plan).head_convolutions()] == [24, 24]
