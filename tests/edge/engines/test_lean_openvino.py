"""OpenVINO for a run: without its converter, and else whole."""

import subprocess
import sys

PROGRAM = """
import sys
from vedette.edge.engines.lean_openvino import CONVERTER, leave_converter_out
leave_converter_out()
assert "openvino" not in sys.modules
from vedette.edge.engines.openvino import OpenVinoEngine
import openvino
print(sys.modules[CONVERTER], bool(openvino.Core().available_devices), OpenVinoEngine.name)
"""


def test_the_converter_is_left_out_and_the_engine_is_there():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout == "None True openvino\n"
