"""Shapes, sizes and refusals by arithmetic. Published figures: facts 1.4."""

import time
import tracemalloc

import pytest

from vedette.contracts.bundle import DarknetHeads, YoloHead
from vedette.learn.darknet.cfg import parse_cfg, read_cfg
from vedette.learn.darknet.errors import CfgError
from vedette.learn.darknet.layers import Activation, DarknetNms, IouLoss, Shape
from vedette.learn.darknet.plan import decode_spec, plan_network

NET = "[net]\nwidth=64\nheight=32\nchannels=3\n"
HEAD = "[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nclasses=2\nnum=2\nanchors=8,9,10,14\n"


def plan(body: str, head: str = HEAD, net: str = NET):
    return plan_network(parse_cfg(net + body + head))


def test_defaults_are_alexeyabs():
    planned = plan("[convolutional]\n[maxpool]\n[maxpool]\nstride=2\n[upsample]\n[dropout]\n")

    convolution, stay, halve, double, dropout = planned.layers[:5]
    assert (convolution.filters, convolution.size, convolution.stride, convolution.padding) == (1, 1, 1, 0)
    assert (convolution.groups, convolution.batch_normalize, convolution.activation) == (1, False, Activation.LOGISTIC)
    assert (stay.size, stay.stride, stay.padding) == (1, 1, 0)
    assert (halve.size, halve.stride, halve.padding) == (2, 2, 1)
    assert (double.stride, double.scale) == (2, 1.0)
    assert [layer.shape for layer in planned.layers[:5]] == [
        *[Shape(1, 32, 64)] * 2,
        Shape(1, 16, 32),
        *[Shape(1, 32, 64)] * 2,
    ]
    assert dropout.inputs == (3,)


def test_yolo_defaults_are_alexeyabs():
    planned = plan("", "[convolutional]\nfilters=25\nactivation=linear\n[yolo]\nanchors=8,9\n")

    (head,) = planned.heads
    assert (head.classes, head.mask, head.anchors) == (20, (0,), ((8.0, 9.0),))
    assert (head.ignore_thresh, head.truth_thresh, head.iou_thresh) == (0.5, 1.0, 1.0)
    assert (head.scale_x_y, head.new_coords, head.beta_nms) == (1.0, False, 0.6)
    assert (head.iou_loss, head.nms_kind) == (IouLoss.MSE, DarknetNms.DEFAULT)
    assert (head.iou_normalizer, head.obj_normalizer, head.cls_normalizer) == (0.75, 1.0, 1.0)


def test_pad_means_half_the_kernel_and_wins_over_padding():
    given = plan("[convolutional]\nsize=5\npad=1\npadding=7\n[convolutional]\nsize=3\npadding=2\n").layers

    assert (given[0].padding, given[0].shape) == (2, Shape(1, 32, 64))
    assert (given[1].padding, given[1].shape) == (2, Shape(1, 34, 66))


@pytest.mark.parametrize(
    ("size", "stride", "length", "before_after"),
    [
        (2, 1, 13, (0, 1)),
        (2, 2, 26, (0, 0)),
        (2, 2, 13, (0, 1)),
        (5, 1, 13, (2, 2)),
        (13, 1, 9, (6, 6)),
        (3, 2, 8, (1, 0)),
    ],
)
def test_maxpool_padding_starts_at_half_of_it_rounded_down(size, stride, length, before_after):
    (layer, *_) = plan(f"[maxpool]\nsize={size}\nstride={stride}\n").layers

    assert layer.padding_before_after(length) == before_after


def test_routes_take_negative_and_absolute_layers_and_groups():
    convolutions = "[convolutional]\nfilters=8\n[convolutional]\nfilters=4\n"
    routes = "[route]\nlayers=-1,0\n[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"

    joined, half = plan(convolutions + routes).layers[2:4]

    assert (joined.inputs, joined.shape.channels) == ((1, 0), 12)
    assert (half.inputs, half.shape.channels, half.groups, half.group_id) == ((2,), 6, 2, 1)


