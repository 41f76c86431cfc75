"""Both engines find what stands in the picture, alone or in a batch, and say what they are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from small_bundle import make_bundle, make_manifest, make_model, make_picture
from vedette.bundle_folder import BundleError
from vedette.contracts.bundle import Precision
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.opening import installed_engines, open_detector, open_engine, resolve_engine
from vedette.vision.resize import fit

ENGINES = [EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME]


@pytest.mark.parametrize("engine", ENGINES)
def test_coloured_squares_are_found_where_they_are(tmp_path: Path, engine: EngineChoice) -> None:
    detector = open_detector(make_bundle(tmp_path / "b"), engine, threads=1)
    found = detector(make_picture({(0, 0): "red", (1, 0): "green", (2, 2): "blue"}, scale=2))
    boxes = {str(name): box for name, box in zip(found.names, found.boxes_xyxy_px, strict=True)}
    assert sorted(boxes) == ["blue", "green", "red"]
    np.testing.assert_allclose(boxes["red"], [0, 0, 32, 32], atol=0.01)
    np.testing.assert_allclose(boxes["green"], [32, 0, 64, 32], atol=0.01)
    np.testing.assert_allclose(boxes["blue"], [64, 64, 128, 128], atol=0.01)
    assert (found.scores > 0.99).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_letterbox_gives_boxes_in_source_pixels(tmp_path: Path, engine: EngineChoice) -> None:
    detector = open_detector(make_bundle(tmp_path / "b", ResizeMode.LETTERBOX), engine, threads=1)
    picture = make_picture({(1, 1): "red"}, scale=2, size_px=(64, 32))  # 128x64: 16 px of grey above and below
    found = detector(picture)
    assert found.names.tolist() == ["red"]
    np.testing.assert_allclose(found.boxes_xyxy_px, [[32, 32, 64, 64]], atol=0.01)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_picture_gives_the_same_alone_and_in_any_batch(tmp_path: Path, engine: EngineChoice) -> None:
    detector = open_detector(make_bundle(tmp_path / "b", score=0.01), engine, threads=2)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1) for _ in range(5)]
    placement = detector.place(64, 64)
    fitted = [fit(picture, placement) for picture in pictures]
    alone = [detector.detect_fitted(picture[None], [placement])[0] for picture in fitted]
    assert sum(len(found) for found in alone) > 5
    for count in (2, 3, 5):
        for one, other in zip(
            alone, detector.detect_fitted(np.stack(fitted[:count]), [placement] * count), strict=False
        ):
            np.testing.assert_array_equal(one.class_ids, other.class_ids)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
            np.testing.assert_allclose(one.boxes_xyxy_px, other.boxes_xyxy_px, atol=1e-5)


def test_engines_give_equal_heads() -> None:
    manifest, model = make_manifest(), make_model()
    batch = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    heads = [open_engine(manifest, model, engine, threads=1).infer(batch) for engine in ENGINES]
    assert [head.shape for head in heads[0]] == [(3, 8, 4, 4), (3, 8, 2, 2)]
    for one, other in zip(*heads, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_heads_of_one_call_survive_the_next(tmp_path: Path) -> None:
    for engine in ENGINES:
        detector = open_detector(make_bundle(tmp_path / engine.value), engine, threads=1)
        first = detector.infer(np.zeros((1, 64, 64, 3), np.uint8))[0]
        before = first.copy()
        detector.infer(np.full((1, 64, 64, 3), 255, np.uint8))
        np.testing.assert_array_equal(first, before)


def test_thresholds_given_override_those_of_the_bundle(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", score=0.3, max_detections=7)
    picture = make_picture({(0, 0): "red", (1, 0): "green", (2, 2): "blue"})
    assert len(open_detector(bundle, threads=1)(picture)) == 3
    assert len(open_detector(bundle, threads=1, max_detections=2)(picture)) == 2
    assert len(open_detector(bundle, threads=1, score=1.0)(picture)) == 0


def test_an_empty_batch_is_no_work(tmp_path: Path) -> None:
    detector = open_detector(make_bundle(tmp_path / "b"), threads=1)
    assert detector.detect_fitted(np.zeros((0, 64, 64, 3), np.uint8), []) == []


def test_the_choice_of_engine_is_visible(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    assert open_detector(bundle, EngineChoice.AUTO, threads=1).engine_name == "openvino"
    description = open_detector(bundle, EngineChoice.ONNXRUNTIME, threads=2).engine_description
    assert description.startswith("onnxruntime ") and description.endswith(" fp32, 2 threads")
    assert open_detector(bundle, EngineChoice.OPENVINO, threads=1).engine_description.endswith(" fp32, 1 thread")
    assert set(installed_engines()) == set(ENGINES)
    assert resolve_engine(EngineChoice.AUTO) is EngineChoice.OPENVINO


def test_bf16_runs_where_the_processor_has_it_and_is_refused_elsewhere(tmp_path: Path) -> None:
    import openvino

    bundle = make_bundle(tmp_path / "b")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        detector = open_detector(bundle, EngineChoice.OPENVINO, Precision.BF16, threads=1)
        assert " bf16, " in detector.engine_description
        assert detector(make_picture({(0, 0): "red"})).names.tolist() == ["red"]
    else:
        with pytest.raises(EngineError, match="no BF16 arithmetic"):
            open_detector(bundle, EngineChoice.OPENVINO, Precision.BF16, threads=1)
    with pytest.raises(EngineError, match="no bf16; use OpenVINO"):
        open_detector(bundle, EngineChoice.ONNXRUNTIME, Precision.BF16, threads=1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", [b"", b"no model at all", make_model()[:-200]])
def test_bytes_that_are_no_model_are_refused(engine: EngineChoice, model: bytes) -> None:
    with pytest.raises(EngineError, match="will not take the model"):
        open_engine(make_manifest(), model, engine, threads=1)


def test_a_model_without_the_named_outputs_is_refused() -> None:
    manifest = make_manifest()
    heads = tuple(head.model_copy(update={"output": "other"}) for head in manifest.decode.heads)
    renamed = manifest.model_copy(update={"decode": manifest.decode.model_copy(update={"heads": heads})})
    for engine in ENGINES:
        with pytest.raises(EngineError, match=r"other|will not take"):
            open_engine(renamed, make_model(), engine, threads=1)


def test_a_model_changed_after_opening_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    content = bytearray((tmp_path / "b" / "model.onnx").read_bytes())
    content[100] ^= 1
    (tmp_path / "b" / "model.onnx").write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"model\.onnx"):
        open_detector(bundle, threads=1)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3), np.float32), None, "a.jpg"],
)
def test_what_is_no_bgr_picture_is_refused(tmp_path: Path, picture: Any) -> None:
    with pytest.raises(ValueError, match="uint8 array"):
        open_detector(make_bundle(tmp_path / "b"), threads=1)(picture)


def test_detecting_opens_no_socket(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    program = f"""
import sys, time
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        sys.stderr.write(f"network: {{event}} {{arguments}}")
        import os; os._exit(3)
sys.addaudithook(refuse)
import numpy as np
from vedette.bundle_folder import open_bundle
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.opening import open_detector
for engine in (EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME):
    open_detector(open_bundle({str(tmp_path / "b")!r}), engine, threads=1)(np.zeros((64, 64, 3), np.uint8))
time.sleep(0.2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
