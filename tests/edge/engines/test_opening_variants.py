"""Which engine runs which variant of a bundle; what was not packed is refused, never replaced."""

from pathlib import Path

import pytest

from small_bundle import make_manifest, make_model
from vedette.bundle_folder import OpenBundle, write_bundle
from vedette.contracts.bundle import BundleManifest, EngineName, Precision, Variant
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.receipt import Receipt
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.opening import choose_variant, open_detector

OPENVINO, ONNXRUNTIME, AUTO = EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME, EngineChoice.AUTO


def make_variant(name: str, precision: Precision, *engines: EngineName, weights: str | None = None) -> Variant:
    return Variant(
        name=name, file="model.onnx", weights_file=weights, precision=precision, engines=engines, receipt=Receipt()
    )


INT8 = make_variant("int8", Precision.INT8, EngineName.OPENVINO)
QDQ = make_variant("int8_qdq", Precision.INT8, EngineName.ONNXRUNTIME)
SYMMETRIC = make_variant("int8_qdq_symmetric", Precision.INT8, EngineName.TENSORRT)
BF16 = make_variant("bf16", Precision.BF16, EngineName.OPENVINO)


def manifest_with(*variants: Variant) -> BundleManifest:
    manifest = make_manifest()
    return manifest.model_copy(update={"variants": (*manifest.variants, *variants)})


@pytest.mark.parametrize(
    ("variants", "engine", "precision", "chosen", "name"),
    [
        ((), AUTO, Precision.FP32, OPENVINO, "fp32"),
        ((), OPENVINO, Precision.BF16, OPENVINO, "fp32"),  # the engine's own doing
        ((BF16,), AUTO, Precision.BF16, OPENVINO, "bf16"),
        ((QDQ, INT8, SYMMETRIC), AUTO, Precision.INT8, OPENVINO, "int8"),
        ((QDQ, INT8, SYMMETRIC), ONNXRUNTIME, Precision.INT8, ONNXRUNTIME, "int8_qdq"),
        ((QDQ,), AUTO, Precision.INT8, ONNXRUNTIME, "int8_qdq"),  # what auto takes is what can run
    ],
)
def test_the_variant_made_for_the_engine_is_chosen(
    variants: tuple[Variant, ...], engine: EngineChoice, precision: Precision, chosen: EngineChoice, name: str
) -> None:
    found, variant = choose_variant(manifest_with(*variants), engine, precision)
    assert (found, variant.name) == (chosen, name)


@pytest.mark.parametrize(
    ("variants", "engine", "precision", "message"),
    [
        ((SYMMETRIC,), OPENVINO, Precision.INT8, r"no int8 variant for openvino; it has .*symmetric \(tensorrt\)"),
        ((SYMMETRIC,), ONNXRUNTIME, Precision.INT8, "no int8 variant for onnxruntime"),
        ((SYMMETRIC,), AUTO, Precision.INT8, "no int8 variant for openvino or onnxruntime"),
        ((QDQ,), OPENVINO, Precision.INT8, "--variants fp32,int8 --calibration DATA"),
        ((INT8,), ONNXRUNTIME, Precision.INT8, "no int8 variant for onnxruntime"),
        ((), AUTO, Precision.FP16, "no fp16 variant .*--variants fp32,fp16$"),
    ],
)
def test_what_was_not_made_for_an_engine_never_runs_on_it(
    variants: tuple[Variant, ...], engine: EngineChoice, precision: Precision, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        choose_variant(manifest_with(*variants), engine, precision)


def write(folder: Path, *variants: Variant, **files: bytes) -> OpenBundle:
    manifest = manifest_with(*variants)
    contents = {"model.onnx": make_model(), "labels.txt": b"red\ngreen\nblue\n"}
    return write_bundle(folder, manifest, contents | {name.replace("__", "."): data for name, data in files.items()})


def test_bf16_and_fp16_are_refused_by_what_has_no_such_arithmetic(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle", make_variant("fp16", Precision.FP16, EngineName.ONNXRUNTIME))
    for precision in (Precision.BF16, Precision.FP16):
        with pytest.raises(EngineError, match=f"on a processor has no {precision.value}"):
            open_detector(bundle, ONNXRUNTIME, precision)


def test_an_ir_that_is_none_is_one_message(tmp_path: Path) -> None:
    broken = INT8.model_copy(update={"file": "model.xml", "weights_file": "weights.bin"})
    bundle = write(tmp_path / "bundle", broken, model__xml=b"<net name='x' version='11'>", weights__bin=b"1234")
    with pytest.raises(EngineError, match="will not take the model"):
        open_detector(bundle, OPENVINO, Precision.INT8)


def test_a_variant_whose_weights_are_missing_is_no_bundle(tmp_path: Path) -> None:
    from vedette.bundle_folder import BundleError

    with pytest.raises(BundleError, match=r"does not list: weights\.bin"):
        write(tmp_path / "bundle", make_variant("int8", Precision.INT8, EngineName.OPENVINO, weights="weights.bin"))
    assert list(tmp_path.iterdir()) == []