def test_parameters_and_operations_count_groups_and_batch_norm():
    (layer, *_) = plan("[convolutional]\nfilters=6\ngroups=3\nsize=3\npad=1\nbatch_normalize=1\n").layers

    assert layer.params == 6 * 1 * 9 + 4 * 6
    assert layer.operations == 2 * 6 * 1 * 9 * 64 * 32


def test_heads_carry_the_masked_anchors_and_decode_spec_names_outputs_in_cfg_order():
    first = "[convolutional]\nfilters=14\nstride=4\nactivation=linear\n"
    first += "[yolo]\nclasses=2\nnum=3\nmask=2,0\nanchors=1,2,3,4,5,6\n"
    second = "[route]\nlayers=0\n" + HEAD.replace("[yolo]", "[yolo]\nscale_x_y=1.05\nnms_kind=greedynms")
    planned = plan("", first + second)

    assert planned.heads[0].anchors == ((5.0, 6.0), (1.0, 2.0))
    assert [head.stride for head in planned.heads] == [4, 4]
    assert planned.heads[1].nms_kind == "greedynms"
    assert (planned.class_count, planned.letter_box) == (2, False)
    assert decode_spec(planned) == DarknetHeads(
        heads=(
            YoloHead(output="head_0", grid_width=16, grid_height=8, anchors=((5.0, 6.0), (1.0, 2.0))),
            YoloHead(output="head_1", grid_width=16, grid_height=8, anchors=((8.0, 9.0), (10.0, 14.0)), scale_x_y=1.05),
        )
    )


def test_a_regions_anchors_become_pixels_and_its_decode_kind_its_own():
    head = "[convolutional]\nfilters=14\nstride=32\n[region]\nsoftmax=1\nclasses=2\nnum=2\nanchors=0.5,1,2,3\n"

    found = plan("", head)

    assert found.heads[0].anchors == ((16, 32), (64, 96))
    spec = decode_spec(found)
    assert spec.kind == "darknet_region_head"
    assert [(one.output, one.grid_width, one.grid_height, one.anchors) for one in spec.heads] == [
        ("head_0", 2, 1, ((16, 32), (64, 96)))
    ]


def test_a_plan_can_be_made_at_another_size():
    cfg = parse_cfg(NET + "[convolutional]\nstride=2\n" + HEAD)

    assert plan_network(cfg, width=128, height=96).heads[0].grid_width == 64
    with pytest.raises(CfgError, match="input width of 0"):
        plan_network(cfg, width=0)


REFUSED = {
    "a layer kind that is not built": ("[crnn]\n", r"line 5, \[crnn\]: this kind of layer is not supported"),
    "a word after the bracket": ("[route] x\n", "line 5.*not supported"),
    "an activation that is not built": (
        "[convolutional]\nactivation=selu\n",
        "line 6.*activation=selu is not",
    ),
    "dilation": ("[convolutional]\nsize=3\ndilation=2\n", "line 7.*dilation=2 is not supported"),
    "different strides": ("[convolutional]\nstride_x=2\n", "line 6.*stride_x=2"),
    "shared weights": ("[convolutional]\n[convolutional]\nshare_index=0\n", "line 7.*share_index=0"),
    "weighted shortcut": ("[convolutional]\n[shortcut]\nfrom=-1\nweights_type=per_feature\n", "line 8.*weighted"),
    "a route forward": ("[convolutional]\n[route]\nlayers=3\n", "line 7.*names layer 3, but only the layers before"),
    "a route to itself": ("[convolutional]\n[route]\nlayers=1\n", "line 7.*names layer 1"),
    "a route before the picture": ("[convolutional]\n[route]\nlayers=-2\n", "line 7.*names layer -2"),
    "a route to nothing": ("[route]\n", "layers= is missing"),
    "a route of different sizes": (
        "[convolutional]\n[convolutional]\nstride=2\n[route]\nlayers=0,1\n",
        r"line 9.*layers 0 \(64 x 32 x 1\) and 1 \(32 x 16 x 1\) differ",
    ),
    "a shortcut of different sizes": (
        "[convolutional]\n[convolutional]\nstride=2\n[shortcut]\nfrom=-2\n",
        "line 9.*differs in width or height",
    ),
    "groups that do not divide": ("[convolutional]\nfilters=4\ngroups=2\n", "line 7.*groups=2 divides not both"),
    "route groups that don't": (
        "[convolutional]\nfilters=3\n[route]\nlayers=-1\ngroups=2\n",
        "does not divide",
    ),
    "a group that is not there": (
        "[convolutional]\nfilters=4\n[route]\nlayers=-1\ngroups=2\ngroup_id=2\n",
        "group_id=2",
    ),
    "nothing left of the picture": ("[convolutional]\nsize=65\n", "nothing is left"),
    "no stride": ("[convolutional]\nstride=0\n", "line 6.*stride=0 must lie between 1"),
    "reading a head": (HEAD + "[convolutional]\n", r"reads layer 1, a \[yolo\] layer"),
    "windows with no value": ("[maxpool]\nsize=2\npadding=3\n", "line 7.*padding=3"),
    "squeeze of another layer": ("[convolutional]\n[scale_channels]\nfrom=-1\n", "one value for each channel"),
    "reorg that does not divide": ("[convolutional]\nfilters=3\n[reorg]\nstride=2\n", "stride=2 does not divide"),
}


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_name_the_line(body, message):
    with pytest.raises(CfgError, match=message):
        plan(body)


