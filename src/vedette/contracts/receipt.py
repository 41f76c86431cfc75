"""Receipts: what was measured of one variant of a packed model, on what, and what the figures are worth.

Part of `bundle.json`; written by `vedette pack`, read by whoever chooses a variant or reports on one. Fields that came
after version 1's first are optional: an older bundle's receipts are read with them left out.
"""

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Value(BaseModel):
    """A frozen value with a JSON form that knows no further fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Agreement(Value):
    """The largest differences between one engine's decoded output and the reference's (FP32) on real pictures.

    The reference is torch for Darknet weights, and ONNX Runtime with the file as it was given for an ONNX detector.
    """

    reference: Literal["torch", "onnxruntime"] = "torch"
    engine: str
    engine_version: str
    pictures: Positive
    boxes_compared: int
    max_score_difference: float
    max_box_difference_px: float


class Accuracy(Value):
    """COCO's definition: scores >= 0.001, at most 100 detections a picture; `map50` and `map50_95` in 0..1."""

    data_digest: str
    split: str | None
    pictures: Positive
    map50: Fraction
    map50_95: Fraction


class Source(str, Enum):
    """How a figure came about. `SIMULATED`: another engine computed what the variant's own engine would."""

    MEASURED = "measured"
    SIMULATED = "simulated on ONNX Runtime"
    UNMEASURED = "unmeasured"


class Evidence(Value):
    """What a receipt's figures of accuracy (agreement too) and of speed are worth."""

    accuracy: Source
    speed: Source


class ClassChange(Value):
    """One class of a variant; `change_*` is the variant's less FP32's, on the same pictures."""

    name: str
    ap50: Fraction
    ap50_95: Fraction
    change_ap50: float
    change_ap50_95: float


class AccuracyChange(Value):
    """A variant's figures less those of FP32, on the same pictures: -0.01 is one point lost."""

    map50: float
    map50_95: float
    classes: tuple[ClassChange, ...]


class GoldenAgreement(Value):
    """How far a variant finds in the golden pictures what FP32 finds: same class, IoU at least 0.5.

    `agreement` is found / (found + missing + extra); 1 where neither finds anything.
    """

    pictures: Positive
    found: int
    missing: int
    extra: int
    agreement: Fraction
    mean_iou: float | None = None
    max_score_difference: float | None = None


class Calibration(Value):
    """The pictures from which an INT8 variant learnt the ranges of its tensors."""

    data_digest: str | None
    split: str | None
    pictures: Positive


class Receipt(Value):
    """What was measured of one variant, on what.

    Times are processor milliseconds on one thread, medians: `ms_per_picture` with resizing, decoding and suppression,
    `network_ms` for the network alone. `kept_layers` are those that run in higher precision than the variant's.
    """

    agreement: tuple[Agreement, ...] = ()
    accuracy: Accuracy | None = None
    change: AccuracyChange | None = None
    golden: GoldenAgreement | None = None
    evidence: Evidence | None = None
    calibration: Calibration | None = None
    kept_layers: tuple[str, ...] = ()
    ms_per_picture: float | None = None
    network_ms: float | None = None
    engine: str | None = None
    engine_version: str | None = None
    host: str | None = None
