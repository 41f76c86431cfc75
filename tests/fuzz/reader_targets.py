"""What is fuzzed: each reader of files from strangers, its seeds, and the only errors it may raise.

A target takes any bytes. It returns when they were read, or refused as documented: with one of `refusals`, whose
message is one line. Everything else is a finding: another exception, or more than a second of processor time.
"""

import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.errors import CfgError, DarknetError, WeightsError
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.darknet.zoo import make_cfg
from vedette.learn.data.coco_json import CocoPlace, read_coco
from vedette.learn.data.errors import DataError
from vedette.learn.data.problems import Problem
from vedette.learn.data.voc import VocPlace, read_voc
from vedette.learn.export.half_precision import half_precision_warnings

MOST_SECONDS = 1.0

WEIGHTS_CFG = """[net]
width=32
height=32
channels=1
[convolutional]
batch_normalize=1
filters=2
size=1
activation=leaky
[convolutional]
filters=6
size=1
activation=linear
[yolo]
anchors=4,4
classes=1
num=1
"""
VOC_SEED = (
    "<annotation><filename>a.jpg</filename><size><width>40</width><height>30</height></size><object><name>cat</name>"
    "<difficult>0</difficult><truncated>1</truncated><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9.5</xmax>"
    "<ymax>20</ymax></bndbox></object></annotation>"
)
COCO_SEED = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}],
    "categories": [{"id": 3, "name": "cat"}],
}


class SlowReadError(Exception):
    """A reader took longer than a small file may take."""


@dataclass(frozen=True)
class Target:
    """A reader, what it may refuse with, and examples to start from."""

    read: Callable[[bytes, Path], object]  # the bytes, and an empty folder of its own
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...]  # what a fuzzer may splice in

    def check(self, content: bytes, folder: Path) -> bool:
        """Whether the bytes were read, and not refused.

        Raises:
            AssertionError: a refusal of several lines.
            SlowReadError: too slow.
            Exception: any other is a finding.
        """
        began = time.process_time()
        try:
            self.read(content, folder)
            return True
        except self.refusals as error:
            if "\n" in str(error).strip() or not str(error):
                raise AssertionError(f"not one line: {str(error)!r}") from error
            return False
        finally:
            seconds = time.process_time() - began
            if seconds > MOST_SECONDS:
                raise SlowReadError(f"{seconds:.1f} s for {len(content)} bytes")


def read_cfg_bytes(content: bytes, folder: Path) -> None:
    plan = plan_network(parse_cfg(content.decode("utf-8-sig", errors="replace")))
    assert plan.params >= 0
    assert plan.bflops >= 0


def read_weights_bytes(content: bytes, folder: Path) -> None:
    path, plan = folder / "a.weights", plan_network(parse_cfg(WEIGHTS_CFG))
    path.write_bytes(content)
    weights = read_weights(path, plan, partial=bool(content) and content[-1] % 2 == 1)
    assert weights.layers_loaded <= len(plan.layers)
    assert all("\n" not in warning for warning in half_precision_warnings(plan, weights))


def read_voc_bytes(content: bytes, folder: Path) -> None:
    path, problems = folder / "a.xml", list[Problem]()
    path.write_bytes(content)
    data = read_voc(VocPlace(folder, folder, folder, path), None, problems.append)
    assert all(folder in sample.picture.parents for sample in data.samples)
    assert data.samples or problems  # nothing is dropped in silence


def read_coco_bytes(content: bytes, folder: Path) -> None:
    path, problems = folder / "instances.json", list[Problem]()
    path.write_bytes(content)
    data = read_coco(CocoPlace(folder, (path,)), None, problems.append)
    assert all(folder in sample.picture.parents for sample in data.samples)


TARGETS = {
    "cfg": Target(
        read_cfg_bytes,
        (CfgError,),
        (WEIGHTS_CFG.encode(), make_cfg("yolov3-tiny", 2, 64, 64).encode()),
        (
            *("[net]", "[convolutional]", "[maxpool]", "[route]", "[shortcut]", "[upsample]", "[reorg]", "[region]"),
            *("[yolo]", "[dropout]", "[avgpool]", "[scale_channels]", "layers=", "from=", "filters=", "size="),
            *("stride=", "groups=", "group_id=", "padding=", "pad=1", "mask=", "anchors=", "num=", "classes="),
            *(
                "activation=",
                "batch_normalize=1",
                "width=",
                "height=",
                "channels=",
                "scale=",
                "2147483647",
                "-1",
                "1e999",
            ),
        ),
    ),
    "weights": Target(
        read_weights_bytes,
        (WeightsError,),
        (
            struct.pack("<iiiQ", 0, 2, 5, 64) + struct.pack("<28f", *[0.5] * 28),
            struct.pack("<iiiI", 0, 1, 0, 64) + struct.pack("<28f", *[0.5] * 28),
            struct.pack("<iiiQ", 0, 2, 5, 64) + struct.pack("<10f", *[0.5] * 10),
        ),
        ("\x00\x00\x80\x7f", "\x00\x00\xc0\x7f", "\x00\x00\x80\xbf"),
    ),
    "voc": Target(
        read_voc_bytes,
        (DataError,),
        (VOC_SEED.encode(), VOC_SEED.encode("utf-16")),
        (
            *(
                "<annotation>",
                "</annotation>",
                "<object>",
                "<part>",
                "<name>",
                "<bndbox>",
                "<xmin>",
                "<size>",
                "<width>",
            ),
            *("<filename>", "<!DOCTYPE a [", "<!ENTITY x ", "&x;", "<![CDATA[", "]]>", "<?xml encoding=", "../", "nan"),
        ),
    ),
    "coco": Target(
        read_coco_bytes,
        (DataError,),
        (json.dumps(COCO_SEED).encode(),),
        (
            *('"images":', '"annotations":', '"categories":', '"id":', '"name":', '"file_name":', '"width":'),
            *(
                '"bbox":',
                '"image_id":',
                '"category_id":',
                '"iscrowd":',
                "NaN",
                "Infinity",
                "1e999",
                "true",
                "null",
                "../",
            ),
        ),
    ),
}
assert all(issubclass(error, DarknetError | DataError) for target in TARGETS.values() for error in target.refusals)
