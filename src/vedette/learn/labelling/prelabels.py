"""One pre-label: a VOC annotation with the score of every object and one line that says what made it.

The line `<prelabel .../>` holds a digest of the rest of the file. Whoever corrects a pre-label, by an editor or by a
labelling program (which writes the file anew), breaks it or drops it: from then on the file is a person's work and is
never overwritten. Other readers of VOC pass over both elements. Boxes are rounded to whole pixels, as VOC has them.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.sax.saxutils import quoteattr

from vedette.contracts.detections import Detections
from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import read_bytes
from vedette.learn.data.samples import LabelledObject
from vedette.learn.data.voc_xml import MAX_BYTES
from vedette.learn.data.writers import Placed, voc_xml

MARK = re.compile(rb'\t<prelabel key="([0-9a-f]{64})" picture_bytes="(\d{1,18})" digest="([0-9a-f]{64})"[^\n]*/>\n')
END = "</annotation>\n"


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes pre-labels: the bundle's name, and a key of everything that decides what is found."""

    name: str
    key: str


def maker_of(name: str, settings: Mapping[str, object]) -> Maker:
    """The key is a digest of the settings: the bundle's digest, engine, thresholds, classes, ..."""
    return Maker(name, hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest())


class State(Enum):
    """What stands where a pre-label is to be written."""

    NOTHING = "nothing"
    DONE = "done"  # the pre-label that would be written
    OUTDATED = "outdated"  # a pre-label of another bundle, other settings or another picture
    BY_HAND = "by hand"  # a person's work, or that of another program


def state_of(annotation: Path, maker: Maker, picture_bytes: int) -> State:
    """Judge an annotation file; one that cannot be read is a person's."""
    if not annotation.exists():
        return State.NOTHING
    try:
        content = read_bytes(annotation, MAX_BYTES)
    except DataError:
        return State.BY_HAND
    found = MARK.search(content)
    if found is None:
        return State.BY_HAND
    rest = content[: found.start()] + content[found.end() :]
    key, stated_bytes, digest = (part.decode() for part in found.groups())
    if hashlib.sha256(rest).hexdigest() != digest:
        return State.BY_HAND
    return State.DONE if (key, int(stated_bytes)) == (maker.key, picture_bytes) else State.OUTDATED


def prelabel(sample: Placed, maker: Maker, picture_bytes: int) -> bytes:
    """The annotation file."""
    text = voc_xml(sample)
    digest = hashlib.sha256(text.encode()).hexdigest()
    facts = f'key="{maker.key}" picture_bytes="{picture_bytes}" digest="{digest}" by={quoteattr(maker.name)}'
    return f"{text.removesuffix(END)}\t<prelabel {facts}/>\n{END}".encode()


def objects_of(
    found: Detections, width_px: int, height_px: int, classes: Collection[str]
) -> tuple[LabelledObject, ...]:
    """Detections of some classes as objects in whole pixels inside the picture, at least one pixel large."""
    objects = []
    for name, score, box in zip(found.names.tolist(), found.scores, found.boxes_xyxy_px.tolist(), strict=True):
        left, top, right, bottom = box
        if name not in classes or right <= 0 or bottom <= 0 or left >= width_px or top >= height_px:
            continue
        x, y = (min(max(round(low), 0), side - 1) for low, side in ((left, width_px), (top, height_px)))
        corners = (x, y, max(min(round(right), width_px), x + 1), max(min(round(bottom), height_px), y + 1))
        exact = float(str(score))  # the shortest decimal that is this float32
        objects.append(LabelledObject(name, tuple(float(value) for value in corners), score=exact))  # type: ignore[arg-type]
    return tuple(objects)
