"""A Darknet network of a few thousand weights with two heads, for tests that pack or train: 64x64, three classes."""

from pathlib import Path

from random_weights import random_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import NetworkPlan, plan_network
from vedette.learn.darknet.weights import write_weights

CLASSES = ("bolt", "nut", "washer")
CFG = """
[net]
width=64
height=64
channels=3
{net}

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[maxpool]
size=2
stride=1

[convolutional]
filters=24
size=1
stride=1
activation=linear

[yolo]
mask=2,3,4
anchors=4,6, 8,10, 16,20, 30,24, 40,44
classes=3
num=5
{yolo}

[route]
layers=-5

[convolutional]
filters=16
size=1
stride=1
activation=linear

[yolo]
mask=0,1
anchors=4,6, 8,10, 16,20, 30,24, 40,44
classes=3
num=5
{yolo}
"""


def make_plan(net: str = "", yolo: str = "") -> NetworkPlan:
    """The network's plan; `net` and `yolo` are further lines of those sections."""
    return plan_network(parse_cfg(CFG.format(net=net, yolo=yolo), "small.cfg"))


def write_network(folder: Path, net: str = "", yolo: str = "", seed: int = 0) -> tuple[Path, Path, Path]:
    """small.cfg, small.weights (random) and small.names in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg, weights, names = (folder / f"small.{ending}" for ending in ("cfg", "weights", "names"))
    cfg.write_text(CFG.format(net=net, yolo=yolo))
    plan = make_plan(net, yolo)
    write_weights(weights, plan, random_weights(plan, seed))
    names.write_text("".join(f"{name}\n" for name in CLASSES))
    return cfg, weights, names
