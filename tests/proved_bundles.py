"""Bundles whose variants can be proved: models by precision, golden pictures, receipts as pack would give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime.quantization  # noqa: F401 - takes long, and belongs to no test alone
from numpy.typing import NDArray

from small_bundle import make_manifest
from vedette.bundle_folder import OpenBundle, write_bundle
from vedette.contracts.bundle import BundleManifest, GoldenDetection, GoldenFile, GoldenPicture, Precision, Variant
from vedette.contracts.receipt import Receipt
from vedette.edge.engines.detector import HeadEngine
from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine
from vedette.edge.engines.opening import open_detector
from vedette.edge.engines.tensorrt.proving import WrongEngineError, require_proved
from vedette.learn.darknet.plan import NetworkPlan, decode_spec
from vedette.learn.darknet.weights import DarknetWeights
from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.golden_agreement import measure_golden
from vedette.learn.export.onnx import export_onnx
from vedette.learn.export.quantize_half import convert_to_half
from vedette.learn.export.quantize_qdq import QdqStyle, quantize_qdq
from vedette.vision.resize import fit, plan_placement

GOLDEN = 6  # pictures; the others calibrate
PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)


@dataclass(frozen=True)
class Packed:
    """A bundle, its models by precision, and the variants with the receipts that pack would give them."""

    bundle: OpenBundle
    models: dict[Precision, bytes]
    variants: dict[Precision, Variant]

    def refusal(self, precision: Precision, engine: HeadEngine) -> str | None:
        """What is said of an engine; None where it passes."""
        try:
            require_proved(self.bundle, self.variants[precision], self.models[precision], engine, precision)
        except WrongEngineError as error:
            return str(error).partition("is not used: ")[2]
        return None


def with_variants(
    bundle: OpenBundle, pictures: Sequence[NDArray[np.uint8]], precisions: Sequence[Precision] = PRECISIONS
) -> Packed:
    makers = {
        Precision.FP32: lambda model: model,
        Precision.FP16: convert_to_half,
        Precision.INT8: lambda model: quantize_qdq(model, calibration(bundle.manifest, pictures), QdqStyle.TENSORRT),
    }
    fp32 = bundle.read("model.onnx")
    models = {precision: makers[precision](fp32) for precision in precisions}
    golden = bundle.manifest.golden
    assert golden is not None
    names = [golden, *(name for name in bundle.manifest.files if name.endswith(".png"))]
    contents = {name: bundle.read(name) for name in names}
    variants = {}
    for precision, model in models.items():
        simulated = OnnxRuntimeEngine(bundle.manifest, model, Precision.FP32, 1)
        receipt = Receipt(golden=measure_golden(contents, simulated, bundle.manifest))
        variants[precision] = Variant(name=precision.value, file="model.onnx", precision=precision, receipt=receipt)
    return Packed(bundle, models, variants)


def calibration(manifest: BundleManifest, pictures: Sequence[NDArray[np.uint8]]) -> CalibrationPictures:
    spec = manifest.input
    placements = [plan_placement(one.shape[1], one.shape[0], spec.width, spec.height, spec.resize) for one in pictures]
    fitted = tuple(fit(one, placement) for one, placement in zip(pictures, placements, strict=True))
    return CalibrationPictures(fitted, tuple(placements), spec)


def pack_darknet(
    folder: Path,
    plan: NetworkPlan,
    weights: DarknetWeights,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    score: float = 0.25,
    precisions: Sequence[Precision] = PRECISIONS,
) -> Packed:
    """A Darknet net whose golden detections are those of ONNX Runtime on the first pictures."""
    spec = make_manifest().input.model_copy(update={"width": plan.input_width, "height": plan.input_height})
    classes = tuple(f"c{number}" for number in range(plan.heads[0].classes))
    manifest = make_manifest(score=score).model_copy(
        update={"classes": classes, "input": spec, "decode": decode_spec(plan)}
    )
    contents = {"model.onnx": export_onnx(plan, weights), "labels.txt": b"\n"}
    detector = open_detector(write_bundle(folder / "plain", manifest, contents))
    entries = []
    for number, picture in enumerate(pictures[:GOLDEN]):
        found, name = detector(picture), f"golden_{number:02d}.png"
        contents[name] = cv2.imencode(".png", picture)[1].tobytes()
        detections = tuple(
            GoldenDetection(class_id=int(c), score=float(s), box_xyxy_px=tuple(map(float, box)))
            for c, s, box in zip(found.class_ids, found.scores, found.boxes_xyxy_px, strict=True)
        )
        height, width = picture.shape[:2]
        entries.append(GoldenPicture(file=name, width=width, height=height, detections=detections))
    golden = GoldenFile(
        synthetic=False, score=score, nms_iou=0.45, score_tolerance=1e-3, box_tolerance_px=1.0, pictures=tuple(entries)
    )
    contents["golden.json"] = golden.model_dump_json().encode()
    bundle = write_bundle(folder / "bundle", manifest.model_copy(update={"golden": "golden.json"}), contents)
    return with_variants(bundle, pictures[GOLDEN:], precisions)
