"""One picture is one tensor, to the last bit: for engines, receipts, golden pictures, evaluation and validation.

Engines show their input by running the identity, networks in torch by a hook on what goes in. What OpenVINO computes
inside its compiled model (8-bit pictures, stretched) is the same in another order: one unit in the last place.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from random_weights import random_weights
from small_bundle import make_manifest
from small_network import CFG, CLASSES
from vedette.contracts.bundle import BundleManifest, InputSpec
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import SilentProgress
from vedette.edge.engines.detector import HeadEngine, PackedDetector
from vedette.edge.engines.opening import open_engine
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import decode_spec, plan_network
from vedette.learn.data.samples import LabelledObject, Sample
from vedette.learn.export.golden import detect_with
from vedette.learn.export.pack import PackRequest, draft, judge
from vedette.learn.export.receipt import TorchReference
from vedette.learn.training.arithmetic import DeviceChoice, PrecisionChoice, choose_arithmetic
from vedette.learn.training.loading import PictureStore
from vedette.learn.training.predictor import DarknetPredictor
from vedette.learn.training.validate import detect_all
from vedette.vision.postprocess import DetectionRules
from vedette.vision.resize import fit, network_tensor, prepare

WIDTH, HEIGHT = 96, 64
SIZES = [(200, 101), (61, 144), (96, 64), (33, 7), (160, 90)]  # odd, portrait, the input's own, a strip, 16:9
PLAN = plan_network(parse_cfg(CFG.format(net="", yolo=""), "small.cfg"), WIDTH, HEIGHT)
WEIGHTS = random_weights(PLAN)
ONE_UNIT = 2.0**-24  # in the last place of a float32 just below 1


def photo(size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8 BGR noise: no two pixels alike."""
    return np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def manifest_of(mode: ResizeMode) -> BundleManifest:
    spec = InputSpec(width=WIDTH, height=HEIGHT, resize=mode)
    return make_manifest().model_copy(update={"input": spec, "decode": decode_spec(PLAN), "classes": CLASSES})


def identity_model(manifest: BundleManifest) -> bytes:
    """Hands its input over as every output."""
    shape = ["batch", 3, HEIGHT, WIDTH]
    outputs = [head.output for head in manifest.decode.heads]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], [name]) for name in outputs],
        "identity",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def identity_engine(mode: ResizeMode, choice: EngineChoice) -> HeadEngine:
    manifest = manifest_of(mode)
    return open_engine(manifest, identity_model(manifest), choice, threads=1)


@contextmanager
def tensors_of_networks() -> Iterator[list[np.ndarray]]:
    """What goes into every Darknet network in torch meanwhile."""
    seen: list[np.ndarray] = []

    def look(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, DarknetNetwork):
            seen.append(given[0].numpy().copy())

    handle = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


class Keeping:
    """An engine that keeps the tensor it was given: the identity's output, for each call."""

    name = version = description = "keeping"

    def __init__(self, engine: HeadEngine) -> None:
        self._engine = engine
        self._network = TorchReference(PLAN, WEIGHTS)
        self.tensors: list[np.ndarray] = []

    def infer(self, pixels: np.ndarray) -> list[np.ndarray]:
        self.tensors.append(self._engine.infer(pixels)[0].copy())
        return self._network.infer(pixels)


def by_reference(picture: np.ndarray, mode: ResizeMode) -> np.ndarray:
    with tensors_of_networks() as seen:
        TorchReference(PLAN, WEIGHTS).infer(prepare(picture, manifest_of(mode).input)[0])
    return seen[0]


def by_golden_picture(picture: np.ndarray, mode: ResizeMode) -> np.ndarray:
    manifest = manifest_of(mode)
    with tensors_of_networks() as seen:
        detect_with(TorchReference(PLAN, WEIGHTS), picture, manifest, DetectionRules.of(manifest))
    return seen[0]


def by_receipt(picture: np.ndarray, mode: ResizeMode) -> np.ndarray:
    drafted = draft(PackRequest(PLAN, WEIGHTS, b"cfg", b"weights", CLASSES, "small", resize=mode))
    with tensors_of_networks() as seen:
        judge(drafted, TorchReference(PLAN, WEIGHTS), [], [picture], SilentProgress())
    return seen[0]


def by_evaluation_of_weights(picture: np.ndarray, mode: ResizeMode) -> np.ndarray:
    rules = DetectionRules.of(manifest_of(mode))
    with tensors_of_networks() as seen:
        DarknetPredictor(PLAN, WEIGHTS, rules, mode)(picture)
    return seen[0]


def by_detector_of_pictures(picture: np.ndarray, mode: ResizeMode) -> np.ndarray:
    manifest = manifest_of(mode)
    keeping = Keeping(identity_engine(mode, EngineChoice.ONNXRUNTIME))
    PackedDetector(manifest, keeping, DetectionRules.of(manifest))(picture)
    return keeping.tensors[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize(
    "made", [by_reference, by_golden_picture, by_receipt, by_evaluation_of_weights, by_detector_of_pictures]
)
def test_every_consumer_computes_on_the_same_tensor(
    made: Callable[[np.ndarray, ResizeMode], np.ndarray], mode: ResizeMode, size: tuple[int, int]
) -> None:
    expected = network_tensor(prepare(photo(size), manifest_of(mode).input)[0])
    assert expected.shape == (1, 3, HEIGHT, WIDTH)
    np.testing.assert_array_equal(made(photo(size), mode), expected)


@pytest.mark.parametrize("mode", [ResizeMode.STRETCH, ResizeMode.LETTERBOX])
def test_validation_in_training_computes_on_the_same_tensor(tmp_path: Path, mode: ResizeMode) -> None:
    """A network learns on a stretch or a letterbox; Darknet's resize is for judging finished weights."""
    samples = []
    for number, size in enumerate(SIZES):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photo(size))
        bolt = LabelledObject(CLASSES[0], (0.0, 0.0, 5.0, 5.0))
        samples.append(Sample(str(number), tmp_path / f"{number}.png", *size, (bolt,)))
    store = PictureStore(samples, {name: i for i, name in enumerate(CLASSES)}, (WIDTH, HEIGHT), mode)
    network = DarknetNetwork(PLAN)
    network.load_darknet(WEIGHTS)
    arithmetic = choose_arithmetic(DeviceChoice.CPU, PrecisionChoice.FP32)
    with tensors_of_networks() as seen:
        detect_all(network, store, DetectionRules.of(manifest_of(mode)), arithmetic)
    expected = [network_tensor(prepare(photo(size), manifest_of(mode).input)[0])[0] for size in SIZES]
    np.testing.assert_array_equal(np.concatenate(seen), np.stack(expected))


