"""Variants of ONNX detectors of other programs: what decodes inside the model stays as it is, the layers do not."""

import logging
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

import square_network
from decoded_exports import decoded_model
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.learn.darknet.plan import decode_spec
from vedette.learn.export.onnx import export_onnx


@pytest.fixture(autouse=True)
def nobody_else_is_silenced() -> Iterator[None]:
    """Handlers of somebody else, hung where NNCF writes, too, keep their levels."""
    theirs = logging.NullHandler(logging.INFO)
    loggers = logging.getLogger("nncf"), logging.root
    for logger in loggers:
        logger.addHandler(theirs)
    yield
    for logger in loggers:
        logger.removeHandler(theirs)
    assert theirs.level == logging.INFO


@pytest.mark.parametrize("layout", ["objectness_rows", "scores_columns", "chosen"])
def test_a_decoded_export_finds_the_same_in_every_variant(tmp_path: Path, layout: str) -> None:
    plan = square_network.make_plan()
    raw = export_onnx(plan, square_network.make_weights())
    (tmp_path / "net.onnx").write_bytes(decoded_model(raw, decode_spec(plan), layout, most=10))
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in square_network.CLASSES))
    data = square_network.write_voc(tmp_path / "voc", 9)
    given = ["--onnx", str(tmp_path / "net.onnx"), "--names", str(tmp_path / "names.txt"), "--resize", "stretch"]
    wanted = ["--variants", "fp32,fp16,int8_openvino,int8_qdq", "--calibration", str(data)]
    assert run_command(["pack", *given, "--out", str(tmp_path / "bundle"), *wanted]) == 0
    bundle = open_bundle(tmp_path / "bundle")
    receipts = {variant.name: variant.receipt for variant in bundle.manifest.variants}
    assert list(receipts) == ["fp32", "fp16", "int8", "int8_qdq"]
    for receipt in receipts.values():
        assert receipt.accuracy is not None and receipt.accuracy.map50 == pytest.approx(1.0)
    quantised = onnx.load_from_string(bundle.read("model_int8_qdq.onnx"))
    kinds = [node.op_type for node in quantised.graph.node]
    first_conv = kinds.index("Conv")
    assert "DequantizeLinear" in kinds[:first_conv]
    last_conv = len(kinds) - 1 - kinds[::-1].index("Conv")
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(kinds[last_conv + 1 :])
