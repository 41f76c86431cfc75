"""What is left undecoded because nothing due builds on it: the same results to the bit, and how much it saves."""

from hashlib import sha256
from pathlib import Path

import pytest

from simulators.blob_detector import BlobDetector
from simulators.clips import write_clip
from simulators.result_log import run_cameras
from vedette.contracts.gate import GateMode
from vedette.contracts.pipeline import Isolation
from vedette.edge.stream.cadence import make_cadence
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.source import AvSource


class PixelDigests(BlobDetector):
    """Remembers the pictures that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.digests: list[str] = []

    def detect_fitted(self, pixels_nhwc_rgb, placements):
        self.digests += [sha256(pixels.tobytes()).hexdigest() for pixels in pixels_nhwc_rgb]
        return super().detect_fitted(pixels_nhwc_rgb, placements)


def watched(path: Path, every: int = 5, **options):
    """Stamps and pictures of what was detected on, and the camera's figures."""
    detector = PixelDigests()
    camera = CameraSpec("a", str(path), **options)
    log, (figures,) = run_cameras([camera], every=every, isolation=Isolation.THREADS, detector=detector)
    return [(stamp.index, stamp.media_time_s) for stamp in log.stamps("a")], detector.digests, figures


def count_decoded(monkeypatch) -> list[int]:
    """Frames that come out of decoders from here on, one entry each."""
    decoded: list[int] = []
    send = AvSource._send

    def counting(self, packet):
        frames = send(self, packet)
        decoded.extend(1 for _ in frames)
        return frames

    monkeypatch.setattr(AvSource, "_send", counting)
    return decoded


def without_sparing(monkeypatch) -> None:
    monkeypatch.setattr(AvSource, "leave_out", lambda self, is_wanted: None)


QUIET = {"x265-params": "log-level=none"}
FILES = {
    "mp4": {"frames": 52, "gop": 12},
    "ts": {"frames": 52, "gop": 12},  # start codes instead of lengths
    "h264": {"frames": 52, "gop": 12},  # no time stamps
    "open groups": {"frames": 52, "gop": 12, "options": {"x264-params": "open-gop=1:bframes=2"}, "b_frames": 2},
    "refresh": {"frames": 52, "gop": 12, "options": {"intra-refresh": "1"}},  # keyframes that do not begin anew
    "b-frames": {"frames": 52, "gop": 12, "b_frames": 3},
    "hevc": {"frames": 52, "gop": 12, "codec": "libx265", "options": QUIET},
    "hevc, b-frames": {"frames": 52, "gop": 12, "codec": "libx265", "b_frames": 2, "options": QUIET},
    "mjpeg": {"frames": 52, "codec": "mjpeg"},
    "mpeg4": {"frames": 52, "gop": 12, "codec": "mpeg4"},
}
# Frames decoded of 52 with every 5th due: groups begin at 0, 12, 24, 36, 48; needed are up to 10, 20, 35, 45, 50
DECODED = {"mp4": 11 + 9 + 12 + 10 + 3, "ts": 45, "hevc": 45, "mjpeg": 11, "refresh": 51, "mpeg4": 51}


@pytest.mark.parametrize("name", FILES)
def test_results_and_counts_are_those_of_decoding_everything(name: str, tmp_path: Path, monkeypatch):
    suffix = name if name in ("ts", "h264") else "avi" if name == "mjpeg" else "mp4"
    path = write_clip(tmp_path / f"clip.{suffix}", **FILES[name])
    with monkeypatch.context() as patched:
        without_sparing(patched)
        *everything, whole = watched(path)
    decoded = count_decoded(monkeypatch)
    *spared, camera = watched(path)
    assert spared == everything and len(spared[1]) == 11
    counts = ("frames", "skipped", "slots", "detected", "drops", "decode_errors", "gated")
    assert [getattr(camera, one) for one in counts] == [getattr(whole, one) for one in counts]
    assert len(decoded) == DECODED.get(name, 52)


@pytest.mark.parametrize("fps", [1.0, 2.0, 3.3, 25.0])
def test_slots_by_rate_are_those_of_decoding_everything(fps: float, tmp_path: Path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", frames=90, gop=20)
    runs = []
    for spares in (False, True):
        with monkeypatch.context() as patched:
            if not spares:
                without_sparing(patched)
            decoded = count_decoded(patched)
            log, (camera,) = run_cameras([CameraSpec("a", str(path))], fps=fps, isolation=Isolation.THREADS)
            runs.append(([(stamp.index, stamp.media_time_s) for stamp in log.stamps("a")], camera.frames, camera.slots))
    assert runs[0] == runs[1] and len(decoded) == {1.0: 1 + 6 + 11 + 16, 2.0: 69, 3.3: 72, 25.0: 90}[fps]


def test_a_loop_goes_on_counting(tmp_path: Path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", frames=13, gop=6)
    decoded = count_decoded(monkeypatch)
    log, (camera,) = run_cameras(
        [CameraSpec("a", str(path), loop=True)], isolation=Isolation.THREADS, stop_after_results=8
    )
    assert [stamp.index for stamp in log.stamps("a")][:8] == list(range(0, 40, 5))
    assert len(decoded) < camera.frames


def test_paced_and_gated_files_decode_every_frame(tmp_path: Path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", frames=12, gop=6)
    decoded = count_decoded(monkeypatch)
    watched(path, realtime=True)
    assert len(decoded) == 12
    watched(path, decode_all=True)
    assert len(decoded) == 24
    watched(path, gate=GateMode.MOTION)
    assert len(decoded) == 24 + 11


def test_rates_expect_what_they_then_find_due():
    cadence = make_cadence(5, 3.0)
    for number in range(40):
        expected = cadence.expects(number, number / 25)
        assert expected == cadence.is_due(number, number / 25)
    cadence.ask(7.0)
    assert cadence.expects(40, 40 / 25)  # who asks for another rate is answered at the next frame
