"""A data set as every reader returns it and every consumer takes it: labelled pictures, whatever the format was.

Coordinates are continuous source pixels with (0, 0) at the outer corner of the top left pixel. PASCAL VOC's 1-based,
inclusive integers (xmin, xmax) therefore become (xmin - 1, xmax), exactly (facts of the VOC 2007 development kit).
A sample may be broken (a box outside the picture, a missing file): readers keep what the file says, `check` judges it,
and only `usable()` gives what training and evaluation may take.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType


class Layout(str, Enum):
    """The formats a data set can lie in."""

    VOC = "voc"
    DARKNET = "darknet"
    YOLO = "yolo"
    COCO = "coco"
    MANIFEST = "manifest"  # of Ground Truth; read, never written


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """One labelled object. `difficult` objects are left out of training and neither reward nor punish in evaluation."""

    class_name: str
    box_xyxy_px: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    crowd: bool = False  # COCO `iscrowd`: a group, ignored like `difficult`
    score: float | None = None  # of the detector that labelled it, in 0..1; None: a person did


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its objects. Width and height are those that the labels claim (0 when they claim none)."""

    name: str  # unique in the data set: the picture's path below the root, without extension
    picture: Path
    width_px: int
    height_px: int
    objects: tuple[LabelledObject, ...]
    labels: Path | None = None  # the file the objects were read from
    line: int | None = None  # where in that file, when it labels one picture a line; counted from 1


@dataclass(frozen=True, slots=True)
class DataSet:
    """Labelled pictures in a stated order, their classes in index order, and named splits (tuples of sample names)."""

    root: Path
    layout: Layout
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def subset(self, split: str) -> "DataSet":
        """Only the samples of one split, in the split's order.

        Raises:
            KeyError: when there is no such split.
        """
        by_name = {sample.name: sample for sample in self.samples}
        return replace(self, samples=tuple(by_name[name] for name in self.splits[split] if name in by_name))

    def digest(self) -> str:
        """SHA-256 (hexadecimal) over classes, names, sizes, boxes, flags and the bytes of every picture.

        Reads every picture once; no paths, no times. A missing picture counts as such: a set with a hole has another
        digest.
        """
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for sample in self.samples:
            content = hashlib.sha256(sample.picture.read_bytes()).hexdigest() if sample.picture.is_file() else "missing"
            objects = [(o.class_name, o.box_xyxy_px, o.difficult, o.truncated, o.crowd) for o in sample.objects]
            digest.update(json.dumps([sample.name, sample.width_px, sample.height_px, content, objects]).encode())
        return digest.hexdigest()
