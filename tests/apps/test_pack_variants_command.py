"""`vedette pack --variants`: every variant with its receipt, or one message that names what hurts and no file."""

import json
import sys
from pathlib import Path

import pytest

import square_network
import vedette
from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.contracts.bundle import EngineName
from vedette.contracts.receipt import Source
from vedette.edge.engines.errors import EngineError


def flags(files: tuple[Path, Path, Path]) -> list[str]:
    cfg, weights, names = files
    return ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares: ten to calibrate with, six to measure on."""
    folder = square_network.write_voc(tmp_path_factory.mktemp("squares") / "voc", 16)
    square_network.write_splits(folder, train=range(10), test=range(10, 16))
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Path, int]:
    """A bundle with all variants that need no BF16, and the exit code of packing it."""
    folder = tmp_path_factory.mktemp("packed")
    files = square_network.write_network(folder / "net")
    wanted = ["--variants", "fp32,fp16,int8", "--calibration", str(data)]
    return folder / "bundle", run_command(["pack", *flags(files), "--out", str(folder / "bundle"), *wanted])


def test_every_variant_is_packed_with_its_receipt(packed: tuple[Path, int]) -> None:
    folder, code = packed
    assert code == 0
    variants = {variant.name: variant for variant in open_bundle(folder).manifest.variants}
    assert list(variants) == ["fp32", "fp16", "int8", "int8_qdq", "int8_qdq_symmetric"]
    assert variants["int8"].engines == (EngineName.OPENVINO,)
    assert variants["int8"].files == ("model_int8.xml", "model_int8.bin")
    assert variants["int8_qdq"].engines == (EngineName.ONNXRUNTIME,)
    assert variants["int8_qdq_symmetric"].engines == (EngineName.TENSORRT,)
    for name, variant in variants.items():
        receipt = variant.receipt
        assert receipt.accuracy is not None and receipt.accuracy.split == "test" and receipt.accuracy.pictures == 6
        assert receipt.accuracy.map50 == pytest.approx(1.0)
        assert receipt.engine and receipt.engine_version and receipt.host and receipt.evidence is not None
        if name != "fp32":
            assert receipt.change is not None and receipt.change.map50 == pytest.approx(0.0, abs=1e-6)
            assert [one.name for one in receipt.change.classes] == list(square_network.CLASSES)
            assert receipt.golden is not None and receipt.golden.agreement == 1.0 and receipt.golden.found >= 4
        if name.startswith("int8"):
            assert receipt.calibration is not None
            assert (receipt.calibration.split, receipt.calibration.pictures) == ("train", 10)


def test_what_cannot_run_here_says_so(packed: tuple[Path, int]) -> None:
    for variant in open_bundle(packed[0]).manifest.variants:
        evidence, simulated = (
            variant.receipt.evidence,
            EngineName.TENSORRT in variant.engines and variant.name != "fp32",
        )
        assert evidence is not None
        assert evidence.accuracy is (Source.SIMULATED if simulated else Source.MEASURED)
        assert evidence.speed is (Source.UNMEASURED if simulated else Source.MEASURED)
        assert (variant.receipt.ms_per_picture is None) is simulated
        assert (variant.receipt.network_ms is None) is simulated
    raw = json.loads((packed[0] / "bundle.json").read_text())
    symmetric = next(one for one in raw["variants"] if one["name"] == "int8_qdq_symmetric")
    assert symmetric["receipt"]["evidence"] == {"accuracy": "simulated on ONNX Runtime", "speed": "unmeasured"}


def test_a_page_beside_the_bundle_shows_the_variants(packed: tuple[Path, int]) -> None:
    page = packed[0].with_name("bundle-variants.html").read_text()
    for name in ("fp32", "fp16", "int8", "int8_qdq", "int8_qdq_symmetric", "simulated on ONNX Runtime"):
        assert name in page


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_each_engine_runs_the_int8_made_for_it(packed: tuple[Path, int], engine: str) -> None:
    detector = vedette.load(packed[0], engine, "int8", threads=1)
    assert detector.engine_name == engine and "int8" in detector.engine_description
    for number in (3, 4, 5):
        picture, name, (left, top) = square_network.make_picture(number)
        found = detector(picture)
        assert found.names.tolist() == [name]
        assert found.boxes_xyxy_px[0].tolist() == pytest.approx([left, top, left + 16, top + 16], abs=0.5)


def test_evaluate_measures_what_the_receipt_says(
    packed: tuple[Path, int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(packed[0]), "--data", str(data), "--split", "test", "--precision", "int8", "--json"]
    assert run_command(arguments) == 0
    assert json.loads(capsys.readouterr().out)["map50"] == pytest.approx(1.0)


def test_half_precision_is_not_for_onnx_runtime(packed: tuple[Path, int]) -> None:
    with pytest.raises(EngineError, match="has no fp16 variant for onnxruntime"):
        vedette.load(packed[0], "onnxruntime", "fp16")


def test_standard_output_holds_the_json_alone(tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = square_network.write_network(tmp_path / "net")
    wanted = ["--variants", "fp32,int8_qdq", "--calibration", str(data), "--json"]
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle"), *wanted]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in printed["variants"]] == ["fp32", "int8_qdq"]


def test_a_layer_that_hurts_is_kept_in_fp32(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = square_network.write_network(tmp_path / "net", hostile=True)
    wanted = ["--variants", "fp32,int8_qdq_symmetric", "--calibration", str(data)]
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle"), *wanted]) == 0
    assert "keeping head_0_conv in FP32 as well" in capsys.readouterr().err
    receipt = open_bundle(tmp_path / "bundle").manifest.variants[1].receipt
    assert receipt.kept_layers == ("head_0_conv",)
    assert receipt.accuracy is not None and receipt.accuracy.map50 == pytest.approx(1.0)


def test_too_great_a_loss_packs_nothing_and_names_the_layers(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = square_network.write_network(tmp_path / "net", hostile=True)
    wanted = ["--variants", "fp32,int8_qdq", "--calibration", str(data), "--max-drop", "2"]
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle"), *wanted]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "variant int8_qdq loses" in message and "--max-drop allows 2.00" in message
    assert "Layers that hurt most" in message and "head_0_conv" in message and "Nothing is written" in message
    assert names_in(tmp_path) == ["net"]


def test_a_loss_that_is_allowed_is_packed_and_told(tmp_path: Path, data: Path) -> None:
    files = square_network.write_network(tmp_path / "net", hostile=True)
    wanted = ["--variants", "fp32,int8_qdq", "--calibration", str(data), "--max-drop", "100"]
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle"), *wanted]) == 0
    receipt = open_bundle(tmp_path / "bundle").manifest.variants[1].receipt
    assert receipt.change is not None and receipt.change.map50 < -0.5
    assert receipt.golden is not None and receipt.golden.missing > 0 and receipt.golden.agreement < 0.5
    assert "missing" in (tmp_path / "bundle-variants.html").read_text()


def test_without_labels_there_is_agreement_only_and_pack_says_so(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = square_network.write_network(tmp_path / "net")
    page = tmp_path / "page.html"
    wanted = ["--variants", "fp32,int8_qdq", "--calibration", str(data / "JPEGImages"), "--report", str(page)]
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle"), *wanted]) == 0
    assert "--max-drop cannot be held" in " ".join(capsys.readouterr().err.split())
    receipt = open_bundle(tmp_path / "bundle").manifest.variants[1].receipt
    assert receipt.accuracy is None and receipt.change is None
    assert receipt.evidence is not None and receipt.evidence.accuracy is Source.UNMEASURED
    assert receipt.golden is not None and receipt.golden.agreement == 1.0
    assert receipt.calibration is not None and receipt.calibration.split is None
    assert page.is_file() and names_in(tmp_path) == ["bundle", "net", "page.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "fp32,int9"], "int9 is no variant"),
        (["--variants", "int8", "--calibration", "x"], "fp32 must be among them"),
        (["--variants", "fp32,int8"], "needs --calibration DATA"),
        (["--variants", "fp32,fp16", "--calibration", "x"], "--calibration says something about int8"),
        (["--variants", "fp32,bf16", "--max-drop", "-1"], "between 0 and 100"),
        (["--variants", "fp32,bf16", "--max-drop", "nan"], "between 0 and 100"),
        (["--report", "page.html"], "--variants asks for none"),
        (["--variants", "fp32,bf16", "--report", "nowhere/page.html"], "folder does not exist"),
    ],
)
def test_flags_that_contradict_each_other_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_command(["pack", "--run", "r", *arguments, "--out", str(tmp_path / "bundle")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert names_in(tmp_path) == []


def test_calibration_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = square_network.write_network(tmp_path / "net")
    wanted = ["--variants", "fp32,int8_qdq", "--calibration", str(tmp_path / "none")]
    assert run_command(["pack", *flags(files), "--out", str(tmp_path / "bundle"), *wanted]) == 1
    assert "none" in capsys.readouterr().err
    assert names_in(tmp_path) == ["net"]


def test_a_missing_variant_says_how_to_pack_it(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = square_network.write_network(tmp_path / "net")
    bundle = tmp_path / "bundle"
    assert run_command(["pack", *flags(files), "--out", str(bundle)]) == 0
    pictures = data / "JPEGImages"
    arguments = ["detect", str(bundle), str(pictures), "--out", str(tmp_path / "found"), "--precision", "int8"]
    capsys.readouterr()
    assert run_command(arguments) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "has no int8 variant for openvino or onnxruntime; it has fp32 (openvino, onnxruntime, tensorrt)" in message
    assert "--variants fp32,int8 --calibration DATA" in message
    with pytest.raises(EngineError, match="has no int8 variant for openvino;"):
        vedette.load(bundle, "openvino", "int8")


def test_packing_fp32_alone_imports_no_quantiser() -> None:
    import subprocess

    script = (
        "import sys; from vedette.apps.cli import run_command; run_command(['pack', '--run', 'r', '--out', 'o']); "
        "print([name for name in sys.modules if name.partition('.')[0] == 'nncf'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip().splitlines()[-1] == "[]"
