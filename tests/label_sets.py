"""Small labelled data sets on disk, in every layout, for the tests of `vedette.learn.data`."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

Box = tuple[float, float, float, float]
VocObject = tuple[str, Box]  # name, (xmin, ymin, xmax, ymax) as VOC writes them


def write_picture(path: Path, width_px: int = 40, height_px: int = 30, seed: int | None = None) -> Path:
    """A picture of noise; another seed (by default from the name) gives other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(sum(path.name.encode()) if seed is None else seed)
    image = chance.integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)  # (height, width, 3) uint8
    assert cv2.imwrite(str(path), image)
    return path


def voc_xml(
    objects: Sequence[VocObject], size: tuple[int, int] = (40, 30), filename: str = "a.jpg", extra: str = ""
) -> str:
    text = f"<annotation><filename>{filename}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
    for name, (xmin, ymin, xmax, ymax) in objects:
        text += (
            f"<object><name>{name}</name>{extra}<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
            f"<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        )
    return text + "</annotation>"


def write_voc(
    root: Path,
    samples: dict[str, Sequence[VocObject]],
    splits: dict[str, Sequence[str]] | None = None,
    folders: tuple[str, str] = ("Annotations", "JPEGImages"),
    extra: str = "",
) -> Path:
    for number, (name, objects) in enumerate(samples.items()):
        write_picture(root / folders[1] / f"{name}.jpg", seed=number)
        path = root / folders[0] / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(voc_xml(objects, filename=html.escape(f"{name}.jpg"), extra=extra))
    for split, names in (splits or {}).items():
        path = root / "ImageSets" / "Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))
    return root


def write_yolo(
    root: Path, splits: dict[str, dict[str, str]], names: object = ("cat", "dog"), yaml_extra: str = ""
) -> Path:
    """images/SPLIT/NAME.jpg with labels/SPLIT/NAME.txt; `splits` maps split -> name -> label text."""
    number = 0
    for split, samples in splits.items():
        for name, text in samples.items():
            write_picture(root / "images" / split / f"{name}.jpg", seed=(number := number + 1))
            path = root / "labels" / split / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    lines = [f"{split}: images/{split}" for split in splits]
    (root / "data.yaml").write_text("\n".join([yaml_extra, *lines, f"names: {json.dumps(names)}", ""]))
    return root


def write_coco(root: Path, images: Sequence[dict[str, object]], annotations: Sequence[dict[str, object]]) -> Path:
    for number, image in enumerate(images):
        write_picture(root / "images" / str(image["file_name"]), seed=number)
    categories = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]
    document = {"images": list(images), "annotations": list(annotations), "categories": categories}
    (root / "instances.json").write_text(json.dumps(document))
    return root
