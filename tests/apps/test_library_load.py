"""`vedette.load` gives a detector to a Python program; importing `vedette` costs nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vedette
from small_bundle import make_bundle, make_picture
from vedette.bundle_folder import BundleError
from vedette.contracts.errors import UsageError


def test_a_loaded_bundle_detects(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    detector = vedette.load(str(tmp_path / "b"), engine="onnxruntime", threads=1)
    found = detector(make_picture({(3, 1): "green"}, scale=4))
    assert found.names.tolist() == ["green"] and detector.engine_name == "onnxruntime"
    np.testing.assert_allclose(found.boxes_xyxy_px, [[192, 64, 256, 128]], atol=0.02)
    assert vedette.load(tmp_path / "b", score=0.999999999, threads=1)(make_picture({})).boxes_xyxy_px.shape == (0, 4)


def test_detections_hold_what_supervision_takes(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    found = vedette.load(tmp_path / "b", threads=1)(make_picture({(0, 0): "red", (2, 2): "blue"}))
    arguments = {
        "xyxy": found.boxes_xyxy_px,
        "confidence": found.scores,
        "class_id": found.class_ids,
        "data": {"class_name": found.names},
    }
    assert arguments["xyxy"].shape == (2, 4) and arguments["xyxy"].dtype == np.float32
    assert arguments["confidence"].shape == arguments["class_id"].shape == (2,)
    assert np.issubdtype(arguments["class_id"].dtype, np.integer)
    assert sorted(arguments["data"]["class_name"]) == ["blue", "red"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "abacus"}, "'abacus' is not a valid EngineChoice; engines: auto, openvino, onnxruntime"),
        ({"precision": "int3"}, "precisions: fp32, bf16"),
        ({"score": 1.1}, "score must lie between 0 and 1"),
        ({"nms_iou": -0.1}, "nms_iou must lie between 0 and 1"),
        ({"max_detections": 0}, "max_detections must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    make_bundle(tmp_path / "b")
    with pytest.raises(UsageError) as caught:
        vedette.load(tmp_path / "b", **options)
    assert message in str(caught.value)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        vedette.load(tmp_path / "none")


def test_importing_vedette_imports_nothing_heavy() -> None:
    program = (
        "import sys, vedette; print([m for m in ('numpy', 'cv2', 'torch', 'pydantic', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
