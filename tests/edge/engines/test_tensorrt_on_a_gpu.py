"""The real thing, where a GPU and TensorRT are: built, proved, and finding what ONNX Runtime finds."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from golden_squares import write_golden_bundle
from small_bundle import make_picture


@pytest.mark.slow
def test_a_real_engine_finds_what_onnx_runtime_finds(tmp_path: Path) -> None:
    """In processes of their own: this one may have the stand-in for the driver loaded."""
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("TensorRT is not installed")
    if not Path("/dev/nvidia0").exists() and not Path("/dev/nvhost-gpu").exists():
        pytest.skip("there is no NVIDIA GPU")
    bundle = write_golden_bundle(tmp_path / "bundle").path
    cv2.imwrite(str(tmp_path / "one.png"), make_picture({(0, 0): "red", (2, 2): "blue"}, 3))
    found = {}
    for engine in ("tensorrt", "onnxruntime"):
        command = [sys.executable, "-m", "vedette", "detect", str(bundle), str(tmp_path / "one.png"), "--json"]
        command += ["--out", str(tmp_path / engine), "--engine", engine]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        found[engine] = json.loads(done.stdout)[0]["detections"]
    assert [one["class"] for one in found["tensorrt"]] == [one["class"] for one in found["onnxruntime"]]
    for mine, theirs in zip(found["tensorrt"], found["onnxruntime"], strict=True):
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-3)
        assert mine["box_xyxy_px"] == pytest.approx(theirs["box_xyxy_px"], abs=1.0)
