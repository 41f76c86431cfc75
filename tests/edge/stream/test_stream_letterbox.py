"""Cameras of different shapes share batches of one letterboxing detector; each picture keeps its own grey and place."""

from pathlib import Path

import av
import numpy as np
import pytest

from simulators.result_log import run_cameras
from small_bundle import make_manifest, make_model
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.detector import HeadEngine, PackedDetector
from vedette.edge.engines.opening import open_engine
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.vision.postprocess import DetectionRules

NETWORK = (96, 64)
# camera: source size; the red square in source pixels, one cell of the network's grid; the input's grey margins
CAMERAS = {
    "wide": ((192, 96), (32, 16, 64, 48), {"rows": 8, "columns": 0}),
    "portrait": ((64, 128), (0, 0, 32, 32), {"rows": 0, "columns": 32}),
    "fitting": ((96, 64), (48, 16, 64, 32), {"rows": 0, "columns": 0}),
}


class Looking:
    """An engine that keeps every batch it is given."""

    def __init__(self, engine: HeadEngine) -> None:
        self._engine = engine
        self.name, self.version, self.description = engine.name, engine.version, engine.description
        self.batches: list[np.ndarray] = []

    def infer(self, pixels: np.ndarray) -> list[np.ndarray]:
        self.batches.append(pixels)
        return self._engine.infer(pixels)


def write_red_square(path: Path, size: tuple[int, int], square_xyxy: tuple[int, int, int, int]) -> Path:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    left, top, right, bottom = square_xyxy
    image[top:bottom, left:right] = (255, 0, 0)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height = size
        video.pix_fmt, video.options = "yuv444p", {"qp": "0"}
        for _ in range(6):
            output.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(video.encode())
    return path


@pytest.mark.parametrize("engine", [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME])
def test_cameras_of_different_shapes_are_letterboxed_each_in_its_own_way(tmp_path: Path, engine: EngineChoice) -> None:
    manifest = make_manifest(ResizeMode.LETTERBOX, NETWORK)
    looking = Looking(open_engine(manifest, make_model(size_px=NETWORK), engine, threads=1))
    detector = PackedDetector(manifest, looking, DetectionRules.of(manifest))
    specs = [
        CameraSpec(name, str(write_red_square(tmp_path / f"{name}.mp4", size, square)))
        for name, (size, square, _) in CAMERAS.items()
    ]
    log, _ = run_cameras(specs, every=3, detector=detector, batch=3)
    assert [batch.shape for batch in looking.batches] == [(3, 64, 96, 3)] * 2  # all three together, twice
    for picture, (_, _, margin) in zip(looking.batches[0], CAMERAS.values(), strict=True):
        grey = np.zeros((64, 96), bool)
        grey[: margin["rows"]] = grey[64 - margin["rows"] :] = True
        grey[:, : margin["columns"]] = grey[:, 96 - margin["columns"] :] = True
        np.testing.assert_array_equal((picture == 127.5).all(axis=2), grey)
    assert len(log.results) == 6
    for stamp, found in log.results:
        square = CAMERAS[stamp.camera][1]
        assert [box["class"] for box in found] == ["red"]
        assert found[0]["box_xyxy_px"] == pytest.approx(square, abs=0.5)
