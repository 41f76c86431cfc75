"""Which keys each kind of DeepStream file may hold, and how the program that reads it asks for them.

The tables are the JSON files beside this module, each with its source. `LATER` and `ENDED` say what versions lack.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from importlib import resources

from vedette.edge.deepstream.key_file import KeyFile
from vedette.edge.deepstream.key_values import ValueKind


class FileKind(str, Enum):
    """What reads a key file. `OTHER`: something whose keys are not known here."""

    APP = "deepstream-app"
    NVINFER = "nvinfer"
    ANALYTICS = "nvdsanalytics"
    CONVERTER = "message converter"
    BROKER = "message broker"
    TRACKER = "tracker"
    OTHER = "key file"


_FILES = {
    FileKind.APP: "app_keys.json",
    FileKind.NVINFER: "nvinfer_keys.json",
    FileKind.ANALYTICS: "analytics_keys.json",
    FileKind.CONVERTER: "message_keys.json",
    FileKind.BROKER: "message_keys.json",
    FileKind.TRACKER: "tracker_keys.json",
}
_NVINFER_MARKS = {
    "net-scale-factor", "onnx-file", "model-engine-file", "num-detected-classes", "network-mode", "labelfile-path",
    "gie-unique-id", "network-type", "model-file", "uff-file", "tlt-encoded-model", "cluster-mode",
}  # fmt: skip

# The first version that is known to read a key; older ones may, and warn of keys that they do not know.
LATER: dict[tuple[FileKind, str], tuple[str, str]] = {
    (FileKind.NVINFER, key): ("9.0", "first seen in the source of 9.0, in no public configuration for older versions")
    for key in ("strongly-typed", "dynamic-properties", "warmup-engine", "stabilize-buffer-count")
} | {
    (FileKind.APP, key): ("7.0", "not in NvDsSinkMsgConvBrokerConfig of the 6.4 API reference, but in that of 8.0")
    for key in ("msg-conv-dummy-payload", "msg-conv-embedding-filter", "sleep-time")
}
# The first version that cannot use a key any more.
ENDED: dict[tuple[FileKind, str], tuple[str, str]] = {
    (FileKind.NVINFER, key): ("7.1", "TensorRT 10, which 7.1 came with, has no UFF parser")
    for key in ("uff-file", "uff-input-blob-name", "uff-input-order", "uff-input-dims")
} | {(FileKind.NVINFER, "proto-file"): ("7.1", "TensorRT 10, which 7.1 came with, has no Caffe parser")}


@dataclass(frozen=True, slots=True)
class KeyTable:
    """Groups by pattern (`%d` a number), in each the keys by name (`*` at the end: any that begins so)."""

    source: str
    groups: Mapping[str, Mapping[str, ValueKind]]
    legacy: Mapping[str, Mapping[str, ValueKind]]

    def pattern_of(self, group: str) -> str | None:
        """Under which pattern a group's keys are listed, or None."""
        if group in self.groups:
            return group
        numbered = re.sub(r"[0-9]+$", "%d", group)
        return numbered if numbered in self.groups else None

    def kind_of(self, pattern: str, key: str) -> ValueKind | None:
        """How a key is read, or None when it is not."""
        keys = self.groups[pattern]
        if key in keys:
            return keys[key]
        return next(
            (
                kind
                for name, kind in keys.items()
                if name.endswith("*") and key.startswith(name[:-1]) and key != name[:-1]
            ),
            None,
        )


@lru_cache
def key_table(kind: FileKind) -> KeyTable:
    """The table of one kind of file; `OTHER` has none."""
    text = resources.files("vedette.edge.deepstream").joinpath(_FILES[kind]).read_text("utf-8")
    document = json.loads(text)

    def typed(groups: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, ValueKind]]:
        return {group: {key: ValueKind(kind) for key, kind in keys.items()} for group, keys in groups.items()}

    return KeyTable(document["source"], typed(document["groups"]), typed(document["legacy"]))


def kind_of_file(file: KeyFile) -> FileKind:
    """What a file is, by its groups and keys."""
    groups = set(file.groups)
    if any(
        re.fullmatch(r"(roi-filtering|overcrowding|line-crossing|direction-detection)-stream-.*", g) for g in groups
    ):
        return FileKind.ANALYTICS
    if "message-broker" in groups:
        return FileKind.BROKER
    if "property" in groups:
        keys = set(file.of_group("property"))
        if keys & _NVINFER_MARKS:
            return FileKind.NVINFER
        return FileKind.ANALYTICS if "config-width" in keys else FileKind.OTHER
    app = key_table(FileKind.APP)
    if {"application", "streammux", "primary-gie", "source-list"} & groups:
        return FileKind.APP
    converter = key_table(FileKind.CONVERTER)
    if groups and all(converter.pattern_of(group) for group in groups):
        return FileKind.CONVERTER
    return FileKind.APP if groups and all(app.pattern_of(group) for group in groups) else FileKind.OTHER
