"""The detector that all but Ultralytics run: yolov3-tiny in Darknet's format with random weights, made for speed only.

Its detections mean nothing. A usual number of cells of each picture say yes, all others a clear no, so that every side
has about as many boxes to suppress and objects to track. From the one pair of cfg and weights come what OpenCV reads,
our bundle (with its INT8 variant, calibrated on frames of the clip), and the hand-written loop's INT8 model.
"""

import contextlib
import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLASSES = 80
CELLS_FOUND = 26  # a frame, before suppression, which leaves about OBJECTS
OBJECTS = 15
SPREAD = 20.0  # standard deviation of the objectness logits
PICTURES = 30  # of the clip, for calibration


@dataclass(frozen=True, slots=True)
class MadeDetector:
    """Where everything of one input size lies."""

    cfg: Path
    weights: Path
    bundle: Path
    anchors: Path  # JSON: for each head its (width, height) pairs, pixels of the input

    @property
    def onnx(self) -> Path:
        return self.bundle / "model.onnx"


def make_detector(folder: Path, pictures: Sequence[Path], width: int, height: int, precision: str) -> MadeDetector:
    """Draw weights, set their heads by the pictures, write cfg and weights, pack the bundle with the variant."""
    import torch

    from vedette.learn.darknet.cfg import parse_cfg
    from vedette.learn.darknet.network import DarknetNetwork
    from vedette.learn.darknet.plan import plan_network
    from vedette.learn.darknet.weights import write_weights
    from vedette.learn.darknet.zoo import make_cfg

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = MadeDetector(folder / "model.cfg", folder / "model.weights", folder / "bundle", folder / "anchors.json")
    text = make_cfg("yolov3-tiny", CLASSES, width, height)
    made.cfg.write_text(text, encoding="utf-8")
    plan = plan_network(parse_cfg(text))
    torch.manual_seed(1)
    network = DarknetNetwork(plan).eval()
    _set_heads(network, _read(pictures, width, height))
    write_weights(made.weights, plan, network.to_darknet(seen=0))
    made.anchors.write_text(json.dumps([head.anchors for head in plan.heads]), encoding="utf-8")
    names = folder / "names.txt"
    names.write_text("\n".join(f"class{n}" for n in range(CLASSES)), encoding="utf-8")
    arguments = ["--cfg", made.cfg, "--weights", made.weights, "--names", names, "--out", made.bundle]
    if precision == "int8":
        arguments += ["--variants", "fp32,int8_openvino", "--calibration", _data_set(folder / "calibration", pictures)]
    _pack([str(argument) for argument in arguments])
    return made


def write_pictures(clip: Path, folder: Path, count: int = PICTURES) -> list[Path]:
    """Frames of the clip, evenly spread, as JPEG."""
    import av
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        step = max(stream.frames // count, 1)
        for number, frame in enumerate(container.decode(stream)):
            if number % step == step // 2 and len(written) < count:
                written.append(folder / f"{clip.stem}-{number:05}.jpg")
                cv2.imwrite(str(written[-1]), frame.to_ndarray(format="bgr24"))
    return written


def quantise(python: str, made: MadeDetector, pictures: Sequence[Path]) -> Path:
    """The hand-written loop's own INT8 model, made by NNCF in its environment from our ONNX."""
    target = made.bundle.parent / "handwritten-int8.xml"
    program = Path(__file__).parent / "programs" / "openvino_quantise.py"
    command = [python, str(program), str(made.onnx), str(target), *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{program.name} failed:\n{done.stderr[-2000:]}")
    return target


def _pack(arguments: list[str]) -> None:
    from vedette.apps.cli import run_command

    with contextlib.redirect_stdout(io.StringIO()):
        code = run_command(["pack", *arguments])
    if code != 0:
        raise SystemExit(f"packing failed with exit code {code}")


def _data_set(folder: Path, pictures: Sequence[Path]) -> Path:
    """The pictures in Darknet's layout, each with one label: what `--calibration` reads."""
    folder.mkdir(exist_ok=True)
    for path in pictures:
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / f"{path.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(f"class{n}" for n in range(CLASSES)), encoding="utf-8")
    return folder


def _read(pictures: Sequence[Path], width: int, height: int) -> Any:
    """(pictures, 3, height, width) float32 RGB 0..1"""
    import cv2
    import numpy as np
    import torch

    read = [cv2.resize(cv2.imread(str(path)), (width, height))[:, :, ::-1] for path in pictures]
    return torch.from_numpy(np.ascontiguousarray(np.stack(read).transpose(0, 3, 1, 2))).float() / 255


def _set_heads(network: Any, images: Any) -> None:
    """About CELLS_FOUND cells a picture get an objectness above 1/2, all of class 0 and of the anchor's own size."""
    import torch

    with torch.no_grad():
        for head, convolution in zip(network.plan.heads, network.head_convolutions(), strict=True):
            anchors = len(head.anchors)
            weight = convolution.weight.view(anchors, 5 + CLASSES, -1)
            weight[:, :4] *= 0.1
            weight[:, 5:] *= 0.1
            bias = torch.zeros(anchors, 5 + CLASSES)
            bias[:, 5:], bias[:, 5] = -8.0, 4.0
            convolution.bias.copy_(bias.flatten())
        for number, convolution in enumerate(network.head_convolutions()):
            raw = network(images)[number]  # (pictures, anchors * (5 + classes), height, width)
            objectness = raw.view(len(raw), -1, 5 + CLASSES, *raw.shape[2:])[:, :, 4].flatten()
            steeper = SPREAD / objectness.std()  # so that few cells lie between yes and no
            convolution.weight.view(-1, 5 + CLASSES, convolution.in_channels)[:, 4] *= steeper
            share = CELLS_FOUND * len(raw) / 2 / len(objectness)
            convolution.bias.view(-1, 5 + CLASSES)[:, 4] = -steeper * torch.quantile(objectness, 1 - share)
