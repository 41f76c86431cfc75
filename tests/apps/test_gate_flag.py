"""`vedette run --gate`: what it spares is in the document, and what it tells is what it tells without."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from small_bundle import make_bundle, make_picture
from vedette.apps.cli import run_command
from vedette.apps.pipeline_flags import flags_to_pipeline
from vedette.contracts.errors import UsageError
from vedette.contracts.gate import GateMode

SCALE, EVERY = 4, 5
STILL, WALK = 150, [(column, 1) for column in (0, 1, 2, 3)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of nothing, a walk through the picture, and as long nothing again."""
    path = tmp_path_factory.mktemp("gate") / "film.mp4"
    cells = [None] * STILL + [cell for cell in WALK for _ in range(EVERY)] + [None] * STILL
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width = video.height = 64 * SCALE
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = 50
        video.options = {"preset": "ultrafast", "crf": "10", "sc_threshold": "0"}
        for cell in cells:
            picture = make_picture({} if cell is None else {cell: "red"}, SCALE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[..., ::-1]), format="rgb24")
            output.mux(video.encode(frame))
        output.mux(video.encode())
    return path


def run(capsys: pytest.CaptureFixture[str], film: Path, bundle: Path, *flags: str) -> dict:
    arguments = ["run", "--bundle", str(bundle), "--camera", f"door={film}", "--line", "50%,0%,50%,100%", "--json"]
    assert run_command([*arguments, *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_gated_run_counts_the_same_and_says_what_it_spared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundle").path
    off = run(capsys, film, bundle)
    on = run(capsys, film, bundle, "--gate", "bitstream")
    assert off["cameras"][0]["gated"] == off["cameras"][0]["gated_slots"] == 0  # auto: an unpaced file
    assert on["counts"] == off["counts"]
    assert on["counts"]["door"]["lines"]["line"]["red"]["b_to_a"] == 1
    (camera,) = on["cameras"]
    assert camera["frames"] + camera["gated"] == off["cameras"][0]["frames"]
    assert camera["gated"] > 150
    assert camera["gated_slots"] > 20


def test_a_gate_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="--gate"):
        flags_to_pipeline(bundle="b", cameras=["a.mp4"], gate="ajar")
    assert flags_to_pipeline(bundle="b", cameras=["a.mp4"], gate="motion").detect.gate is GateMode.MOTION
    assert flags_to_pipeline(bundle="b", cameras=["a.mp4"]).detect.gate is GateMode.AUTO
