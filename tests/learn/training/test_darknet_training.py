"""Training as a cfg asks: a step is Darknet's, whole runs learn, resume, and hold layers; classes are weighed."""

import csv
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import torchrun
from drawn_shapes import SMALL_CFG, draw_data, write_splits
from vedette.contracts.ports import SilentProgress
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.loss import Truths
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights, write_weights
from vedette.learn.training.arithmetic import full_precision
from vedette.learn.training.darknet_method import DarknetBatches, DarknetMethod, DarknetSchedule, draw_darknet_weights
from vedette.learn.training.darknet_recipe import DarknetRecipe, Policy, read_darknet_recipe
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.intake import take_in
from vedette.learn.training.learner import Learner
from vedette.learn.training.loading import Batch
from vedette.learn.training.loop import train
from vedette.learn.training.method import VedetteMethod
from vedette.learn.training.peers import Peers
from vedette.learn.training.placing import placer
from vedette.learn.training.prepare import prepare
from vedette.learn.training.recipe_file import RECIPE_FILE
from vedette.learn.training.recipes import new_settings
from vedette.learn.training.run_folder import RunFolder
from vedette.learn.training.settings import Recipe, TrainSettings
from vedette.learn.training.shared_run import check_shares

DARKNETS = """batch=8
subdivisions=2
learning_rate=0.02
momentum=0.8
decay=0.01
burn_in=4
max_batches=9
policy=steps
steps=6,8
scales=.5,.1
mosaic=1
hue=.05
exposure=1.2
[convolutional]"""
CPU = torch.device("cpu")
CFG = SMALL_CFG.replace("[convolutional]", DARKNETS, 1).replace(
    "num=2\n", "num=2\njitter=.1\nrandom=1\niou_loss=ciou\n"
)


def settings_for(folder: Path, pictures: int = 12, cfg: str = CFG, **more: object) -> TrainSettings:
    if not (folder / "data").exists():
        draw_data(folder / "data", pictures)
    (folder / "own.cfg").write_text(cfg)
    return new_settings(
        {
            "data": str(folder / "data"),
            "model": str(folder / "own.cfg"),
            "recipe": "darknet",
            "device": "cpu",
            "precision": "fp32",
            **more,
        }
    )


def test_a_step_is_darknets_to_the_last_number() -> None:
    torch.manual_seed(0)
    cfg = parse_cfg(CFG)
    plan, recipe = plan_network(cfg), read_darknet_recipe(cfg)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (8, 64, 96, 3)).astype(np.uint8)
    boxes = np.array([[[10, 10, 40, 30]]] * 8, np.float32)
    batch = Batch(0, 0, ("p",), images, boxes, np.array([[0], [1]] * 4, np.int64))
    network = DarknetNetwork(plan)
    twin = DarknetNetwork(plan)
    twin.load_state_dict(network.state_dict())
    learner = Learner(network, DarknetMethod(recipe, plan), full_precision(CPU))
    updates = {name: torch.zeros_like(value) for name, value in twin.named_parameters()}
    for factor in (1.0, 0.5):
        learner.step(placer(CPU)(batch), factor)
        plain_step(twin, recipe, batch, updates, recipe.learning_rate * factor)
    for (name, value), expected in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6, msg=name)
    assert all(
        torch.equal(value, learner.average.state_dict()[name]) for name, value in network.state_dict().items()
        if value.is_floating_point()
    )  # fmt: skip