BAD_HEADS = {
    "filters": ("[convolutional]\nfilters=13\n[yolo]\nclasses=2\nnum=2\nanchors=8,9,10,14\n", "set filters=14"),
    "too few anchors": ("[convolutional]\nfilters=14\n[yolo]\nclasses=2\nnum=2\nanchors=8,9,10\n", "line 10.*has 3"),
    "mask": ("[convolutional]\nfilters=7\n[yolo]\nclasses=2\nnum=2\nmask=2\nanchors=8,9,10,14\n", "line 10.*mask=2"),
    "empty anchor": ("[convolutional]\nfilters=7\n[yolo]\nclasses=2\nanchors=0,9\n", "larger than 0"),
    "no head": ("[convolutional]\n", r"no \[yolo\]"),
    "region filters": ("[convolutional]\nfilters=6\n[region]\nsoftmax=1\nclasses=2\nanchors=1,1\n", "set filters=7"),
    "region without softmax": (
        "[convolutional]\nfilters=7\n[region]\nclasses=2\nanchors=1,1\n",
        "only .region. with softmax=1",
    ),
    "region with a tree": (
        "[convolutional]\nfilters=7\n[region]\nsoftmax=1\nclasses=2\nanchors=1,1\ntree=9k.tree\n",
        "tree=9k.tree is not supported",
    ),
    "region beside another head": (
        HEAD + "[route]\nlayers=0\n[convolutional]\nfilters=7\n[region]\nsoftmax=1\nclasses=2\nanchors=1,1\n",
        "must be the only head",
    ),
    "other classes": (
        HEAD + "[route]\nlayers=0\n[convolutional]\nfilters=8\n[yolo]\nclasses=3\nanchors=8,9\n",
        "the first",
    ),
}


