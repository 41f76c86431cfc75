"""A YOLOv2 network goes the way of every other: drafted, compared on both engines, golden pictures reproduced."""

import numpy as np

from random_weights import random_weights
from vedette.contracts.bundle import BundleManifest, InputSpec
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import SilentProgress
from vedette.edge.engines.opening import open_engine
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import decode_spec, plan_network
from vedette.learn.export.golden import draw_scenes, make_golden, require_golden
from vedette.learn.export.pack import PackRequest, draft, judge
from vedette.learn.export.receipt import SCORE_TOLERANCE, Heads, TorchReference, measure_agreement

PLAN = plan_network(
    parse_cfg(
        """
[net]
width=64
height=96
channels=3
[convolutional]
filters=8
size=3
stride=8
pad=1
batch_normalize=1
activation=leaky
[reorg]
stride=2
[convolutional]
filters=16
size=1
activation=linear
[region]
anchors=1,1.5, 2,0.5
classes=3
num=2
softmax=1
"""
    )
)
WEIGHTS = random_weights(PLAN)
PICTURES = draw_scenes(5, 120, 90)


def test_engines_agree_on_a_region_and_reproduce_its_golden_pictures() -> None:
    request = PackRequest(
        plan=PLAN,
        weights=WEIGHTS,
        cfg_bytes=b"cfg",
        weights_bytes=b"weights",
        class_names=("red", "green", "blue"),
        name="v2",
    )
    drafted = draft(request)
    assert BundleManifest.model_validate_json(drafted.manifest.model_dump_json()) == drafted.manifest
    engines = [
        open_engine(drafted.manifest, drafted.model, choice, threads=1)
        for choice in (EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME)
    ]
    reference = TorchReference(PLAN, WEIGHTS)

    for entry in judge(drafted, reference, engines, PICTURES, SilentProgress()):
        assert entry.boxes_compared > 100
        assert entry.max_score_difference < 1e-4 and entry.max_box_difference_px < 0.01
    golden = make_golden(PICTURES, reference, drafted.manifest, synthetic=True)
    assert require_golden(drafted.manifest, golden, engines) > 0


class OneClassHigher:
    """The reference with one class's raw value raised: with a softmax, that lowers the others."""

    name, version = "faulty", "1"

    def infer(self, images: np.ndarray) -> Heads:
        heads = TorchReference(PLAN, WEIGHTS).infer(images)
        heads[0][:, 5] += 0.1
        return heads


def test_a_wrong_class_value_of_a_region_shows() -> None:
    fitted = list(np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8))
    expected = [TorchReference(PLAN, WEIGHTS).infer(picture[None]) for picture in fitted]

    found = measure_agreement(OneClassHigher(), expected, fitted, decode_spec(PLAN), InputSpec(width=64, height=96))

    assert found.max_score_difference > SCORE_TOLERANCE and found.max_box_difference_px < 1e-3
