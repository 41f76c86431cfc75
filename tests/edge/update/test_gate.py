"""The gate lets an honest engine through and no other, in every precision."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from golden_squares import write_golden_bundle
from small_bundle import CLASSES, make_bundle
from vedette.bundle_folder import BundleError, OpenBundle, read_golden
from vedette.contracts.bundle import Precision, Variant
from vedette.contracts.detections import Detections
from vedette.contracts.receipt import GoldenAgreement, Receipt
from vedette.edge.engines.opening import open_detector
from vedette.edge.update.errors import GateError
from vedette.edge.update.gate import require_golden


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return write_golden_bundle(tmp_path_factory.mktemp("gate") / "bundle")


def variant(precision: Precision, golden: GoldenAgreement | None = None) -> Variant:
    return Variant(name=precision.value, file="model.onnx", precision=precision, receipt=Receipt(golden=golden))


class Honest:
    """The bundle's own detector; subclasses spoil what it finds."""

    def __init__(self, bundle: OpenBundle) -> None:
        self.detector = open_detector(bundle)

    def __call__(self, picture: NDArray[np.uint8]) -> Detections:
        return self.spoil(self.detector(picture))

    def spoil(self, found: Detections) -> Detections:
        return found


class Shifted(Honest):
    def spoil(self, found: Detections) -> Detections:
        return Detections(found.boxes_xyxy_px + 2, found.scores, found.class_ids, CLASSES)


class FarAway(Honest):
    def spoil(self, found: Detections) -> Detections:
        return Detections(found.boxes_xyxy_px + 30, found.scores, found.class_ids, CLASSES)


class Blind(Honest):
    def spoil(self, found: Detections) -> Detections:
        return Detections(found.boxes_xyxy_px[:0], found.scores[:0], found.class_ids[:0], CLASSES)


class OtherClass(Honest):
    def spoil(self, found: Detections) -> Detections:
        return Detections(found.boxes_xyxy_px, found.scores, (found.class_ids + 1) % 3, CLASSES)


class NotANumber(Honest):
    def spoil(self, found: Detections) -> Detections:
        return Detections(found.boxes_xyxy_px * np.float32("nan"), found.scores, found.class_ids, CLASSES)


class SeesGhosts(Honest):
    def spoil(self, found: Detections) -> Detections:
        ghost = np.array([[100, 100, 120, 120]], np.float32)
        return Detections(
            np.concatenate([found.boxes_xyxy_px, ghost]),
            np.append(found.scores, np.float32(0.9)),
            np.append(found.class_ids, np.int32(0)),
            CLASSES,
        )


SPOILT = [Blind, OtherClass, FarAway, NotANumber, SeesGhosts]
PRECISIONS = [Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_honest_engine_passes(bundle: OpenBundle, precision: Precision) -> None:
    golden = read_golden(bundle)
    assert require_golden(bundle, golden, Honest(bundle), variant(precision), "engine") == 3


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_wrong_engine_is_refused_and_the_reason_told(
    bundle: OpenBundle, precision: Precision, spoilt: type[Honest]
) -> None:
    with pytest.raises(GateError, match=r"engine 7 does not reproduce the golden pictures of 'coloured-squares': \S+"):
        require_golden(bundle, read_golden(bundle), spoilt(bundle), variant(precision), "engine 7")


def test_fewer_bits_may_move_boxes_and_fp32_may_not(bundle: OpenBundle) -> None:
    golden = read_golden(bundle)
    with pytest.raises(GateError, match=r"golden_00\.png: missing: red"):
        require_golden(bundle, golden, Shifted(bundle), variant(Precision.FP32), "engine")
    assert require_golden(bundle, golden, Shifted(bundle), variant(Precision.INT8), "engine") == 3


def test_a_variant_need_not_be_better_than_its_receipt(bundle: OpenBundle) -> None:
    golden = read_golden(bundle)
    admitted = GoldenAgreement(pictures=3, found=2, missing=2, extra=1, agreement=0.6)
    lossy = variant(Precision.INT8, admitted)
    assert require_golden(bundle, golden, SeesGhosts(bundle), lossy, "engine") == 3
    with pytest.raises(GateError):
        require_golden(bundle, golden, Blind(bundle), lossy, "engine")


def test_a_bundle_without_golden_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no golden pictures"):
        read_golden(make_bundle(tmp_path / "bundle"))
