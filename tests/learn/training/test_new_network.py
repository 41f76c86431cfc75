"""The cfg that a run trains, and weights that load as far as they go."""

from pathlib import Path

import numpy as np
import pytest
import torch

from drawn_shapes import SMALL_CFG, write_cfg
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import CfgError, WeightsError
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import write_weights
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.learner import prepare_heads
from vedette.learn.training.new_network import draft_network, finish_cfg, read_starting_weights
from vedette.learn.training.settings import TrainSettings

SIZES = np.abs(np.random.default_rng(0).normal(30, 10, (200, 2))).astype(np.float32) + 4


def settings(model: str, size_px: tuple[int, int] | None = None) -> TrainSettings:
    return TrainSettings(data=Path("d"), model=model, size_px=size_px)


def test_a_family_gets_the_classes_size_and_anchors_of_the_data() -> None:
    asked = settings("yolov3-tiny", (320, 192))
    text, line = finish_cfg(draft_network(asked, 3), asked, 3, SIZES)
    plan = plan_network(parse_cfg(text))
    assert (plan.input_width, plan.input_height, plan.class_count) == (320, 192, 3)
    assert [head.scale_x_y for head in plan.heads] == [2.0, 2.0]
    anchors = np.array(plan.heads[0].all_anchors)
    assert np.abs(anchors.mean() - SIZES.mean()) < 6
    assert "fitted" in line


def test_too_few_sizes_leave_the_familys_own_anchors_and_say_so() -> None:
    asked = settings("yolov3-tiny")
    text, line = finish_cfg(draft_network(asked, 1), asked, 1, np.array([[20.0, 20.0]], np.float32))
    assert plan_network(parse_cfg(text)).heads[1].anchors[0] == (10.0, 14.0)
    assert "own anchors" in line


def test_a_cfg_stays_as_it_is_but_for_the_size_asked_for(tmp_path: Path) -> None:
    path = str(write_cfg(tmp_path))
    same = draft_network(settings(path), 2)
    assert finish_cfg(same, settings(path), 2, SIZES)[0] == SMALL_CFG
    larger = draft_network(settings(path, (128, 96)), 2)
    assert larger.size_px == (128, 96)
    assert larger.cfg_text == SMALL_CFG.replace("width=96", "width=128").replace("height=64", "height=96")


def test_a_model_that_is_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither a cfg file nor one of yolov3-tiny"):
        draft_network(settings("yolov9"), 2)


def test_a_region_head_is_drafted_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "v2.cfg"
    path.write_text(
        "[net]\nwidth=64\nheight=64\nchannels=3\n[convolutional]\nfilters=7\nstride=32\n"
        "[region]\nsoftmax=1\nclasses=2\nanchors=1,1\n"
    )
    assert draft_network(settings(str(path)), 2).size_px == (64, 64)
    with pytest.raises(CfgError, match="is for 2 classes, the data has 3"):
        draft_network(settings(str(path)), 3)


def weights_file(folder: Path, classes: int) -> Path:
    text = SMALL_CFG.replace("classes=2", f"classes={classes}").replace("filters=14", f"filters={2 * (5 + classes)}")
    plan = plan_network(parse_cfg(text))
    torch.manual_seed(3)
    path = folder / f"c{classes}.weights"
    write_weights(path, plan, DarknetNetwork(plan).to_darknet(0))
    return path


def test_whole_weights_load_whole(tmp_path: Path) -> None:
    plan = plan_network(parse_cfg(SMALL_CFG))
    weights, line = read_starting_weights(weights_file(tmp_path, 2), plan)
    assert weights.layers_loaded == len(plan.layers)
    assert "loaded all 7 layers" in line


@pytest.mark.parametrize("classes", [1, 80])
def test_weights_for_other_classes_load_up_to_the_head(tmp_path: Path, classes: int) -> None:
    plan = plan_network(parse_cfg(SMALL_CFG))
    path = weights_file(tmp_path, classes)
    weights, line = read_starting_weights(path, plan)
    assert f"layers 0 to 4 of 7; they were trained for {classes} classes" in line
    network = DarknetNetwork(plan)
    assert network.load_darknet(weights) == 5
    same, _ = read_starting_weights(weights_file(tmp_path, 2), plan)
    assert same.layers[4] is not None and weights.layers[4] is not None
    np.testing.assert_array_equal(weights.layers[4].kernel, same.layers[4].kernel)


def test_a_backbone_loads_its_layers(tmp_path: Path) -> None:
    plan = plan_network(parse_cfg(SMALL_CFG))
    whole = weights_file(tmp_path, 2)
    backbone = tmp_path / "small.conv.3"
    backbone.write_bytes(whole.read_bytes()[: 20 + 4 * sum(layer.params for layer in plan.layers[:3])])
    weights, line = read_starting_weights(backbone, plan)
    assert weights.layers_loaded == 3
    assert "layers 0 to 2 of 7; the rest starts at random" in line


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = weights_file(tmp_path, 2)
    path.write_bytes(path.read_bytes() + b"\0" * 4)
    with pytest.raises(WeightsError, match="another network"):
        read_starting_weights(path, plan_network(parse_cfg(SMALL_CFG)))


def test_new_heads_expect_few_objects_and_loaded_heads_stay() -> None:
    plan = plan_network(parse_cfg(SMALL_CFG))
    network = DarknetNetwork(plan)
    prepare_heads(network, 0)
    bias = network.head_convolutions()[0].bias
    assert bias is not None
    assert torch.sigmoid(bias.reshape(2, 7)[:, 4]).tolist() == pytest.approx([0.01, 0.01])
    with torch.no_grad():
        bias.fill_(3.0)
    prepare_heads(network, len(plan.layers))
    assert bias.unique().tolist() == [3.0]
