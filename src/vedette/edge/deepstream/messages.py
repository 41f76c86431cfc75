"""NVIDIA's messages (nvmsgconv) as plain values: the minimal payload, one a frame, and the full one, one an object.

Guarantees: any bytes give a `Message` or a `MessageError`; an object that makes no sense is left out and counted, the
others of its frame are kept. Boxes are as they were sent: pixels of the muxer (the new API's scale comes to 1).
A minimal object is `track|left|top|right|bottom|label[|#|attribute...|confidence]`; its confidence is there only when
a classifier ran. 18446744073709551615 is the track of what is not tracked. Source: DeepStream 9.1, nvmsgconv.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from vedette.edge.deepstream.errors import MessageError

UNTRACKED = 0xFFFF_FFFF_FFFF_FFFF
MOST_BYTES = 4 << 20
MOST_OBJECTS = 10_000
LARGEST_PX = 1e6
_CORNERS = ("topleftx", "toplefty", "bottomrightx", "bottomrighty")
_NO_CLASS = {"id", "speed", "direction", "orientation", "bbox", "location", "coordinate", "embedding", "pose"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SeenObject:
    """One object of a frame. `track_id` is None where nothing tracks it, `score` where the message does not say it."""

    track_id: int | None
    class_name: str
    box_xyxy_mux_px: Box
    score: float | None


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `frame` is None in full payloads, where each object has a message of its own."""

    sensor: str
    time_unix_s: float
    frame: int | None
    objects: tuple[SeenObject, ...]
    refused: int = 0  # objects that made no sense


def read_message(payload: bytes, labels: Sequence[str] = ()) -> Message:
    """Read one message; `labels` tell a full payload's class from its kind.

    Raises:
        MessageError: it is none of NVIDIA's, or its camera or time cannot be read.
    """
    if len(payload) > MOST_BYTES:
        raise MessageError(f"a message of {len(payload)} bytes; that is none of NVIDIA's")
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MessageError("a message is no JSON") from error
    if not isinstance(document, dict):
        raise MessageError("a message is no JSON object")
    if isinstance(document.get("objects"), list) and "sensorId" in document:
        return _read_minimal(document)
    if isinstance(document.get("sensor"), dict):
        return _read_full(document, labels)
    raise MessageError("a message is neither a minimal nor a full one of NVIDIA's")


def _read_minimal(document: Mapping[str, Any]) -> Message:
    entries = document["objects"]
    if len(entries) > MOST_OBJECTS:
        raise MessageError(f"a message of {len(entries)} objects")
    objects = [_minimal_object(entry) for entry in entries]
    kept = tuple(one for one in objects if one is not None)
    frame = str(document.get("id", ""))
    number = int(frame) if re.fullmatch(r"\d{1,18}", frame) else None
    if number is None:
        raise MessageError("a minimal message has no frame number")
    return Message(_sensor(document["sensorId"]), _time(document), number, kept, len(objects) - len(kept))


def _minimal_object(entry: Any) -> SeenObject | None:
    fields = entry.split("|") if isinstance(entry, str) else []
    if len(fields) < 6:
        return None
    label, attributes = fields[5:], []
    if "#" in label:
        mark = label.index("#")
        label, attributes = label[:mark], label[mark + 1 :]
    return _seen(fields[0], "|".join(label), fields[1:5], attributes[-1] if attributes else None)


def _read_full(document: Mapping[str, Any], labels: Sequence[str]) -> Message:
    sensor = _sensor(document["sensor"].get("id"))
    seen, found = document.get("object"), None
    if isinstance(seen, dict):
        bbox = seen.get("bbox")
        corners = [bbox.get(name) for name in _CORNERS] if isinstance(bbox, dict) else []
        label, score = _full_class(seen, labels)
        found = _seen(seen.get("id"), label, corners, score)
    refused = 0 if seen is None or found is not None else 1
    return Message(sensor, _time(document), None, () if found is None else (found,), refused)


def _full_class(seen: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, Any]:
    """Class and confidence: the key that is no field of every object, or its `type` where only that is a label."""
    for key, value in seen.items():
        if key not in _NO_CLASS and isinstance(value, dict):
            kind = str(value.get("type"))
            return (kind if key not in labels and kind in labels else key), value.get("confidence")
    return "", None


def _seen(track: Any, label: str, corners: Sequence[Any], score: Any) -> SeenObject | None:
    """An object, unless a part of it cannot be."""
    number = str(track).strip()
    box = [_float(value) for value in corners]
    if not re.fullmatch(r"-?\d{1,20}", number) or not label.strip() or len(box) != 4:
        return None
    x1, y1, x2, y2 = (math.nan if value is None or abs(value) > LARGEST_PX else value for value in box)
    if not (x1 < x2 and y1 < y2):  # false for nan too
        return None
    identity = int(number)
    confidence = _float(score)
    return SeenObject(
        track_id=identity if 0 <= identity < UNTRACKED else None,
        class_name=label.strip()[:64],
        box_xyxy_mux_px=(x1, y1, x2, y2),
        score=confidence if confidence is not None and 0 <= confidence <= 1 else None,
    )


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _sensor(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise MessageError("a message names no sensor: give each source a [sensorN] in the message converter's file")
    return value[:256]


def _time(document: Mapping[str, Any]) -> float:
    match = _TIME.fullmatch(str(document.get("@timestamp")))
    if match is None:
        raise MessageError("a message has no time that can be read (@timestamp)")
    zone = "+00:00" if match[3] == "Z" else match[3]
    try:
        whole = datetime.fromisoformat(match[1] + zone).astimezone(timezone.utc).timestamp()
    except (ValueError, OverflowError) as error:
        raise MessageError("a message's time is in no calendar (@timestamp)") from error
    return whole + float(match[2] or 0)