@pytest.mark.parametrize("choice", [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME])
@pytest.mark.parametrize("mode", list(ResizeMode))
def test_engines_compute_on_that_tensor_whatever_shares_the_batch(mode: ResizeMode, choice: EngineChoice) -> None:
    manifest = manifest_of(mode)
    keeping = Keeping(identity_engine(mode, choice))
    detector = PackedDetector(manifest, keeping, DetectionRules.of(manifest))
    placements = [detector.place(*size) for size in SIZES]
    fitted = np.stack([fit(photo(size), place) for size, place in zip(SIZES, placements, strict=True)])
    detector.detect_fitted(fitted, placements)
    for size, tensor in zip(SIZES, keeping.tensors[0], strict=True):
        expected = network_tensor(prepare(photo(size), manifest.input)[0])[0]
        compiled_in = choice is EngineChoice.OPENVINO and mode is ResizeMode.STRETCH
        assert np.abs(tensor - expected).max() <= (ONE_UNIT if compiled_in else 0)


@pytest.mark.parametrize("choice", [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME])
def test_a_letterboxed_picture_has_darknets_grey_in_the_engine(choice: EngineChoice) -> None:
    keeping = Keeping(identity_engine(ResizeMode.LETTERBOX, choice))
    manifest = manifest_of(ResizeMode.LETTERBOX)
    PackedDetector(manifest, keeping, DetectionRules.of(manifest))(photo((50, 100)))  # 32x64 in the middle of 96x64
    tensor = keeping.tensors[0][0]
    assert (tensor[:, :, :32] == 0.5).all() and (tensor[:, :, 64:] == 0.5).all()
    assert tensor[:, :, 32:64].std() > 0.1


@pytest.mark.parametrize("choice", [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME])
@pytest.mark.parametrize("mode", list(ResizeMode))
def test_8_bit_pictures_go_into_every_engine_as_they_are(mode: ResizeMode, choice: EngineChoice) -> None:
    batch = np.random.default_rng(7).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    found = identity_engine(mode, choice).infer(batch)[0]
    assert np.abs(found - network_tensor(batch)).max() <= ONE_UNIT


def test_an_engine_for_8_bit_pictures_refuses_fractions() -> None:
    engine = identity_engine(ResizeMode.STRETCH, EngineChoice.OPENVINO)
    with pytest.raises(ValueError, match="expected uint8 pictures, got float32"):
        engine.infer(np.zeros((1, HEIGHT, WIDTH, 3), np.float32))


@pytest.mark.parametrize("choice", [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME])
@pytest.mark.parametrize("mode", [ResizeMode.STRETCH, ResizeMode.LETTERBOX])
def test_a_model_from_elsewhere_gets_its_own_grey_and_range(mode: ResizeMode, choice: EngineChoice) -> None:
    """Such as one that was trained with 114 around its pictures and 0..255 inside."""
    manifest = manifest_of(mode)
    spec = manifest.input.model_copy(update={"pad_value": 114 / 255, "scale": 1.0})
    manifest = manifest.model_copy(update={"input": spec})
    keeping = Keeping(open_engine(manifest, identity_model(manifest), choice, threads=1))
    picture = photo((WIDTH, HEIGHT // 2))
    PackedDetector(manifest, keeping, DetectionRules.of(manifest))(picture)
    tensor = keeping.tensors[0][0]
    if mode is ResizeMode.LETTERBOX:
        assert (tensor[:, :16] == np.float32(114)).all() and (tensor[:, 48:] == np.float32(114)).all()
        np.testing.assert_array_equal(tensor[:, 16:48], picture[:, :, ::-1].transpose(2, 0, 1))
    else:
        assert tensor.max() > 250 and (tensor == np.rint(tensor)).all()


@pytest.mark.parametrize("wrong", [np.zeros((1, HEIGHT, WIDTH, 3)), np.zeros((1, WIDTH, HEIGHT, 3), np.uint8)])
def test_pictures_of_another_type_or_turned_are_refused(wrong: np.ndarray) -> None:
    manifest = manifest_of(ResizeMode.LETTERBOX)
    engine = identity_engine(ResizeMode.LETTERBOX, EngineChoice.ONNXRUNTIME)
    detector = PackedDetector(manifest, engine, DetectionRules.of(manifest))
    with pytest.raises(ValueError, match=r"expected \(n, 64, 96, 3\) uint8 or float32"):
        detector.infer(wrong)
    with pytest.raises(ValueError, match=r"expected \(n, 64, 96, 3\) uint8 or float32"):
        detector.detect_fitted(wrong, [detector.place(10, 20)])
