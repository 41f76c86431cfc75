"""INT8 of nets that were really trained: how much accuracy it costs, and that it does run in 8 bits."""

from pathlib import Path

import pytest

from vedette.apps.cli import run_command
from vedette.bundle_folder import open_bundle
from vedette.contracts.ports import SilentProgress
from vedette.learn.data.scenes.writing import write_stills


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_int8_of_a_net_trained_on_scenes_loses_little_and_is_faster(tmp_path: Path) -> None:
    write_stills(tmp_path / "data", 240, 3, SilentProgress(), 2)
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    data = str(tmp_path / "data")
    train = ["train", "--data", data, "--size", "320", "--time-budget", "200s", "--out", str(run)]
    assert run_command([*train, "--val-every", "4"]) == 0
    wanted = ["--variants", "fp32,int8", "--calibration", data, "--max-drop", "3"]
    assert run_command(["pack", "--run", str(run), "--out", str(bundle), *wanted]) == 0
    variants = {variant.name: variant.receipt for variant in open_bundle(bundle).manifest.variants}
    accuracy = variants["fp32"].accuracy
    assert accuracy is not None and accuracy.map50 > 0.3, "the net learnt too little to say anything"
    for name in ("int8", "int8_qdq", "int8_qdq_symmetric"):
        assert variants[name].change is not None and variants[name].change.map50 > -0.03
        assert variants[name].golden is not None and variants[name].golden.agreement > 0.8
    fp32_ms, int8_ms = variants["fp32"].network_ms, variants["int8"].network_ms
    assert fp32_ms is not None and int8_ms is not None and fp32_ms / int8_ms > 1.5
