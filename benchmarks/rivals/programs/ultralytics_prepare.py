"""Ultralytics' own yolov3-tiny, made from its own yaml with random weights, and its OpenVINO INT8 export.

    python ultralytics_prepare.py FOLDER HEIGHT WIDTH OBJECTS BATCH PICTURE...

Only for measuring speed: it finds about OBJECTS objects a picture, which mean nothing. The last convolutions are set so
that this many cells say yes, most of the others a clear no, as a trained net's do. Writes FOLDER/measured.pt and
FOLDER/measured_int8_openvino_model. Ultralytics is AGPL-3.0: this is a program of its own that is run once, in an
environment of its own, by whoever installs it there; nothing imports it and nothing depends on it.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision_stand_in
from ultralytics import YOLO

SPREAD, NEAR_BIN = 20.0, 1  # of the logits; a box's sides are about this many strides from its cell


def main() -> None:
    folder, sides, pictures = Path(sys.argv[1]), [int(side) for side in sys.argv[2:4]], sys.argv[6:]
    objects, batch = float(sys.argv[4]), int(sys.argv[5])
    torchvision_stand_in.provide()
    torch.manual_seed(1)
    model = YOLO("yolov3-tiny.yaml")
    head = model.model.model[-1]
    images = read(pictures, sides)
    settle(model.model, images)
    with torch.no_grad():
        for boxes, classes in zip(head.cv2, head.cv3, strict=True):
            boxes[-1].weight *= 0.1
            boxes[-1].bias.view(4, -1)[:] = 0
            boxes[-1].bias.view(4, -1)[:, NEAR_BIN] = 6.0
            classes[-1].weight[1:] *= 0.1
            classes[-1].bias[:] = -12.0
    share = find_share(model, images, objects)
    print(f"share of cells {share:.5f}, objects a picture {found(model, images):.1f}")
    path = folder / "measured.pt"
    model.save(path)
    data = write_calibration(folder / "calibration", pictures)
    exported = YOLO(path).export(format="openvino", int8=True, data=data, imgsz=sides, batch=batch, fraction=1.0)
    target = folder / "measured_int8_openvino_model"
    if Path(exported).resolve() != target.resolve():
        shutil.rmtree(target, ignore_errors=True)
        Path(exported).rename(target)


def read(paths: Sequence[str], sides: Sequence[int]) -> torch.Tensor:
    """(pictures, 3, height, width) float32 RGB 0..1"""
    import cv2
    import numpy as np

    pictures = [cv2.resize(cv2.imread(path), sides[::-1])[:, :, ::-1] for path in paths]
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))).float() / 255


def settle(network: Any, images: torch.Tensor) -> None:
    """Batch-norm statistics of these pictures, so that activations are of everyday size."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        network.train()
        network(images)
        network.eval()


def find_share(model: YOLO, images: torch.Tensor, objects: float) -> float:
    """Set the first class's logits so that the wanted number of objects is found after suppression."""
    head = model.model.model[-1]
    raw = {}
    hooks = [
        branch[-1].register_forward_hook(lambda _, __, out, n=n: raw.update({n: out[:, 0]}))
        for n, branch in enumerate(head.cv3)
    ]
    with torch.no_grad():
        model.model.eval()(images)
    for hook in hooks:
        hook.remove()
    original = [(branch[-1].weight[0].clone(), raw[n] - branch[-1].bias[0]) for n, branch in enumerate(head.cv3)]
    low, high = 0.0, 0.5
    for _ in range(12):
        share = (low + high) / 2
        with torch.no_grad():
            for (weight, logits), branch in zip(original, head.cv3, strict=True):
                steeper = SPREAD / logits.std()
                branch[-1].weight[0] = weight * steeper
                branch[-1].bias[0] = -steeper * torch.quantile(logits.flatten().float(), 1 - share)
        low, high = (share, high) if found(model, images) < objects else (low, share)
    return share


def found(model: YOLO, images: torch.Tensor) -> float:
    from ultralytics.utils.nms import non_max_suppression

    with torch.no_grad():
        raw = model.model.eval()(images)
    kept = non_max_suppression(raw[0] if isinstance(raw, (tuple, list)) else raw, 0.25, 0.7)
    return sum(len(picture) for picture in kept) / len(images)


def write_calibration(folder: Path, pictures: Sequence[str]) -> str:
    """A data set in Ultralytics' layout: the pictures, each with one label that nothing reads."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for path in map(Path, pictures):
        shutil.copy(path, folder / "images" / path.name)
        (folder / "labels" / f"{path.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    names = "\n".join(f"  {n}: class{n}" for n in range(80))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images\nval: images\nnames:\n{names}\n")
    return str(folder / "data.yaml")


if __name__ == "__main__":
    main()
