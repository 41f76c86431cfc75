"""Wrong engines are refused before they are used, and honest ones are not: counted over kinds of faults.

On the coloured squares always; on a trained net and real pictures where they are at hand. `python -m pytest -s` shows
the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime.quantization  # noqa: F401 - takes long, and belongs to no test alone
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from engine_mutants import MUTANTS, Spoilt, all_changed
from golden_squares import write_golden_bundle
from small_bundle import make_manifest, make_picture
from trained_nets import find_trained
from vedette.bundle_folder import OpenBundle, write_bundle
from vedette.contracts.bundle import BundleManifest, GoldenDetection, GoldenFile, GoldenPicture, Precision, Variant
from vedette.contracts.receipt import Receipt
from vedette.edge.engines.detector import HeadEngine
from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine
from vedette.edge.engines.opening import open_detector
from vedette.edge.engines.openvino import OpenVinoEngine
from vedette.edge.engines.tensorrt.proving import WrongEngineError, require_proved
from vedette.learn.darknet.plan import decode_spec
from vedette.learn.export.calibration import CalibrationPictures
from vedette.learn.export.golden_agreement import measure_golden
from vedette.learn.export.onnx import export_onnx
from vedette.learn.export.quantize_half import convert_to_half
from vedette.learn.export.quantize_qdq import QdqStyle, quantize_qdq
from vedette.vision.resize import fit, plan_placement

PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)
CAUGHT = 0.99


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


def with_variants(bundle: OpenBundle, pictures: Sequence[NDArray[np.uint8]]) -> Packed:
    fp32 = bundle.read("model.onnx")
    int8 = quantize_qdq(fp32, calibration(bundle.manifest, pictures), QdqStyle.TENSORRT)
    models = {Precision.FP32: fp32, Precision.FP16: convert_to_half(fp32), Precision.INT8: int8}
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


def count(packed: Packed) -> tuple[int, list[str]]:
    """How many mutants there are in all precisions, at least fifty in each, and the names of those that pass."""
    made, passed = 0, []
    for precision in PRECISIONS:
        engines = {one.name: one.engine(packed.bundle.manifest, packed.models[precision]) for one in MUTANTS}
        present = {name: engine for name, engine in engines.items() if engine is not None}
        assert len(present) >= 50
        made += len(present)
        for name, engine in present.items():
            told = packed.refusal(precision, engine)
            print(f"{precision.value} | {name} | {told and told[:90]}")  # noqa: T201
            if told is None:
                passed.append(f"{precision.value} {name}")
    print(f"{made - len(passed)} of {made} refused; not refused: {passed}")  # noqa: T201
    return made, passed


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """The coloured squares, calibrated with other squares."""
    bundle = write_golden_bundle(tmp_path_factory.mktemp("mutants") / "bundle")
    colours = ("red", "green", "blue")
    shown = [make_picture({(n % 4, n // 4): colours[n % 3], (3 - n % 4, 3): colours[n % 2]}) for n in range(12)]
    return with_variants(bundle, shown)


@pytest.fixture(scope="module")
def trained(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A trained net with six golden pictures, and other pictures to calibrate with."""
    net = find_trained(real_data, "yolo-fastest-1.1", (320, 320))
    if net is None:
        pytest.skip("yolo-fastest-1.1 is not among the real data")
    paths = sorted((real_data / "coco").rglob("*.jpg"))[:30]
    pictures = [picture for path in paths if (picture := cv2.imread(str(path))) is not None]
    spec = make_manifest().input.model_copy(update={"width": 320, "height": 320})
    manifest = make_manifest().model_copy(
        update={"classes": tuple(f"c{n}" for n in range(80)), "input": spec, "decode": decode_spec(net.plan)}
    )
    contents = {"model.onnx": export_onnx(net.plan, net.weights), "labels.txt": b"\n"}
    folder = tmp_path_factory.mktemp("trained")
    detector = open_detector(write_bundle(folder / "plain", manifest, contents))
    entries = []
    for number, picture in enumerate(pictures[:6]):
        found, name = detector(picture), f"golden_{number:02d}.png"
        contents[name] = cv2.imencode(".png", picture)[1].tobytes()
        detections = tuple(
            GoldenDetection(class_id=int(c), score=float(s), box_xyxy_px=tuple(map(float, box)))
            for c, s, box in zip(found.class_ids, found.scores, found.boxes_xyxy_px, strict=True)
        )
        height, width = picture.shape[:2]
        entries.append(GoldenPicture(file=name, width=width, height=height, detections=detections))
    golden = GoldenFile(
        synthetic=False, score=0.25, nms_iou=0.45, score_tolerance=1e-3, box_tolerance_px=1.0, pictures=tuple(entries)
    )
    contents["golden.json"] = golden.model_dump_json().encode()
    bundle = write_bundle(folder / "bundle", manifest.model_copy(update={"golden": "golden.json"}), contents)
    return with_variants(bundle, pictures[6:])