@pytest.mark.parametrize(("head", "message"), BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_heads_that_cannot_be_are_refused(head, message):
    with pytest.raises(CfgError, match=message):
        plan("", head)


@pytest.mark.parametrize("side", ["width=0", "width=-32", "width=16385", "height=999999999", "channels=0"])
def test_input_sizes_out_of_range_are_refused(side):
    key = side.partition("=")[0]
    lines = [line for line in NET.splitlines() if not line.startswith(key)]

    with pytest.raises(CfgError, match=f"{key}=.*must lie between"):
        plan("", net="\n".join([*lines, side]) + "\n")


ABSURD = {
    "a thousand million filters": "[convolutional]\nfilters=1000000000\n",
    "a product beyond 64 bits": "[convolutional]\nfilters=2147483647\nsize=2147483647\npad=1\n",
    "a kernel that is too large": "[convolutional]\nfilters=1000\n[convolutional]\nfilters=1000\nsize=99\npad=1\n",
    "upsampling without end": "[upsample]\nstride=16384\n" * 200,
    "padding without end": "[convolutional]\npadding=2147483647\n",
    "many large layers": "[convolutional]\nfilters=10000\n" * 4000,
    "a route to itself": "[route]\nlayers=0\n",
    "two routes to each other": "[route]\nlayers=1\n[route]\nlayers=0\n",
    "a shortcut round the whole net": "[convolutional]\n[shortcut]\nfrom=2\n[route]\nlayers=1\n",
    "routes that double without end": "[convolutional]\n" + "[route]\nlayers=-1,-1\n" * 60,
    "reorg of a product beyond 64 bits": "[reorg]\nstride=16384\n",
    "anchors without end": "[convolutional]\nfilters=7\n[yolo]\nclasses=2\nnum=1000000000\nanchors=1,1\n",
    "classes without end": "[convolutional]\nfilters=7\n[yolo]\nclasses=1000000000\nanchors=1,1\n",
}


@pytest.mark.parametrize("body", ABSURD.values(), ids=ABSURD.keys())
def test_absurd_networks_are_refused_in_under_a_second_and_without_room(body):
    began = time.perf_counter()
    with pytest.raises(CfgError, match="line"):
        plan(body)
    assert time.perf_counter() - began < 1.0

    tracemalloc.start()
    with pytest.raises(CfgError, match="line"):
        plan(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def at_side(side: int, body: str):
    net = f"[net]\nwidth={side}\nheight={side}\nchannels=3\n"
    return plan(body + "[maxpool]\nsize=32\nstride=16384\n", net=net)


def test_the_largest_input_has_room_for_a_layer_of_one_filter():
    assert at_side(16384, "[convolutional]\nfilters=1\n").layers[0].shape == Shape(1, 16384, 16384)


@pytest.mark.parametrize(
    ("side", "body", "message"),
    [
        (16384, "[convolutional]\nfilters=2\n", "line 5, .* 16384 x 16384 x 2 has 536870912 values; at most 268435456"),
        (8192, "[convolutional]\nfilters=4\n" * 9, "line 21, .* have 2415919104 values up to here; at most 2147483648"),
    ],
)
def test_networks_whose_outputs_would_exhaust_memory_are_refused(side, body, message):
    with pytest.raises(CfgError, match=message):
        at_side(side, body)


NUMBERS_OF_SECTIONS = {
    "convolutional": ("filters", "size", "stride", "padding", "groups"),
    "maxpool": ("size", "stride", "padding"),
    "route": ("layers", "groups", "group_id"),
    "shortcut": ("from",),
    "upsample": ("stride",),
    "reorg": ("stride",),
    "scale_channels": ("from",),
}


@pytest.mark.parametrize(
    ("section", "key"), [(name, key) for name, keys in NUMBERS_OF_SECTIONS.items() for key in keys]
)
def test_a_thousand_million_anywhere_is_refused_with_its_line(section, key):
    listed = {"route": "layers=-1\n", "shortcut": "from=-1\n", "scale_channels": "from=-1\n"}.get(section, "")
    others = "" if listed.startswith(key) else listed
    began = time.perf_counter()

    with pytest.raises(CfgError, match="line"):
        plan(f"[convolutional]\nfilters=4\n[{section}]\n{others}{key}=1000000000\n")

    assert time.perf_counter() - began < 1.0


PUBLISHED = {  # cfg: parameters, BFLOPs at its own size, layers
    "yolov3-tiny": (8_858_734, 5.565, 24),
    "yolov3": (62_001_757, 65.864, 107),
    "yolov4-tiny": (6_062_814, 6.908, 38),
    "yolov4": (64_429_405, 128.389, 162),
    "yolov7-tiny": (6_241_885, 5.789, 99),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_published_size(real_data, name):
    planned = plan_network(read_cfg(real_data / "darknet" / "cfg" / f"{name}.cfg"))

    params, bflops, layers = PUBLISHED[name]
    assert (planned.params, len(planned.layers)) == (params, layers)
    assert planned.bflops == pytest.approx(bflops, abs=0.001)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "published_bytes"), [("yolov2", 203_934_260), ("yolov2-tiny", 44_948_596)])
def test_published_v2_files_have_their_size_with_the_old_header(real_data, name, published_bytes):
    planned = plan_network(read_cfg(real_data / "darknet" / "cfg" / f"{name}.cfg"))

    assert 16 + 4 * planned.params == published_bytes
