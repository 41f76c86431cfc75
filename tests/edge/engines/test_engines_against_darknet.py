"""AP of a packed net on the engine that the edge would use, in every mode of resizing, against Darknet itself on COCO.

Source and figures: `darknet_detections`, as for torch in `tests/parity`, where single detections are held on every
engine. Tolerances: 0.1 points, 0.3 with Darknet's resize, since its rows include its own JPEG loader.
"""

from pathlib import Path

import pytest

from darknet_detections import AVERAGE_PRECISION, open_packed, rules_of
from vedette.contracts.bundle import NmsKind
from vedette.contracts.frame import ResizeMode
from vedette.learn.data.reading import read_data_set
from vedette.learn.training.evaluate import SCORE_FLOOR, evaluate_pictures


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("case", AVERAGE_PRECISION, ids=lambda case: f"{case[0]}-{case[1].value}-{case[2].value}")
def test_average_precision_on_an_engine_is_darknets(real_data: Path, case: tuple[str, ResizeMode, NmsKind]) -> None:
    net, resize, nms_kind = case
    rules = rules_of(real_data, net, SCORE_FLOOR, nms_kind)
    detector = open_packed(real_data, net, resize, rules, engine="auto")

    result = evaluate_pictures(detector, read_data_set(real_data / "coco"), rules.class_names)

    tolerance = 0.3 if resize is ResizeMode.DARKNET else 0.1
    assert (result.map50 * 100, result.map50_95 * 100) == pytest.approx(AVERAGE_PRECISION[case], abs=tolerance)
