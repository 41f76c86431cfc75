"""What the process of a run loads: FFmpeg and OpenCV are the decoders' matter."""

import subprocess
import sys

PROGRAM = """
import sys
import vedette.apps.run
import vedette.apps.watching
import vedette.edge.engines.openvino
import vedette.edge.engines.submitting
import vedette.edge.stream.isolated_camera
print(sorted(name for name in ("av", "cv2", "torch") if name in sys.modules))
"""


def test_a_run_whose_cameras_decode_elsewhere_does_without_ffmpeg_and_opencv():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout == "[]\n"


def test_program_that_decoders_are_forked_from_starts_without_validation() -> None:
    script = """
import sys
import vedette.edge.stream.spawner_program
print(sorted(name for name in ("av", "pydantic", "torch", "vedette.contracts.bundle") if name in sys.modules))
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "['av']"
