"""Trained Darknet nets, written as other programs write their exports, detect what their raw heads detect.

Tolerance 1e-4 on scores, and 1e-4 of the picture's longer side on boxes: the same float32 arithmetic, inside the graph
instead of behind it. A candidate within 1e-4 of the threshold may be on either side of it, and is left out.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from decoded_exports import KIND_OF, LAYOUTS, decoded_model
from vedette.apps.cli import run_command
from vedette.apps.library import load
from vedette.bundle_folder import open_bundle
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.plan import decode_spec, plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.export.onnx import export_onnx

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
SCORE, TOLERANCE = 0.25, 1e-4
MOST = 300  # boxes of the layout that chooses


def files_of(real_data: Path) -> tuple[Path, Path, Path]:
    cfg = next(iter(sorted((real_data / "weights").rglob("yolo-fastest-1.1.cfg"))))
    names = next(iter(sorted((real_data / "darknet").rglob("coco.names"))))
    return cfg, cfg.with_suffix(".weights"), names


@pytest.fixture(scope="module")
def pictures(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for path in sorted((real_data / "coco").rglob("*.jpg"))[:12]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def darknet_bundle(real_data: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cfg, weights, names = files_of(real_data)
    out = tmp_path_factory.mktemp("darknet") / "bundle"
    files = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names)]
    assert run_command(["pack", *files, "--pictures", str(pictures), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [None, 1])
def test_an_export_of_a_trained_net_detects_what_its_raw_heads_do(
    real_data: Path, pictures: Path, darknet_bundle: Path, tmp_path: Path, layout: str, batch: int | None
) -> None:
    cfg, weights, names = files_of(real_data)
    plan = plan_network(read_cfg(cfg))
    content = decoded_model(
        export_onnx(plan, read_weights(weights, plan)),
        decode_spec(plan), layout, batch=batch, frozen=batch is not None, most=MOST,
    )  # fmt: skip
    (tmp_path / "net.onnx").write_bytes(content)
    flags = ["--onnx", str(tmp_path / "net.onnx"), "--names", str(names), "--nms", "needed", "--nms-kind", "diou"]
    assert run_command(["pack", *flags, "--pictures", str(pictures), "--out", str(tmp_path / "bundle")]) == 0
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.decode.kind == KIND_OF[layout] and manifest.input.batch == batch
    compared = 0
    for engine in ("onnxruntime", "openvino"):
        wanted = load(darknet_bundle, engine, score=SCORE)
        given = load(tmp_path / "bundle", engine, score=SCORE)
        for path in sorted(pictures.iterdir()):
            picture = cv2.imread(str(path))
            compared += require_same(wanted(picture), given(picture), layout == "chosen", picture.shape)
    assert compared > 40


def require_same(wanted, given, one_class_a_box: bool, shape: tuple[int, ...]) -> int:
    """Every clear detection is among the other's, but for a box's second class where the model gives one."""
    keep = [i for i, s in enumerate(wanted.scores) if s > SCORE + TOLERANCE]
    if one_class_a_box:
        boxes = wanted.boxes_xyxy_px
        keep = [i for i in keep if not any(np.array_equal(boxes[i], boxes[j]) for j in range(i))]
    for i in keep:
        same = np.flatnonzero(
            (given.class_ids == wanted.class_ids[i])
            & (np.abs(given.scores - wanted.scores[i]) < TOLERANCE)
            & (np.abs(given.boxes_xyxy_px - wanted.boxes_xyxy_px[i]).max(axis=1) < TOLERANCE * max(shape))
        )
        assert len(same) == 1, (wanted.class_ids[i], wanted.scores[i], wanted.boxes_xyxy_px[i])
    clear = (given.scores > SCORE + TOLERANCE).sum()
    assert clear <= len(keep) or one_class_a_box
    return len(keep)