def plain_step(
    network: DarknetNetwork, recipe: DarknetRecipe, batch: Batch, updates: dict[str, torch.Tensor], rate: float
) -> None:
    """Two subdivisions forward and back, then Darknet's update: weight_updates, decay, momentum."""
    method = DarknetMethod(replace(recipe, batch=1, subdivisions=1), network.plan)  # deltas as they are, not divided
    network.train()
    network.zero_grad()
    pictures = recipe.batch
    for rows in (slice(0, pictures // 2), slice(pictures // 2, pictures)):
        images = torch.from_numpy(batch.images_nhwc_rgb_u8[rows]).permute(0, 3, 1, 2).float() / 255
        truths = torch.from_numpy(batch.boxes_xyxy_px[rows]), torch.from_numpy(batch.class_ids[rows])
        method.measure(network(images), Truths(*truths), (96, 64)).total.backward()
    with torch.no_grad():
        for name, value in network.named_parameters():
            assert value.grad is not None
            updates[name] -= value.grad
            if value.ndim > 1:
                updates[name] -= recipe.decay * pictures * value
            value.add_(rate / pictures * updates[name])
            updates[name] *= recipe.momentum


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [1 / 256, 16 / 256, 81 / 256, 1, 1, 0.5, 0.5, 0.05, 0.05]),
        ({"burn_in": 0, "policy": Policy.CONSTANT}, [1] * 9),
        ({"burn_in": 0, "policy": Policy.STEP, "step": 3, "scale": 0.1}, [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 1e-3]),
        ({"burn_in": 0, "policy": Policy.EXP, "gamma": 0.9}, [0.9**n for n in range(1, 10)]),
        ({"burn_in": 0, "policy": Policy.POLY, "power": 2.0}, [(1 - n / 9) ** 2 for n in range(1, 10)]),
        (
            {"burn_in": 0, "policy": Policy.SIG, "gamma": 2.0, "step": 5},
            [1 / (1 + math.exp(2 * (n - 5))) for n in range(1, 10)],
        ),
        (
            {"burn_in": 0, "policy": Policy.SGDR, "sgdr_cycle": 3, "learning_rate_min": 0.0},
            [0.75, 0.25, 0, *(0.5 * (1 + math.cos(math.pi * n / 6)) for n in range(1, 7))],
        ),
    ],
)  # fmt: skip
def test_rates_are_those_of_the_policy(more: dict[str, object], expected: list[float]) -> None:
    recipe = replace(read_darknet_recipe(parse_cfg(CFG)), **more)
    schedule = DarknetSchedule(recipe, 9, 0)
    assert [schedule.rate(step, 0.0) for step in range(9)] == pytest.approx(expected, abs=1e-9)
    longer = DarknetSchedule(recipe, 90, 0)  # the same course, ten times as slow
    assert [longer.rate(step, 0.0) for step in range(9, 90, 10)] == pytest.approx(expected, abs=1e-9)
    timed = DarknetSchedule(recipe, 0, 0, budget_s=90.0)
    fractions = [timed.fraction(0, 10.0 * n) for n in range(1, 10)]
    assert [timed.rate(step, fraction) for step, fraction in enumerate(fractions)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("policy", [Policy.POLY, Policy.SGDR])
def test_a_cfg_that_does_not_say_how_long_follows_the_length_it_is_given(policy: Policy) -> None:
    more = {"burn_in": 0, "policy": policy, "power": 1.0, "max_batches": 0, "sgdr_cycle": 0, "learning_rate_min": 0.0}
    recipe = replace(read_darknet_recipe(parse_cfg(CFG)), **more)
    by_steps, by_clock = DarknetSchedule(recipe, 8, 0), DarknetSchedule(recipe, 0, 0, budget_s=80.0)
    for schedule in (by_steps, by_clock):
        rates = [schedule.rate(step, schedule.fraction(step, 10.0 * step)) for step in range(8)]
        assert rates == sorted(rates, reverse=True) and rates[0] > 0.9 and 0 <= rates[-1] < 0.3


def test_random_rates_are_the_same_again() -> None:
    schedule = DarknetSchedule(DarknetRecipe(policy=Policy.RANDOM, power=1.0), 50, 3)
    rates = [schedule.rate(step, 0.0) for step in range(50)]
    assert rates == [schedule.rate(step, 0.0) for step in range(50)]
    assert 0 <= min(rates) < 0.2
    assert 0.8 < max(rates) <= 1


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Lines(SilentProgress):
    """Remembers what was said; presses Ctrl-C after so many steps."""

    def __init__(self, steps: int = 0) -> None:
        self.said: list[str] = []
        self.left = steps

    def say(self, line: str) -> None:
        self.said.append(line)

    def advance(self, count: int = 1, **figures: float) -> None:
        self.left -= "loss" in figures
        if not self.left and "loss" in figures:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_run_is_as_long_as_its_cfg_and_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    train(settings, tmp_path / "whole", SilentProgress())
    written = json.loads((tmp_path / "whole" / "settings.json").read_text())
    assert "epochs" not in written
    per_epoch = math.ceil(written["train_pictures"] / 8)
    assert len(rows_of(tmp_path / "whole")) == math.ceil(9 / per_epoch)
    run = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        train(settings, run, Lines(steps=4))
    train(settings, run, SilentProgress(), resume=True)
    for name in ("last.weights", "best.weights"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_few_pictures_are_learnt_by_heart_darknets_way(tmp_path: Path) -> None:
    still = CFG.replace("mosaic=1\nhue=.05\nexposure=1.2\n", "flip=0\n").replace("jitter=.1\nrandom=1\n", "jitter=0\n")
    still = still.replace("iou_loss=ciou", "ignore_thresh=.7\niou_normalizer=1").replace(
        "scale_x_y=2.0", "scale_x_y=1.0"
    )
    still = still.replace("decay=0.01", "decay=0.0005").replace("max_batches=9", "max_batches=300")
    still = (
        still.replace("steps=6,8", "steps=240,270")
        .replace("burn_in=4", "burn_in=20")
        .replace("scales=.5,.1", "scales=.1,.1")
    )
    settings = settings_for(tmp_path, pictures=8, cfg=still, validate_every=100, leaks="keep")
    write_splits(settings.data, train=range(8), val=range(8))
    result = train(settings, tmp_path / "run", SilentProgress())
    rows = rows_of(tmp_path / "run")
    assert float(rows[-1]["train_box_loss"]) < 0.1 * float(rows[0]["train_box_loss"])
    assert result.evaluation.map50 > 0.9


def test_parts_of_a_batch_have_their_share_of_every_subdivision(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert settings.darknet is not None
    run = RunFolder(tmp_path / "run")
    store = prepare(take_in(settings, run, resume=False), run, SilentProgress()).train
    whole = DarknetBatches(store, settings.darknet, 1, 9).make(0, 1, True)
    one, two = (DarknetBatches(store, settings.darknet, 1, 9, share=(part, 2)).make(0, 1, True) for part in (0, 1))
    parts = [one.images_nhwc_rgb_u8, two.images_nhwc_rgb_u8]
    joined = np.concatenate([part[rows] for rows in (slice(0, 2), slice(2, 4)) for part in parts])
    assert np.array_equal(joined, whole.images_nhwc_rgb_u8)
    assert whole.images_nhwc_rgb_u8.shape[1:3] == (128, 160)  # random=1 begins with the largest: 1.4 times and a step
    with pytest.raises(SettingsError, match=r"subdivisions has 4 pictures for 5 processes"):
        check_shares(settings, Peers(count=5))


def layer_bytes(weights: Path, cfg: Path) -> list[bytes]:
    """All numbers of each layer that has some."""
    found = []
    for layer in read_weights(weights, plan_network(parse_cfg(cfg.read_text()))).layers:
        if layer is not None:
            norm = layer.batch_norm
            parts = [layer.kernel, layer.biases, *(() if norm is None else (norm.scales, norm.means, norm.variances))]
            found.append(b"".join(part.tobytes() for part in parts))
    return found


def test_a_frozen_layer_keeps_every_bit_and_learns_when_it_is_freed() -> None:
    cfg = parse_cfg(CFG)
    plan, recipe = plan_network(cfg), read_darknet_recipe(cfg)
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 3)).astype(np.uint8)
    boxes = np.array([[[10, 10, 40, 30]]] * 8, np.float32)
    batch = Batch(0, 0, ("p",), images, boxes, np.zeros((8, 1), np.int64))
    for method in (DarknetMethod(recipe, plan), VedetteMethod(Recipe(), plan)):
        network = DarknetNetwork(plan)
        learner = Learner(network, method, full_precision(CPU))
        learner.freeze(3)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        for _ in range(2):
            learner.step(placer(CPU)(batch), 1.0)
        frozen, free = [f"layers.{n}." for n in range(3)], "layers.4."
        for state in (network.state_dict(), learner.average.state_dict()):
            changed = {name for name, value in state.items() if not torch.equal(value, before[name])}
            assert not any(name.startswith(layer) for name in changed for layer in frozen)
            assert {f"{free}convolution.weight", f"{free}norm.running_mean"} <= changed
        taken = {name: value.clone() for name, value in learner.to_tensors().items()}
        again = Learner(DarknetNetwork(plan), method, full_precision(CPU))
        again.from_tensors(taken, 2)
        for one in (learner, again):
            one.freeze(0)
            one.step(placer(CPU)(batch), 1.0)
        state = again.network.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
        assert not torch.equal(state["layers.0.convolution.weight"], before["layers.0.convolution.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["vedette", "darknet"])
def test_frozen_layers_of_a_run_keep_every_bit_until_they_are_freed(tmp_path: Path, recipe: str) -> None:
    torch.manual_seed(5)
    plan = plan_network(parse_cfg(CFG))
    start = tmp_path / "start.weights"
    write_weights(start, plan, DarknetNetwork(plan).to_darknet(0))
    more = {"recipe": recipe, "weights": str(start), "epochs": 3, "batch": 8, "freeze": "backbone"}
    settings, progress = settings_for(tmp_path, pictures=20, **more), Lines()
    train(settings, tmp_path / "run", progress)
    assert "layers 0 to 4 stay as they were loaded" in progress.said
    before, after = (layer_bytes(path, tmp_path / "own.cfg") for path in (start, tmp_path / "run" / "last.weights"))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True] * 5 + [False]
    freed = settings_for(tmp_path, **more, unfreeze_after="2")
    train(freed, tmp_path / "freed", SilentProgress())
    with pytest.raises(KeyboardInterrupt):
        train(freed, tmp_path / "resumed", Lines(steps=3))
    start.unlink()  # what is held was loaded: it is in the checkpoint
    train(freed, tmp_path / "resumed", SilentProgress(), resume=True)
    after = layer_bytes(tmp_path / "freed" / "last.weights", tmp_path / "own.cfg")
    assert not any(one == other for one, other in zip(before, after, strict=True))
    assert (tmp_path / "resumed" / "last.weights").read_bytes() == (tmp_path / "freed" / "last.weights").read_bytes()


def test_a_run_says_how_its_classes_are_weighed_and_what_its_cfg_asks_for(tmp_path: Path) -> None:
    settings, progress = settings_for(tmp_path, epochs=1, class_weights="tile=4"), Lines()
    train(settings, tmp_path / "run", progress)
    assert "an object counts: brick 1, tile 4" in progress.said
    assert any(line.startswith("recipe darknet: follows [net] batch") for line in progress.said)
    written = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (written["recipe"], written["class_weights"]) == ("darknet", '{"tile": 4.0}')
    assert (written["net_momentum"], written["yolo1_iou_loss"], written["batch"]) == (0.8, "ciou", 8)
    assert "[net] burn_in" in written["followed_of_cfg"]
    assert (tmp_path / "run" / RECIPE_FILE).read_text().count("recipe: darknet") == 1


@pytest.mark.slow
def test_two_processes_follow_a_cfg_as_one_does(tmp_path: Path) -> None:
    # two steps: what rounding adds to the weights grows tenfold with every two (after four it is 1 % of the way)
    cfg = CFG.replace("learning_rate=0.02", "learning_rate=0.002").replace("max_batches=9", "max_batches=2")
    settings = settings_for(tmp_path, cfg=cfg.replace("burn_in=4", "burn_in=0"))
    train(settings, tmp_path / "one", SilentProgress())
    flags = [f"--data={settings.data}", f"--model={settings.model}", "--recipe=darknet", "--device=cpu"]
    started = torchrun.start(torchrun.several(2, [*flags, "--precision=fp32", f"--out={tmp_path / 'two'}"]))
    output, _ = started.communicate(timeout=280)
    assert started.returncode == 0, output
    plan = plan_network(parse_cfg(CFG))
    torch.manual_seed(0)
    start = DarknetNetwork(plan)
    draw_darknet_weights(start, 0)
    one, two = (read_weights(tmp_path / name / "last.weights", plan).layers for name in ("one", "two"))
    for first, second, begun in zip(one, two, start.to_darknet(0).layers, strict=True):
        if first is not None and second is not None and begun is not None:
            way = np.linalg.norm(first.kernel - begun.kernel)
            assert way > 0.05
            assert np.linalg.norm(first.kernel - second.kernel) < 0.01 * way
