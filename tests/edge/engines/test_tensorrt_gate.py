"""Wrong engines are refused before they are used, and honest ones are not: counted over kinds of faults.

On the coloured squares always; on a trained net and real pictures where they are at hand. `python -m pytest -s` shows
the table.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime.quantization  # noqa: F401 - takes long, and belongs to no test alone
import pytest
from onnx import numpy_helper

from engine_mutants import MUTANTS, Spoilt, all_changed
from golden_squares import write_golden_bundle
from proved_bundles import PRECISIONS, Packed, pack_darknet, with_variants
from small_bundle import make_picture
from trained_nets import find_trained
from vedette.contracts.bundle import Precision
from vedette.edge.engines.detector import HeadEngine
from vedette.edge.engines.onnxruntime import OnnxRuntimeEngine
from vedette.edge.engines.openvino import OpenVinoEngine

CAUGHT = 0.99


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
    return pack_darknet(tmp_path_factory.mktemp("trained"), net.plan, net.weights, pictures)


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
