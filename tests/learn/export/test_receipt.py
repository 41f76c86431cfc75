"""An engine is compared with torch over every cell and class; whatever differs too much is refused."""

from collections.abc import Callable

import numpy as np
import pytest

from random_weights import random_weights
from small_network import CLASSES, make_plan
from vedette.contracts.bundle import InputSpec
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import SilentProgress
from vedette.contracts.receipt import Agreement
from vedette.edge.engines.opening import open_engine
from vedette.learn.darknet.plan import decode_spec
from vedette.learn.export.errors import DisagreementError, PackError
from vedette.learn.export.pack import PackRequest, draft, judge
from vedette.learn.export.receipt import Heads, TorchReference, measure_agreement, require_agreement

PLAN = make_plan()
WEIGHTS = random_weights(PLAN)
SIZE = InputSpec(width=64, height=64)
PICTURES = list(np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8))


def make_request(**changes: object) -> PackRequest:
    fields = {
        "plan": PLAN,
        "weights": WEIGHTS,
        "cfg_bytes": b"cfg",
        "weights_bytes": b"weights",
        "class_names": CLASSES,
        "name": "small",
    }
    return PackRequest(**(fields | changes))


class Altered:
    """The reference with a fault."""

    name, version = "faulty", "1"

    def __init__(self, alter: Callable[[Heads], Heads]) -> None:
        self._reference = TorchReference(PLAN, WEIGHTS)
        self._alter = alter

    def infer(self, images: np.ndarray) -> Heads:
        return self._alter([head.copy() for head in self._reference.infer(images)])


def agreement_of(alter: Callable[[Heads], Heads]) -> Agreement:
    reference = TorchReference(PLAN, WEIGHTS)
    expected = [reference.infer(picture[None]) for picture in PICTURES]
    return measure_agreement(Altered(alter), expected, PICTURES, decode_spec(PLAN), SIZE)


def add(head: int, channel: int, value: float) -> Callable[[Heads], Heads]:
    def alter(heads: Heads) -> Heads:
        heads[head][:, channel] += value
        return heads

    return alter


def reverse_batch(heads: Heads) -> Heads:
    return [head[::-1] for head in heads]


def test_engines_agree_with_torch_on_an_exported_network() -> None:
    drafted = draft(make_request())
    engines = [
        open_engine(drafted.manifest, drafted.model, choice, threads=1)
        for choice in (EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME)
    ]
    found = judge(drafted, TorchReference(PLAN, WEIGHTS), engines, PICTURES, SilentProgress())
    assert [entry.engine for entry in found] == ["openvino", "onnxruntime"]
    for entry in found:
        assert entry.pictures == 6 and entry.boxes_compared > 100
        assert entry.max_score_difference < 1e-4 and entry.max_box_difference_px < 0.01


def test_an_equal_engine_has_no_difference() -> None:
    found = agreement_of(lambda heads: heads)
    assert found.max_score_difference < 1e-6 and found.max_box_difference_px < 1e-4
    require_agreement(found)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (add(0, 0, 0.2), "boxes"),
        (add(1, 3, 0.1), "boxes"),
        (add(0, 4, 0.05), "scores"),
        (add(1, 7, 0.05), "scores"),
        (add(0, 2, float("nan")), "inf"),
        (add(1, 4, float("nan")), "inf"),
        (add(0, 12, float("inf")), "scores"),
        (reverse_batch, "scores"),
    ],
)
def test_a_faulty_engine_is_refused(alter: Callable[[Heads], Heads], message: str) -> None:
    with pytest.raises(DisagreementError, match=message) as caught:
        require_agreement(agreement_of(alter))
    assert "faulty 1" in str(caught.value) and "no bundle is written" in str(caught.value)


def test_a_nan_in_the_measurement_itself_is_refused() -> None:
    nan = Agreement(
        engine="e",
        engine_version="1",
        pictures=1,
        boxes_compared=1,
        max_score_difference=float("nan"),
        max_box_difference_px=0,
    )
    with pytest.raises(DisagreementError):
        require_agreement(nan)


def test_names_that_do_not_fit_the_network_are_refused() -> None:
    with pytest.raises(PackError, match=r"small\.cfg detects 3 classes, the names list has 2"):
        draft(make_request(class_names=("a", "b")))


@pytest.mark.parametrize(("net", "expected"), [("", "stretch"), ("letter_box=1", "letterbox")])
def test_resizing_is_what_the_cfg_says(net: str, expected: str) -> None:
    plan = make_plan(net)
    drafted = draft(make_request(plan=plan, weights=random_weights(plan)))
    assert drafted.manifest.input.resize.value == expected
