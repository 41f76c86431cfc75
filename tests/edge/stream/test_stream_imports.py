"""What the process of a run loads: FFmpeg is the decoders' matter, and costs 20 MB and a tenth of a second."""

import subprocess
import sys

PROGRAM = """
import sys
import vedette.apps.run
import vedette.apps.watching
import vedette.edge.stream.isolated_camera
print(sorted(name for name in ("av", "sqlite3", "torch") if name in sys.modules))
"""


def test_a_run_whose_cameras_decode_elsewhere_does_without_ffmpeg():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout == "[]\n"
