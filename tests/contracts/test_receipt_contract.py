"""Receipts keep what was measured through `bundle.json`, and those of older bundles are still read."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from small_bundle import make_bundle, make_manifest, make_model
from vedette.bundle_folder import open_bundle, write_bundle
from vedette.contracts.bundle import EngineName, Precision, Variant
from vedette.contracts.receipt import (
    Accuracy,
    AccuracyChange,
    Calibration,
    ClassChange,
    Evidence,
    GoldenAgreement,
    Receipt,
    Source,
)

FULL = Receipt(
    accuracy=Accuracy(data_digest="d", split="test", pictures=7, map50=0.9, map50_95=0.5),
    change=AccuracyChange(
        map50=-0.004,
        map50_95=-0.01,
        classes=(ClassChange(name="red", ap50=0.9, ap50_95=0.5, change_ap50=-0.004, change_ap50_95=-0.01),),
    ),
    golden=GoldenAgreement(
        pictures=6, found=79, missing=1, extra=2, agreement=79 / 82, mean_iou=0.98, max_score_difference=0.03
    ),
    evidence=Evidence(accuracy=Source.SIMULATED, speed=Source.UNMEASURED),
    calibration=Calibration(data_digest="d", split="train", pictures=128),
    kept_layers=("head_0_conv",),
    ms_per_picture=10.5,
    network_ms=8.5,
    engine="openvino 2026.4.1 int8, 1 thread",
    engine_version="2026.4.1",
    host="Linux x86_64",
)


def test_a_receipt_comes_back_from_a_bundle_as_it_was(tmp_path: Path) -> None:
    manifest = make_manifest()
    variant = Variant(
        name="int8", file="model.onnx", precision=Precision.INT8, engines=(EngineName.OPENVINO,), receipt=FULL
    )
    written = manifest.model_copy(update={"variants": (*manifest.variants, variant)})
    write_bundle(tmp_path / "bundle", written, {"model.onnx": make_model()})
    assert open_bundle(tmp_path / "bundle").manifest.variants[1] == variant


def test_what_a_receipt_is_worth_is_written_in_words() -> None:
    evidence = json.loads(FULL.model_dump_json())["evidence"]
    assert evidence == {"accuracy": "simulated on ONNX Runtime", "speed": "unmeasured"}


def test_variants_of_older_bundles_run_on_every_engine(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    document = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    variant = document["variants"][0]
    for name in ("engines", "weights_file"):
        del variant[name]
    for name in ("change", "golden", "evidence", "calibration", "kept_layers", "network_ms"):
        del variant["receipt"][name]
    read = Variant.model_validate(variant)
    assert set(read.engines) == set(EngineName) and read.files == ("model.onnx",)
    assert read.receipt.kept_layers == () and read.receipt.evidence is None


@pytest.mark.parametrize("change", [{"engines": []}, {"engines": ["abacus"]}, {"weights_file": "../x"}, {"more": 1}])
def test_variants_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    good = Variant(name="fp32", file="model.onnx", precision=Precision.FP32, receipt=Receipt())
    with pytest.raises(ValidationError):
        Variant.model_validate(good.model_dump(mode="json") | change)
