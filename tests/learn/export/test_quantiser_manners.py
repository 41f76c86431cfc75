"""NNCF is lazy, silent and tells nobody: not on standard output, not over the network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, socket, sys
contacted = []
def refuse(self, address, *rest):
    contacted.append(address)
    raise OSError("no network here")
socket.socket.connect = refuse
socket.getaddrinfo = lambda *a, **k: refuse(None, a[:2])
sys.path.insert(0, {tests!r})
import square_network
from vedette.learn.export.calibration import fit_pictures
from vedette.learn.export.pack import PackRequest, draft
from vedette.learn.export.quantize_openvino import quantize_openvino
plan, weights = square_network.make_plan(), square_network.make_weights()
drafted = draft(PackRequest(plan, weights, b"", b"", square_network.CLASSES, "squares"))
before = "nncf" in sys.modules, os.environ.get("NNCF_CI")
pictures = fit_pictures([square_network.make_picture(number)[0] for number in range(4)], drafted.manifest.input)
quantize_openvino(drafted.model, pictures)
from nncf.telemetry import telemetry
print(before, os.environ.get("NNCF_CI"), contacted, type(telemetry).__name__, "nncf" in sys.modules)
"""


@pytest.mark.slow
def test_quantising_prints_nothing_and_contacts_nobody() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"NNCF_CI", "CI"}}
    tests = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(tests=tests)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines() == ["(False, None) None [] MagicMock True"]
    assert "telemetry" not in done.stderr.lower()
