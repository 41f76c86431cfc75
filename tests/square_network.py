"""A Darknet network whose weights are chosen, not trained, so that it finds coloured squares with mAP50 1.

Input 64x64, one cell of 16 pixels for each square; the first convolution takes the mean colour of a cell, the second
decides. With `hostile` the first gives one more channel, thousands of times larger, that the second does not look at:
in FP32 it changes nothing, in 8 bits a tensor of such a range leaves the colours no value but zero.
"""

from pathlib import Path

import cv2
import numpy as np

from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import NetworkPlan, plan_network
from vedette.learn.darknet.weights import ConvolutionalWeights, DarknetWeights, write_weights

SIDE_PX, CELL_PX = 64, 16
CLASSES = ("red", "green", "blue")
BGR = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}
STEEP = 40.0
LARGE = 10_000.0
CFG = """
[net]
width=64
height=64
channels=3

[convolutional]
filters=4
size=16
stride=16
pad=0
activation=linear

[convolutional]
filters=8
size=1
stride=1
activation=linear

[yolo]
mask=0
anchors=16,16
classes=3
num=1
"""


def make_plan() -> NetworkPlan:
    return plan_network(parse_cfg(CFG, "squares.cfg"))


def make_weights(hostile: bool = False) -> DarknetWeights:
    mean = np.zeros((4, 3, 16, 16), np.float32)  # (filters, RGB, 16, 16)
    for colour in range(3):
        mean[colour, colour] = 1 / 256
    mean[3] = LARGE / 768 if hostile else 0.0
    decide = np.zeros((8, 4, 1, 1), np.float32)  # (4 box + objectness + 3 classes, channels, 1, 1)
    decide[4, :3] = STEEP
    biases = np.zeros(8, np.float32)
    biases[4] = -STEEP / 2
    for colour in range(3):
        decide[5 + colour, :3] = -STEEP
        decide[5 + colour, colour] = STEEP
        biases[5 + colour] = -STEEP / 2
    layers = (
        ConvolutionalWeights(np.zeros(4, np.float32), None, mean),
        ConvolutionalWeights(biases, None, decide),
        None,
    )
    return DarknetWeights(0, 2, 5, 0, layers, 3)


def write_network(folder: Path, hostile: bool = False) -> tuple[Path, Path, Path]:
    """squares.cfg, squares.weights and squares.names in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg, weights, names = (folder / f"squares.{ending}" for ending in ("cfg", "weights", "names"))
    cfg.write_text(CFG)
    write_weights(weights, make_plan(), make_weights(hostile))
    names.write_text("".join(f"{name}\n" for name in CLASSES))
    return cfg, weights, names


def make_picture(number: int) -> tuple[np.ndarray, str, tuple[int, int]]:
    """A black picture with one square, its class, and its left top corner."""
    rng = np.random.default_rng(number)
    name = CLASSES[number % 3]
    left, top = (int(value) * CELL_PX for value in rng.integers(0, SIDE_PX // CELL_PX, 2))
    picture = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    picture[top : top + CELL_PX, left : left + CELL_PX] = BGR[name]
    return picture, name, (left, top)


def write_voc(folder: Path, count: int) -> Path:
    """Labelled pictures of squares."""
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        picture, name, (left, top) = make_picture(number)
        cv2.imwrite(str(folder / "JPEGImages" / f"p{number:02d}.png"), picture)
        box = f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{left + CELL_PX}</xmax><ymax>{top + CELL_PX}</ymax>"
        (folder / "Annotations" / f"p{number:02d}.xml").write_text(
            f"<annotation><filename>p{number:02d}.png</filename><size><width>{SIDE_PX}</width><height>{SIDE_PX}"
            f"</height><depth>3</depth></size><object><name>{name}</name><bndbox>{box}</bndbox></object></annotation>"
        )
    return folder


def write_splits(folder: Path, **splits: range) -> None:
    """ImageSets of a folder that `write_voc` wrote."""
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for name, numbers in splits.items():
        (sets / f"{name}.txt").write_text("".join(f"p{number:02d}\n" for number in numbers))