def honest(packed: Packed) -> dict[str, tuple[Precision, HeadEngine]]:
    """Engines that round and add up otherwise than ONNX Runtime does, as builders may."""
    manifest, models = packed.bundle.manifest, packed.models

    def nearly(share: float) -> bytes:
        noise = np.random.default_rng(5)
        return all_changed(lambda w: w * (1 + noise.normal(0, share, w.shape)))(models[Precision.FP32]) or b""

    half = all_changed(lambda w: w.astype(np.float16).astype(np.float32))(models[Precision.FP32])
    return {
        "fp32 on OpenVINO": (Precision.FP32, OpenVinoEngine(manifest, models[Precision.FP32], Precision.FP32, 1)),
        "fp32 twice the same": (Precision.FP32, Spoilt(manifest, models[Precision.FP32])),
        "fp32 with errors of the last bits": (Precision.FP32, Spoilt(manifest, nearly(2e-7))),
        "fp16 weights only": (Precision.FP16, Spoilt(manifest, half or models[Precision.FP32])),
        "fp16 throughout": (Precision.FP16, Spoilt(manifest, models[Precision.FP16])),
        "fp32 where fp16 was asked for": (Precision.FP16, Spoilt(manifest, models[Precision.FP32])),
        "int8 throughout": (Precision.INT8, Spoilt(manifest, models[Precision.INT8])),
        "int8 of nearly the same weights": (Precision.INT8, Spoilt(manifest, jittered(models[Precision.INT8]))),
    }


def jittered(model: bytes) -> bytes:
    """Scales that another builder's arithmetic would round otherwise: by up to a hundredth."""
    rng = np.random.default_rng(6)
    proto = onnx.load_from_string(model)
    scales = {node.input[1] for node in proto.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}}
    for one in proto.graph.initializer:
        if one.name in scales:
            array = numpy_helper.to_array(one)
            moved = (array * (1 + rng.uniform(-0.01, 0.01, array.shape))).astype(array.dtype)
            one.CopyFrom(numpy_helper.from_array(moved, one.name))
    return bytes(proto.SerializeToString())


def test_wrong_engines_are_refused_on_squares(squares: Packed) -> None:
    made, passed = count(squares)
    assert 1 - len(passed) / made >= CAUGHT, passed


def test_honest_engines_pass_on_squares(squares: Packed) -> None:
    assert {name: told for name, one in honest(squares).items() if (told := squares.refusal(*one))} == {}


@pytest.mark.slow
@pytest.mark.real_data
def test_wrong_engines_are_refused_on_a_trained_net(trained: Packed) -> None:
    made, passed = count(trained)
    assert 1 - len(passed) / made >= CAUGHT, passed


@pytest.mark.slow
@pytest.mark.real_data
def test_honest_engines_pass_on_a_trained_net(trained: Packed) -> None:
    assert {name: told for name, one in honest(trained).items() if (told := trained.refusal(*one))} == {}


def test_the_reason_is_told_by_kind_of_fault(squares: Packed) -> None:
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    for name, words in {
        "output: one value not a number": "head_0 holds numbers that are none",
        "input: channel order BGR": "head_0 differs from ONNX Runtime's by",
        "run: only the first of a batch": "when pictures share a batch or come again",
    }.items():
        engine = by_name[name].engine(squares.bundle.manifest, squares.models[Precision.FP32])
        assert engine is not None
        assert words in str(squares.refusal(Precision.FP32, engine)), name


def test_a_file_that_is_another_model_is_seen_by_the_golden_pictures(squares: Packed) -> None:
    """The engine computes what the file says, so the outputs agree; the detections do not."""
    wrong = next(one for one in MUTANTS if one.name == "model: inputs of the middle layer backwards")
    assert wrong.model is not None
    model = wrong.model(squares.models[Precision.FP32])
    assert model is not None
    engine = OnnxRuntimeEngine(squares.bundle.manifest, model, Precision.FP32, 1)
    other = replace(squares, models={Precision.FP32: model})
    told = str(other.refusal(Precision.FP32, engine))
    assert "golden_0" in told and "missing: " in told
