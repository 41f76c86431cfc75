"""`bundle.json`, version 1: what a packed detector is, what it expects, where it came from, how it did when measured.

A bundle is a flat folder; this module is its manifest's shape. Reading the folder and checking digests is
`vedette.bundle_folder`. Every file of the folder is listed under `files` with its SHA-256 and size, but for
`bundle.json` itself and `bundle.json.sha256`, which covers it: an extra or missing file is as wrong as a changed one.
"""

import re
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from vedette.contracts.frame import ResizeMode
from vedette.contracts.receipt import Fraction, Positive, Receipt, Value

MANIFEST_NAME = "bundle.json"
MANIFEST_DIGEST_NAME = "bundle.json.sha256"
FILE_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"

FileName = Annotated[str, StringConstraints(pattern=FILE_NAME_PATTERN, max_length=100)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class NmsKind(str, Enum):
    """What suppresses a weaker box: IoU (Darknet's default) or DIoU (`greedynms`) with a box of its class.

    `AGNOSTIC` is IoU with any box, whatever the classes.
    """

    IOU = "iou"
    DIOU = "diou"
    AGNOSTIC = "agnostic"


class Precision(str, Enum):
    """The arithmetic an engine is asked for. BF16 and FP16 need hardware that has them.

    BF16 is a setting of the engine and runs any FP32 model; FP16 and INT8 need a variant that was packed for them.
    """

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class EngineName(str, Enum):
    """What may run a variant."""

    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"


class InputSpec(Value):
    """The network's input: NCHW float32 RGB in 0..1 (`pixel * scale`), padded with `pad_value` when letterboxed.

    `batch` is None where the model takes any number of pictures at once, else the one number that it takes.
    """

    tensor: str = "input"
    batch: Positive | None = None
    width: Positive
    height: Positive
    channels: Literal[3] = 3
    colour: Literal["rgb"] = "rgb"
    layout: Literal["nchw"] = "nchw"
    scale: float = 1.0 / 255.0
    resize: ResizeMode = ResizeMode.STRETCH
    pad_value: Fraction = 0.5
    interpolation: Literal["linear"] = "linear"


class YoloHead(Value):
    """One Darknet `[yolo]` output: a raw tensor (batch, anchors * (5 + classes), grid height, grid width) float32.

    `anchors` are those of this head's mask, in network-input pixels. Decoding: facts of Darknet's `get_yolo_box`;
    with `new_coords` the tensor is already activated and width = (2t)^2 * anchor.
    """

    output: str
    grid_width: Positive
    grid_height: Positive
    anchors: tuple[tuple[float, float], ...] = Field(min_length=1)
    scale_x_y: float = 1.0
    new_coords: bool = False


class DarknetHeads(Value):
    """Decode parameters when the model's outputs are raw Darknet heads."""

    kind: Literal["darknet_yolo_heads"] = "darknet_yolo_heads"
    heads: tuple[YoloHead, ...] = Field(min_length=1)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The model's outputs, in the order in which an engine hands them over."""
        return tuple(head.output for head in self.heads)


class RegionHead(Value):
    """The Darknet `[region]` output (YOLOv2): a raw tensor (batch, anchors * (5 + classes), grid height, grid width).

    Decoded as a `YoloHead`, but that the class probabilities of a cell and anchor are a softmax. `anchors` are in
    network-input pixels, as everywhere here; a cfg has them in grid cells.
    """

    output: str
    grid_width: Positive
    grid_height: Positive
    anchors: tuple[tuple[float, float], ...] = Field(min_length=1)


class DarknetRegionHead(Value):
    """Decode parameters when the model's one output is a raw `[region]` head."""

    kind: Literal["darknet_region_head"] = "darknet_region_head"
    heads: tuple[RegionHead]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The model's outputs, in the order in which an engine hands them over."""
        return tuple(head.output for head in self.heads)


DarknetDecode = DarknetHeads | DarknetRegionHead


class BoxLayout(str, Enum):
    """Where the values of one box stand: `ROWS` is (batch, boxes, values), `COLUMNS` (batch, values, boxes)."""

    ROWS = "rows"
    COLUMNS = "columns"


class BoxForm(str, Enum):
    """The four numbers of a box: centre and size, or two corners."""

    CXCYWH = "cxcywh"
    XYXY = "xyxy"


class BoxUnits(str, Enum):
    """What the four numbers count: pixels of the network's input, or fractions of its width and height."""

    PIXELS = "pixels"
    NORMALISED = "normalised"


class ScoreForm(str, Enum):
    """Scores and objectness as probabilities, or as logits that a sigmoid makes probabilities of."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"


class DecodedBoxes(Value):
    """Decode parameters when the model's outputs are boxes already, one a row (or a column, by `layout`).

    The values of a box stand in this order, by kind: `boxes_scores` box, a score for each class;
    `boxes_objectness_scores` box, objectness, a score for each class (their product counts); `boxes_score_class` box,
    score, class number: a model that chose the class itself. They lie in the one output, or in two when the box stands
    alone: boxes (batch, boxes, 4) or (batch, boxes, 1, 4) first, then the rest, both in `layout`.
    `needs_nms` is false when the model leaves out overlapping boxes itself.
    """

    kind: Literal["boxes_scores", "boxes_objectness_scores", "boxes_score_class"]
    outputs: tuple[str, ...] = Field(min_length=1, max_length=2)
    classes: Positive
    layout: BoxLayout = BoxLayout.ROWS
    box_form: BoxForm
    box_units: BoxUnits
    score_form: ScoreForm = ScoreForm.PROBABILITIES
    needs_nms: bool = True

    @property
    def values(self) -> int:
        """How many numbers one box has, its own four included."""
        return {
            "boxes_scores": 4 + self.classes,
            "boxes_objectness_scores": 5 + self.classes,
            "boxes_score_class": 6,
        }[self.kind]


Decode = DarknetHeads | DarknetRegionHead | DecodedBoxes


class Thresholds(Value):
    """What `detect` and `run` use unless told otherwise."""

    score: Fraction = 0.25
    nms_iou: Fraction = 0.45
    nms_kind: NmsKind = NmsKind.IOU
    max_detections: Positive = 300


class Variant(Value):
    """One way to run the model: a file, its arithmetic, the engines that may run it, its receipt.

    `weights_file` holds the weights where `file` is an OpenVINO IR, which is two files.
    """

    name: str
    file: FileName
    weights_file: FileName | None = None
    precision: Precision
    engines: tuple[EngineName, ...] = Field(default=tuple(EngineName), min_length=1)
    receipt: Receipt

    @property
    def files(self) -> tuple[str, ...]:
        """The files that an engine is given."""
        return (self.file,) if self.weights_file is None else (self.file, self.weights_file)


class Provenance(Value):
    """Where the model came from; `None` where that is not known.

    `weights_sha256` is that of the .weights file, or of the ONNX file as it was given, before its batch or input were
    adapted. Only an ONNX detector may come without a cfg.
    """

    code_version: str
    created_utc: str
    source: Literal["darknet", "onnx"]
    weights_sha256: Sha256
    cfg_sha256: Sha256 | None = None
    seen_pictures: int | None = None
    training_run: str | None = None
    dataset_digest: str | None = None


class FileEntry(Value):
    """One file of the folder."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class GoldenFile(Value):
    """`golden.json`: the reference's detections (FP32) that an engine built from this bundle must reproduce."""

    schema_version: Literal[1] = 1
    synthetic: bool
    score: Fraction
    nms_iou: Fraction
    score_tolerance: float
    box_tolerance_px: float
    pictures: tuple["GoldenPicture", ...] = Field(min_length=1)


class GoldenDetection(Value):
    class_id: Annotated[int, Field(ge=0)]
    score: Fraction
    box_xyxy_px: tuple[float, float, float, float]


class GoldenPicture(Value):
    file: FileName
    width: Positive
    height: Positive
    detections: tuple[GoldenDetection, ...]


class BundleManifest(Value):
    """The whole of `bundle.json`."""

    schema_version: Literal[1] = 1
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    version: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "1"
    licence: str | None = None
    classes: tuple[str, ...] = Field(min_length=1)
    input: InputSpec
    decode: Decode = Field(discriminator="kind")
    thresholds: Thresholds = Thresholds()
    provenance: Provenance
    variants: tuple[Variant, ...] = Field(min_length=1)
    golden: FileName | None = None
    files: dict[FileName, FileEntry]

    @model_validator(mode="after")
    def _fits_together(self) -> "BundleManifest":
        if isinstance(self.decode, DecodedBoxes) and self.decode.classes != len(self.classes):
            raise ValueError(f"decode speaks of {self.decode.classes} classes, {len(self.classes)} are named")
        if self.provenance.source == "darknet" and self.provenance.cfg_sha256 is None:
            raise ValueError("provenance: a model from Darknet comes with a cfg, whose digest is missing")
        return self


def is_safe_file_name(name: str) -> bool:
    """Whether a name may stand in a bundle: flat, lower case, no leading dot (facts/reliability I6)."""
    return len(name) <= 100 and re.match(FILE_NAME_PATTERN, name) is not None
